"""Committing many appends in one transaction: read once, admit in order, insert once.

All of it is synchronous and takes a plain connection that holds the write lock.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from application.errors import (
    AddressLimitReached,
    CommandRepeated,
    LeaseLost,
    PrincipalErased,
    VersionConflict,
)
from application.ports import Append, Lease
from infrastructure.event_store.codec import RowValues
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import (
    address_uses,
    commands,
    erasures,
    events,
    leases,
    micros,
    open_replies,
    streams,
)

# Built once: building costs more than running them.
_read_head = select(func.max(events.c.position))
_read_heads = select(
    streams.c.stream_id,
    # A subquery for each stream reads one end of the index; GROUP BY would read it all.
    select(func.max(events.c.version))
    .where(events.c.stream_id == streams.c.stream_id)
    .scalar_subquery(),
).where(streams.c.stream_id.in_(bindparam("ids", expanding=True)))
_read_commands = select(commands.c.id).where(commands.c.id.in_(bindparam("ids", expanding=True)))
_read_erased = select(erasures.c.principal).where(
    erasures.c.principal.in_(bindparam("ids", expanding=True))
)
_read_windows = select(address_uses).where(
    address_uses.c.address.in_(bindparam("addresses", expanding=True))
)
_insert_events = insert(events)
_delete_open_replies = delete(open_replies).where(
    open_replies.c.reply_id.in_(bindparam("closed", expanding=True))
)

Refused = VersionConflict | CommandRepeated | LeaseLost | AddressLimitReached | PrincipalErased


class StreamWrite(msgspec.Struct):
    """One stream's part of an append. `expected` is the version it must be at, 0 if new."""

    stream_id: UUID
    kind: str
    expected: int
    rows: list[RowValues]
    owner: UUID | None
    """Whose the stream becomes; None leaves it."""
    ends_account: bool = False
    """It is the account of a principal who is being erased: opened, at the latest, to say so."""


class CommandRow(msgspec.Struct):
    """A row of `commands`."""

    id: bytes
    route: str
    principal: UUID
    request_digest: bytes
    result: bytes


class Write(msgspec.Struct):
    """An append, encoded."""

    streams: list[StreamWrite]
    append: Append
    command: CommandRow | None

    @property
    def has_events(self) -> bool:
        return any(part.rows for part in self.streams)


class _Window(msgspec.Struct):
    """An address's use in its open window."""

    used: int
    ends: float
    stored: bool


