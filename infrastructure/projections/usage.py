"""The view of accounts: an anonymous allowance, or a balance with what is reserved of it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    String,
    Table,
    bindparam,
    delete,
    select,
)

from application.ports import Principal, Recorded
from application.queries import UsageView, decimal_of
from domain.usage import Kind, Usage
from infrastructure.projections.checkpoint import checkpoint
from infrastructure.projections.columns import Id, Instant, metadata
from infrastructure.projections.view import Handlers, Storage
from infrastructure.projections.working_set import Stored

# An account's stream has its principal's id. Amounts are nanos of the currency.
accounts = Table(
    "accounts",
    metadata,
    Column("principal", Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("topped_up", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("allowance_used", Integer, nullable=False),
    Column("resets_at", Instant),
    sqlite_with_rowid=False,
)

# Only those that are open.
holds = Table(
    "holds",
    metadata,
    Column("hold_id", Id, primary_key=True),
    Column("principal", Id, nullable=False),
    Column("amount", BigInteger, nullable=False),
    # The end of the window whose allowance it took; NULL on a balance.
    Column("resets_at", Instant),
    sqlite_with_rowid=False,
)


class AccountRow(msgspec.Struct):
    principal: UUID
    kind: Kind
    currency: str
    topped_up: int = 0
    spent: int = 0
    reserved: int = 0
    messages: int = 0
    allowance_used: int = 0
    resets_at: datetime | None = None


class HoldRow(msgspec.Struct):
    hold_id: UUID
    principal: UUID
    amount: int
    resets_at: datetime | None = None


class Terms(msgspec.Struct, frozen=True):
    """What an account that nobody has used yet begins with. The balance is in nanos."""

    anon_limit: int
    starting_balance: int
    currency: str


_accounts = Stored(accounts, AccountRow, accounts.c.principal)
_holds = Stored(holds, HoldRow, holds.c.hold_id)


class UsageAccounts:
    name = "usage"

    def __init__(self, storage: Storage) -> None:
        self._connection = storage.connection
        self.accounts = storage.rows(_accounts)
        self.holds = storage.rows(_holds)
        self.erased: set[UUID] = set()
        self.handlers: Handlers = {
            Usage.Created: self.on_created,
            Usage.ToppedUp: self.on_topped_up,
            Usage.AmountHeld: self.on_amount_held,
            Usage.AllowanceHeld: self.on_allowance_held,
            Usage.HoldSettled: self.on_hold_settled,
            Usage.HoldReleased: self.on_hold_released,
            Usage.PrincipalErased: self.on_principal_erased,
        }

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        created = {r.stream_id for r in batch if isinstance(r.event, Usage.Created)}
        held: set[UUID] = set()
        ended: set[UUID] = set()
        for recorded in batch:
            event = recorded.event
            if isinstance(event, Usage.AmountHeld | Usage.AllowanceHeld):
                held.add(event.hold_id)
            elif isinstance(event, Usage.HoldSettled | Usage.HoldReleased):
                ended.add(event.hold_id)
        self.accounts.prefetch({r.stream_id for r in batch} - created)
        self.holds.prefetch(ended - held)

    def flush(self) -> None:
        self.accounts.flush()
        if self.erased:
            self.holds.forget(lambda hold: hold.principal in self.erased)
            of = [{"of": principal} for principal in self.erased]
            self._connection.execute(_delete_holds, of)
            self.erased.clear()
        self.holds.flush()

    def on_created(self, event: Usage.Created, recorded: Recorded) -> None:
        account = AccountRow(recorded.stream_id, event.kind, event.currency)
        self.accounts.add(recorded.stream_id, account)

    def on_topped_up(self, event: Usage.ToppedUp, recorded: Recorded) -> None:
        self.accounts.change(recorded.stream_id).topped_up += event.amount

    def on_amount_held(self, event: Usage.AmountHeld, recorded: Recorded) -> None:
        self.holds.add(event.hold_id, HoldRow(event.hold_id, recorded.stream_id, event.amount))
        self.accounts.change(recorded.stream_id).reserved += event.amount

    def on_allowance_held(self, event: Usage.AllowanceHeld, recorded: Recorded) -> None:
        hold = HoldRow(event.hold_id, recorded.stream_id, event.amount, event.resets_at)
        self.holds.add(event.hold_id, hold)
        account = self.accounts.change(recorded.stream_id)
        if account.resets_at != event.resets_at:
            account.resets_at = event.resets_at
            account.allowance_used = 0
        account.allowance_used += 1

    def on_hold_settled(self, event: Usage.HoldSettled, recorded: Recorded) -> None:
        account = self.accounts.change(recorded.stream_id)
        self._end_hold(account, event.hold_id)
        account.spent += event.charged
        account.messages += 1

    def on_hold_released(self, event: Usage.HoldReleased, recorded: Recorded) -> None:
        account = self.accounts.change(recorded.stream_id)
        hold = self._end_hold(account, event.hold_id)
        # What an earlier window lent is not given back to this one.
        if hold.resets_at is not None and hold.resets_at == account.resets_at:
            account.allowance_used -= 1

    def on_principal_erased(self, event: Usage.PrincipalErased, recorded: Recorded) -> None:
        self.accounts.remove(recorded.stream_id)
        self.erased.add(recorded.stream_id)

    def _end_hold(self, account: AccountRow, hold_id: UUID) -> HoldRow:
        hold = self.holds.remove(hold_id)
        if hold.resets_at is None:
            account.reserved -= hold.amount
        return hold


_delete_holds = delete(holds).where(holds.c.principal == bindparam("of"))

_account = select(
    checkpoint.c.position, *(accounts.c[name] for name in AccountRow.__struct_fields__)
)


def usage(connection: Connection, principal: Principal, terms: Terms, now: datetime) -> UsageView:
    """The account as it stands; one that nobody has used yet, as it would begin."""
    of_principal = accounts.c.principal == principal.id
    position, *values = connection.execute(
        _account.select_from(checkpoint.outerjoin(accounts, of_principal))
    ).one()
    account = AccountRow(*values) if values[0] is not None else None
    if principal.kind == "anonymous":
        return _allowance(account, terms.anon_limit, now, position)
    if account is None:
        account = AccountRow(principal.id, "user", terms.currency, topped_up=terms.starting_balance)
    return _balance(account, position)


def _allowance(account: AccountRow | None, limit: int, now: datetime, position: int) -> UsageView:
    used, resets_at = 0, None
    if account is not None and account.resets_at is not None and now < account.resets_at:
        used, resets_at = account.allowance_used, account.resets_at
    return UsageView(
        kind="anonymous",
        limit=limit,
        used=used,
        remaining=max(0, limit - used),
        resets_at=resets_at,
        position=position,
    )


def _balance(account: AccountRow, position: int) -> UsageView:
    balance = account.topped_up - account.spent
    return UsageView(
        kind="user",
        balance=decimal_of(balance),
        reserved=decimal_of(account.reserved),
        available=decimal_of(balance - account.reserved),
        spent=decimal_of(account.spent),
        currency=account.currency,
        messages=account.messages,
        position=position,
    )
