"""An account as it was at a position of the log."""

from datetime import datetime
from uuid import UUID

import msgspec

from application.ledger.event_words import Named
from application.queries import decimal_of
from domain.usage import Kind, Usage


class AccountThen(msgspec.Struct, frozen=True, tag_field="state", tag="account"):
    """Amounts are decimals. `holds` are the replies it held for."""

    principal: UUID
    principal_name: str
    kind: Kind
    currency: str
    balance: str
    held: str
    available: str
    spent: str
    messages: int
    allowance_used: int
    resets_at: datetime | None
    erased: bool
    holds: list[UUID]


def account_then(usage: Usage, named: Named) -> AccountThen:
    state = usage.state
    return AccountThen(
        usage.id,
        named(usage.id),
        state.kind,
        state.currency,
        decimal_of(usage.balance),
        decimal_of(usage.reserved),
        decimal_of(usage.available),
        decimal_of(state.spent),
        state.messages,
        state.allowance_used,
        state.resets_at,
        state.erased,
        list(state.holds),
    )
