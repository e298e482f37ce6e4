"""Committing many appends in one transaction: read once, admit in order, insert once.

All of it is synchronous and takes a plain connection that holds the write lock.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from application.errors import (
    AddressLimitReached,
    CommandRepeated,
    LeaseLost,
    PrincipalErased,
    VersionConflict,
)
from application.ports import Append
from infrastructure.event_store.batch_tables import (
    BatchTables,
    OpenReplyValues,
    Window,
    Write,
    Written,
)
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import events, micros
from infrastructure.event_store.sqlite_batch_tables import SqliteBatchTables

Refused = VersionConflict | CommandRepeated | LeaseLost | AddressLimitReached | PrincipalErased


class Batch:
    """What is known under the lock, and what has been admitted so far."""

    def __init__(
        self, tables: BatchTables, writes: Sequence[Write], now: datetime, time: LeaseTime
    ) -> None:
        self._tables = tables
        self._now = now
        self._known = known = tables.read(writes, now, time)
        self._head = known.head
        self._known_streams = set(known.versions)
        self._touched_addresses: set[bytes] = set()
        self._admitted: list[Write] = []

    def admit(self, write: Write) -> int | Refused:
        """The position of its last event, or why it is refused; a refusal changes nothing."""
        refusal = self._refusal(write)
        if refusal is not None:
            return refusal
        self._count_address(write.append)
        if write.command:
            self._known.commands.add(write.command.id)
        for part in write.streams:
            for row in part.rows:
                self._head += 1
                row["position"] = self._head
            self._known.versions[part.stream_id] = part.expected + len(part.rows)
        self._admitted.append(write)
        return self._head

    def insert(self) -> None:
        """Write what was admitted: one statement a table."""
        parts = [part for write in self._admitted for part in write.streams]
        appends = [write.append for write in self._admitted]
        owners = {part.stream_id: part for part in parts if part.owner is not None}
        windows = {address: self._known.windows[address] for address in self._touched_addresses}
        self._tables.write(
            Written(
                events=[row for part in parts for row in part.rows],
                new_streams=[p for p in owners.values() if p.stream_id not in self._known_streams],
                given_streams=[p for p in owners.values() if p.stream_id in self._known_streams],
                commands=[write.command for write in self._admitted if write.command],
                opened=[_open_reply(append, self._now) for append in appends if append.opens],
                closed=[append.closes for append in appends if append.closes],
                windows=windows,
            )
        )

    def _refusal(self, write: Write) -> Refused | None:
        append, known = write.append, self._known
        if write.command and write.command.id in known.commands:
            return CommandRepeated()
        if append.lease and append.lease not in known.leases:
            return LeaseLost()
        for part in write.streams:
            if part.expected != known.versions.get(part.stream_id, 0):
                return VersionConflict()
            if part.owner in known.erased and not part.ends_account:
                return PrincipalErased()
        return self._address_refusal(append)

    def _address_refusal(self, append: Append) -> AddressLimitReached | None:
        use = append.address_use
        window = self._known.windows.get(use.address) if use else None
        if use is None:
            return None
        used, ends = (window.used, window.ends) if window else (0, use.window_ends)
        return AddressLimitReached(use.limit, used, ends) if used >= use.limit else None

    def _count_address(self, append: Append) -> None:
        windows = self._known.windows
        if use := append.address_use:
            window = windows.setdefault(use.address, Window(0, use.window_ends, False))
            window.used += 1
            self._touched_addresses.add(use.address)
        refund = append.address_refund
        if refund is not None and (refunded := windows.get(refund)):
            refunded.used = max(0, refunded.used - 1)
            self._touched_addresses.add(refund)


def commit_batch(
    connection: Connection, writes: Sequence[Write], now: datetime, time: LeaseTime
) -> list[int | Refused]:
    """Admit and insert appends in order; for each its position or its refusal.

    Any other error is raised, and nothing of the batch may be committed then.
    """
    batch = Batch(_tables_of(connection), writes, now, time)
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


def _tables_of(connection: Connection) -> BatchTables:
    if connection.dialect.name != "postgresql":
        return SqliteBatchTables(connection)
    from infrastructure.event_store.postgres_batch_tables import PostgresBatchTables

    return PostgresBatchTables(connection)


def _open_reply(append: Append, now: datetime) -> OpenReplyValues:
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
