"""What an event says, in words for people who look into the log. No contents."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate

from application.queries import decimal_of
from domain.chat import Chat
from domain.usage import Consumption, Price, Quote, Usage

Named = Callable[[UUID | None], str]
"""Who an internal id stands for."""


def short(identity: UUID | None) -> str:
    """The end of an id: enough to tell it from the others of a chat. Ids by time begin alike."""
    return "none" if identity is None else str(identity)[-12:]


def words_of(event: Aggregate.Event, named: Named) -> str:
    """One line. Amounts are in the account's currency."""
    return _WORDS[type(event)](event, named)


def price_words(price: Price) -> str:
    return (
        f"{decimal_of(price.input_per_million)}/{decimal_of(price.output_per_million)}"
        f" per million by {price.source}"
    )


def _quote(quote: Quote) -> str:
    tokens = f"{quote.prompt_tokens}+{quote.max_tokens} tokens"
    return f"{quote.model}, {tokens} at {price_words(quote.price)}"


def _consumption(used: Consumption) -> str:
    counted = "estimated" if used.estimated else "as the provider counted"
    tokens = f"{used.prompt_tokens}+{used.completion_tokens} tokens {counted}"
    return f"{used.model}, {tokens}, at {price_words(used.price)}"


def _sent(event: Chat.MessageSent, named: Named) -> str:
    if event.edit_of is not None:
        return f"message {short(event.message_id)} as another version of {short(event.edit_of)}"
    after = f" after {short(event.parent_id)}" if event.parent_id is not None else ""
    return f"message {short(event.message_id)}{after}"


def _started(event: Chat.ReplyStarted, named: Named) -> str:
    what = f"reply {short(event.reply_id)} by {event.model}, paid by {named(event.payer)}"
    if event.replaces is not None:
        return f"{what}: another version of {short(event.replaces)}"
    return f"{what}: answers {short(event.parent_id)}"


def _completed(event: Chat.MessageCompleted | Chat.MessageRegenerated, named: Named) -> str:
    answer = f"reply {short(event.reply_id)} ended as message {short(event.message_id)}"
    return f"{answer} by {event.model} ({event.finish_reason})"


def _failed(event: Chat.ReplyFailed, named: Named) -> str:
    return f"reply {short(event.reply_id)} failed ({event.code})"


def _ending(words: str) -> Callable[[Any, Named], str]:
    def told(event: Chat.Deleted | Chat.Erased, named: Named) -> str:
        ended = f", which ended reply {short(event.reply_id)}" if event.reply_id else ""
        return f"{words}{ended}"

    return told


def _topped_up(event: Usage.ToppedUp, named: Named) -> str:
    source = "starting balance" if event.source == "starting-balance" else "top-up"
    reference = f" ({event.reference})" if event.reference else ""
    return f"{source} of {decimal_of(event.amount)}{reference}"


def _held(event: Usage.AmountHeld, named: Named) -> str:
    return (
        f"{decimal_of(event.amount)} held for reply {short(event.hold_id)}: {_quote(event.quote)}"
    )


def _allowance_held(event: Usage.AllowanceHeld, named: Named) -> str:
    return (
        f"one message of {event.limit} taken for reply {short(event.hold_id)}:"
        f" {_quote(event.quote)}"
    )


def _settled(event: Usage.HoldSettled, named: Named) -> str:
    amounts = f"{decimal_of(event.charged)} charged of {decimal_of(event.cost)}"
    used = _consumption(event.consumption)
    return (
        f"{amounts}, {decimal_of(event.absorbed)} absorbed,"
        f" for reply {short(event.hold_id)}: {used}"
    )


def _released(event: Usage.HoldReleased, named: Named) -> str:
    return f"hold of reply {short(event.hold_id)} released ({event.reason})"


_WORDS: dict[type[Aggregate.Event], Callable[[Any, Named], str]] = {
    Chat.Created: lambda event, named: f"begun by {named(event.owner)}",
    Chat.Renamed: lambda event, named: "renamed",
    Chat.ArchiveChanged: lambda e, named: "archived" if e.archived else "no longer archived",
    Chat.Deleted: _ending("deleted"),
    Chat.Erased: _ending("its words were erased"),
    Chat.Claimed: lambda e, named: f"claimed by {named(e.owner)} from {named(e.previous_owner)}",
    Chat.MessageSent: _sent,
    Chat.ReplyStarted: _started,
    Chat.StopRequested: lambda e, named: f"reply {short(e.reply_id)} was asked to stop",
    Chat.MessageCompleted: _completed,
    Chat.MessageRegenerated: _completed,
    Chat.ReplyFailed: _failed,
    Chat.ReplyInterrupted: lambda e, named: f"reply {short(e.reply_id)} was interrupted",
    Chat.BranchSelected: lambda e, named: f"branch of message {short(e.message_id)} chosen",
    Usage.Created: lambda e, named: f"account opened ({e.kind}, {e.currency})",
    Usage.ToppedUp: _topped_up,
    Usage.AmountHeld: _held,
    Usage.AllowanceHeld: _allowance_held,
    Usage.HoldSettled: _settled,
    Usage.HoldReleased: _released,
    Usage.PrincipalErased: lambda e, named: f"principal erased, with {e.chats} chats",
}
