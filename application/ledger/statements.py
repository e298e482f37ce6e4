"""An account as a ledger: every hold, settlement and top-up, and the balance after each."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from application.ledger.folded import applied
from application.ledger.ports import EventFilter, LogReading, NotInLog
from application.ports import Recorded
from application.queries import decimal_of
from domain.usage import Price, Usage

INSTANT = timedelta(microseconds=1)

Entry = Literal[
    "opening",
    "starting-balance",
    "top-up",
    "hold",
    "allowance",
    "settlement",
    "release",
    "erased",
]


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry and the account after it; None is what an entry does not have.

    Amounts are exact decimals in `currency`, prices per million tokens. `completion_tokens` of a
    hold are the most there could have been. `opening` is what went before the first line asked for.
    """

    position: int
    at: datetime
    entry: Entry
    reference: str | None = None
    reply_id: UUID | None = None
    chat_id: UUID | None = None
    model: str | None = None
    price_input: str | None = None
    price_output: str | None = None
    price_source: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool | None = None
    amount: str | None = None
    """What was added, or held."""
    cost: str | None = None
    charged: str | None = None
    absorbed: str | None = None
    reason: str | None = None
    balance: str
    reserved: str
    allowance_used: int
    currency: str


def statement(
    log: LogReading,
    principal: UUID,
    since: datetime | None = None,
    before: datetime | None = None,
) -> Iterator[StatementLine]:
    """The entries recorded from `since` up to, not with, `before`. Raises NotInLog."""
    first = log.position_at(since - INSTANT) if since is not None else 0
    until = log.position_at(before - INSTANT) if before is not None else None
    account: Usage | None = None
    opening: Recorded | None = None
    begun = False
    for recorded in _account_events(log, principal, until):
        early = recorded.position <= first
        if not early and not begun:
            begun = True
            if account is not None and opening is not None:
                yield _line(opening, account, "opening", {})
        after = applied(account, recorded)
        assert isinstance(after, Usage)
        account = after
        if early:
            opening = recorded
        elif (entry := _entry(recorded)) is not None:
            yield _line(recorded, account, *entry)
    if account is None:
        raise NotInLog("this principal has no account yet.")
    if not begun and opening is not None:
        yield _line(opening, account, "opening", {})


def account_of(log: LogReading, principal: UUID) -> tuple[Usage, int]:
    """The account as of its last event, and that event's position. Raises NotInLog."""
    account, position = None, 0
    for recorded in _account_events(log, principal, None):
        account, position = applied(account, recorded), recorded.position
    if not isinstance(account, Usage):
        raise NotInLog("this principal has no account yet.")
    return account, position


def _account_events(log: LogReading, principal: UUID, until: int | None) -> Iterator[Recorded]:
    for batch in log.found(EventFilter(stream=principal, until=until)):
        yield from map(log.decoded, batch)


def _entry(recorded: Recorded) -> tuple[Entry, dict[str, Any]] | None:
    """What is particular to an entry; None for the account's opening, which moves nothing."""
    event = recorded.event
    if isinstance(event, Usage.ToppedUp):
        kind: Entry = "top-up" if event.source == "operator" else "starting-balance"
        return kind, {"amount": decimal_of(event.amount), "reference": event.reference}
    if isinstance(event, Usage.AmountHeld | Usage.AllowanceHeld):
        kind = "hold" if isinstance(event, Usage.AmountHeld) else "allowance"
        quote = event.quote
        return kind, {
            **_of_reply(event.hold_id, event.chat_id),
            **_priced(quote.model, quote.price, quote.prompt_tokens, quote.max_tokens),
            "amount": decimal_of(event.amount),
        }
    if isinstance(event, Usage.HoldSettled):
        used = event.consumption
        return "settlement", {
            **_of_reply(event.hold_id, event.chat_id),
            **_priced(used.model, used.price, used.prompt_tokens, used.completion_tokens),
            "estimated": used.estimated,
            "cost": decimal_of(event.cost),
            "charged": decimal_of(event.charged),
            "absorbed": decimal_of(event.absorbed),
        }
    if isinstance(event, Usage.HoldReleased):
        return "release", {**_of_reply(event.hold_id, event.chat_id), "reason": event.reason}
    if isinstance(event, Usage.PrincipalErased):
        return "erased", {}
    return None


def _of_reply(reply_id: UUID, chat_id: UUID) -> dict[str, Any]:
    return {"reply_id": reply_id, "chat_id": chat_id}


def _priced(model: str, price: Price, prompt: int, completion: int) -> dict[str, Any]:
    return {
        "model": model,
        "price_input": decimal_of(price.input_per_million),
        "price_output": decimal_of(price.output_per_million),
        "price_source": price.source,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
    }


def _line(
    recorded: Recorded, account: Usage, entry: Entry, particulars: dict[str, Any]
) -> StatementLine:
    return StatementLine(
        position=recorded.position,
        at=recorded.recorded_at,
        entry=entry,
        balance=decimal_of(account.balance),
        reserved=decimal_of(account.reserved),
        allowance_used=account.state.allowance_used,
        currency=account.state.currency,
        **particulars,
    )
