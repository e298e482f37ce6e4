"""What a reply consumed, and how that ends its hold."""

from datetime import datetime
from uuid import UUID

from application.ports import ProviderUsage
from application.queries import MessageUsageView, decimal_of
from application.token_count import TokenCounter, token_count
from domain.chat import MessageUsage
from domain.usage import Consumption, Price, Usage

ENDED_BY_SOMEBODY = ("stopped", "deleted")


async def consumption_of(
    counter: TokenCounter,
    model: str,
    price: Price,
    prompt_tokens: int,
    text: bytes,
    reasoning: bytes,
    reported: ProviderUsage | None,
) -> Consumption | None:
    """What a reply consumed, by the provider's figures or else by our count of what was delivered.

    None where nothing was delivered: then nothing is due.
    """
    if not text and not reasoning:
        return None
    usage = reported
    if usage is None:
        delivered = text.decode() + reasoning.decode()
        usage = ProviderUsage(prompt_tokens, await token_count(counter, delivered))
    return Consumption(
        model=model,
        price=price,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        estimated=reported is None,
    )


def is_given_back(consumption: Consumption | None, reason: str) -> bool:
    """Whether a message of an allowance is: for what failed, not for what somebody ended."""
    return consumption is None and reason not in ENDED_BY_SOMEBODY


def end_hold(
    usage: Usage,
    reply_id: UUID,
    chat_id: UUID,
    consumption: Consumption | None,
    reason: str,
    at: datetime,
) -> MessageUsage | None:
    """Settle by what was consumed, or release in full. Raises HoldNotOpen.

    A visitor who stops a reply before its first word has used the allowance all the same: the
    model was called. Returns what the message cost, as billed; None where nothing is.
    """
    if consumption is None:
        if usage.state.kind == "anonymous" and not is_given_back(consumption, reason):
            quote = usage.quote_of(reply_id)
            nothing = Consumption(quote.model, quote.price, 0, 0, estimated=True)
            usage.settle(reply_id, chat_id, nothing, at)
        else:
            usage.release(reply_id, chat_id, reason, at)
        return None
    return MessageUsage(
        prompt_tokens=consumption.prompt_tokens,
        completion_tokens=consumption.completion_tokens,
        cost=usage.settle(reply_id, chat_id, consumption, at),
        currency=usage.state.currency,
        estimated=consumption.estimated,
        price_source=consumption.price.source,
    )


def usage_view(usage: MessageUsage | None) -> MessageUsageView | None:
    """What a message cost, as clients see it."""
    if usage is None:
        return None
    return MessageUsageView(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        cost=decimal_of(usage.cost),
        currency=usage.currency,
        estimated=usage.estimated,
        price_source=usage.price_source,
    )