class Batch:
    """What is known under the lock, and what has been admitted so far."""

    def __init__(
        self, connection: Connection, writes: Sequence[Write], now: datetime, time: LeaseTime
    ) -> None:
        appends = [write.append for write in writes]
        self._connection = connection
        self._now = now
        self._head = connection.scalar(_read_head) or 0
        self._heads = self._read_heads({part.stream_id for w in writes for part in w.streams})
        self._known_streams = set(self._heads)
        self._repeated = self._read_commands([w.command.id for w in writes if w.command])
        self._erased = self._read_erased(writes)
        self._leases = self._read_leases({a.lease.node for a in appends if a.lease}, time)
        self._windows = self._read_windows(
            {a.address_use.address for a in appends if a.address_use}
            | {a.address_refund for a in appends if a.address_refund}
        )
        self._touched_addresses: set[bytes] = set()
        self._admitted: list[Write] = []

    def admit(self, write: Write) -> int | Refused:
        """The position of its last event, or why it is refused; a refusal changes nothing."""
        refusal = self._refusal(write)
        if refusal is not None:
            return refusal
        self._count_address(write.append)
        if write.command:
            self._repeated.add(write.command.id)
        for part in write.streams:
            for row in part.rows:
                self._head += 1
                row["position"] = self._head
            self._heads[part.stream_id] = part.expected + len(part.rows)
        self._admitted.append(write)
        return self._head

    def insert(self) -> None:
        """Write what was admitted: one statement a table."""
        parts = [part for write in self._admitted for part in write.streams]
        self._insert_streams(parts)
        if rows := [row for part in parts for row in part.rows]:
            self._connection.execute(_insert_events, rows)
        self._insert_commands()
        self._insert_open_replies([write.append for write in self._admitted])
        self._store_windows()

    def _refusal(self, write: Write) -> Refused | None:
        append = write.append
        if write.command and write.command.id in self._repeated:
            return CommandRepeated()
        if append.lease and append.lease not in self._leases:
            return LeaseLost()
        for part in write.streams:
            if part.expected != self._heads.get(part.stream_id, 0):
                return VersionConflict()
            if part.owner in self._erased and not part.ends_account:
                return PrincipalErased()
        return self._address_refusal(append)

    def _address_refusal(self, append: Append) -> AddressLimitReached | None:
        use = append.address_use
        window = self._windows.get(use.address) if use else None
        if use is None:
            return None
        used, ends = (window.used, window.ends) if window else (0, use.window_ends)
        return AddressLimitReached(use.limit, used, ends) if used >= use.limit else None

    def _count_address(self, append: Append) -> None:
        if use := append.address_use:
            window = self._windows.setdefault(use.address, _Window(0, use.window_ends, False))
            window.used += 1
            self._touched_addresses.add(use.address)
        refund = append.address_refund
        if refund is not None and (refunded := self._windows.get(refund)):
            refunded.used = max(0, refunded.used - 1)
            self._touched_addresses.add(refund)

    def _read_heads(self, ids: set[UUID]) -> dict[UUID, int]:
        rows = self._connection.execute(_read_heads, {"ids": list(ids)}).all()
        return {row[0]: row[1] for row in rows}

    def _read_commands(self, ids: list[bytes]) -> set[bytes]:
        if not ids:
            return set()
        return set(self._connection.scalars(_read_commands, {"ids": ids}).all())

    def _read_erased(self, writes: Sequence[Write]) -> set[UUID]:
        """Of those to whom something would belong from now on: who was erased."""
        owners = {part.owner for write in writes for part in write.streams if part.owner}
        if not owners:
            return set()
        return set(self._connection.scalars(_read_erased, {"ids": list(owners)}).all())

    def _read_leases(self, nodes: set[UUID], time: LeaseTime) -> set[Lease]:
        """Those that are valid."""
        if not nodes:
            return set()
        valid = select(leases.c.node, leases.c.epoch).where(
            leases.c.node.in_(nodes), leases.c.expires_at > time.now()
        )
        return {Lease(row.node, row.epoch) for row in self._connection.execute(valid)}

    def _read_windows(self, addresses: set[bytes]) -> dict[bytes, _Window]:
        """Open windows; those that have ended go, so that their addresses are not kept."""
        if not addresses:
            return {}
        ended = address_uses.c.window_ends <= self._now.timestamp()
        self._connection.execute(delete(address_uses).where(ended))
        rows = self._connection.execute(_read_windows, {"addresses": list(addresses)}).all()
        return {row.address: _Window(row.used, row.window_ends, True) for row in rows}

    def _insert_streams(self, parts: list[StreamWrite]) -> None:
        owners = {part.stream_id: part for part in parts if part.owner is not None}
        new = [part for stream_id, part in owners.items() if stream_id not in self._known_streams]
        changed = [part for stream_id, part in owners.items() if stream_id in self._known_streams]
        if new:
            self._connection.execute(
                insert(streams),
                [{"stream_id": p.stream_id, "kind": p.kind, "owner": p.owner} for p in new],
            )
        if changed:
            self._connection.execute(
                update(streams).where(streams.c.stream_id == bindparam("id")),
                [{"id": part.stream_id, "owner": part.owner} for part in changed],
            )

    def _insert_commands(self) -> None:
        if rows := [msgspec.structs.asdict(w.command) for w in self._admitted if w.command]:
            self._connection.execute(insert(commands), rows)

    def _insert_open_replies(self, appends: list[Append]) -> None:
        opened = [_open_reply(append, self._now) for append in appends if append.opens]
        if opened:
            self._connection.execute(insert(open_replies), opened)
        if closed := [append.closes for append in appends if append.closes]:
            self._connection.execute(_delete_open_replies, {"closed": closed})

    def _store_windows(self) -> None:
        touched = [(address, self._windows[address]) for address in self._touched_addresses]
        if new := [(address, window) for address, window in touched if not window.stored]:
            self._connection.execute(
                insert(address_uses),
                [{"address": a, "used": w.used, "window_ends": w.ends} for a, w in new],
            )
        if changed := [(address, window) for address, window in touched if window.stored]:
            self._connection.execute(
                update(address_uses).where(address_uses.c.address == bindparam("of")),
                [{"of": address, "used": window.used} for address, window in changed],
            )


def commit_batch(
    connection: Connection, writes: Sequence[Write], now: datetime, time: LeaseTime
) -> list[int | Refused]:
    """Admit and insert appends in order; for each its position or its refusal.

    Any other error is raised, and nothing of the batch may be committed then.
    """
    batch = Batch(connection, writes, now, time)
    outcomes = [batch.admit(write) for write in writes]
    batch.insert()
    return outcomes


def is_committed(connection: Connection, write: Write) -> bool:
    """Whether an admitted write with events is in the log, at the positions it was given."""
    row = next(row for part in write.streams for row in part.rows)
    there = select(events.c.position).where(
        events.c.position == row["position"],
        events.c.stream_id == row["stream_id"],
        events.c.version == row["version"],
        events.c.payload_digest == row["payload_digest"],
        events.c.meta == row["meta"],
    )
    return connection.scalar(there) is not None


def _open_reply(append: Append, now: datetime) -> dict[str, object]:
    assert append.opens is not None and append.lease is not None
    return {
        "reply_id": append.opens.reply_id,
        "chat_id": append.opens.chat_id,
        "payer": append.opens.payer,
        "node": append.lease.node,
        "epoch": append.lease.epoch,
        "text": b"",
        "reasoning": b"",
        "address": append.address_use.address if append.address_use else None,
        "updated_at": micros(now),
    }
