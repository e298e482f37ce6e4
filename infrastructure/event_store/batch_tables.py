"""The tables that a batch reads and writes, each with one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from application.ports import Append, Lease
from infrastructure.event_store.codec import RowValues
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import (
    address_uses,
    commands,
    erasures,
    events,
    leases,
    open_replies,
    streams,
)

OpenReplyValues: TypeAlias = dict[str, Any]


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


class Window(msgspec.Struct):
    """An address's use in its open window."""

    used: int
    ends: float
    stored: bool


class Known(msgspec.Struct):
    """What the log knows of what a batch touches."""

    head: int
    versions: dict[UUID, int]
    """Of the streams that there are."""
    commands: set[bytes]
    """Those that were carried out."""
    erased: set[UUID]
    """Of those to whom something would belong from now on: who was erased."""
    leases: set[Lease]
    """Those that are valid."""
    windows: dict[bytes, Window]


class Written(msgspec.Struct):
    """What a batch writes."""

    events: list[RowValues]
    new_streams: list[StreamWrite]
    given_streams: list[StreamWrite]
    commands: list[CommandRow]
    opened: list[OpenReplyValues]
    closed: list[UUID]
    windows: dict[bytes, Window]


class BatchTables(Protocol):
    def read(self, writes: Sequence[Write], now: datetime, time: LeaseTime) -> Known: ...

    def write(self, written: Written) -> None: ...


# Built once: building costs more than running them.
_read_head = select(func.max(events.c.position))
_read_versions = select(
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
_give_stream = update(streams).where(streams.c.stream_id == bindparam("id"))
_delete_open_replies = delete(open_replies).where(
    open_replies.c.reply_id.in_(bindparam("closed", expanding=True))
)
_count_window = update(address_uses).where(address_uses.c.address == bindparam("of"))


class SqlBatchTables:
    """Implements `BatchTables` on any engine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, writes: Sequence[Write], now: datetime, time: LeaseTime) -> Known:
        return Known(
            head=self._connection.scalar(_read_head) or 0,
            versions=self._versions(streams_of(writes)),
            commands=self._commands(commands_of(writes)),
            erased=self._erased(owners_of(writes)),
            leases=self._leases(nodes_of(writes), time),
            windows=self.windows(writes, now),
        )

    def write(self, written: Written) -> None:
        self._insert_streams(written)
        if written.events:
            self._connection.execute(insert(events), written.events)
        if written.commands:
            rows = [msgspec.structs.asdict(command) for command in written.commands]
            self._connection.execute(insert(commands), rows)
        if written.opened:
            self._connection.execute(insert(open_replies), written.opened)
        if written.closed:
            self._connection.execute(_delete_open_replies, {"closed": written.closed})
        self.write_windows(written)

    def windows(self, writes: Sequence[Write], now: datetime) -> dict[bytes, Window]:
        """Open windows; those that have ended go, so that their addresses are not kept."""
        addresses = {
            address
            for append in (write.append for write in writes)
            for address in (
                append.address_use and append.address_use.address,
                append.address_refund,
            )
            if address
        }
        if not addresses:
            return {}
        ended = address_uses.c.window_ends <= now.timestamp()
        self._connection.execute(delete(address_uses).where(ended))
        rows = self._connection.execute(_read_windows, {"addresses": list(addresses)}).all()
        return {row.address: Window(row.used, row.window_ends, True) for row in rows}

    def write_windows(self, written: Written) -> None:
        new = [(a, window) for a, window in written.windows.items() if not window.stored]
        changed = [(a, window) for a, window in written.windows.items() if window.stored]
        if new:
            self._connection.execute(
                insert(address_uses),
                [{"address": a, "used": w.used, "window_ends": w.ends} for a, w in new],
            )
        if changed:
            self._connection.execute(
                _count_window, [{"of": a, "used": window.used} for a, window in changed]
            )

    def _versions(self, ids: set[UUID]) -> dict[UUID, int]:
        rows = self._connection.execute(_read_versions, {"ids": list(ids)}).all()
        return {row[0]: row[1] for row in rows}

    def _commands(self, ids: list[bytes]) -> set[bytes]:
        return set(self._connection.scalars(_read_commands, {"ids": ids})) if ids else set()

    def _erased(self, owners: set[UUID]) -> set[UUID]:
        if not owners:
            return set()
        return set(self._connection.scalars(_read_erased, {"ids": list(owners)}))

    def _leases(self, nodes: set[UUID], time: LeaseTime) -> set[Lease]:
        if not nodes:
            return set()
        valid = select(leases.c.node, leases.c.epoch).where(
            leases.c.node.in_(nodes), leases.c.expires_at > time.now()
        )
        return {Lease(row.node, row.epoch) for row in self._connection.execute(valid)}

    def _insert_streams(self, written: Written) -> None:
        if written.new_streams:
            self._connection.execute(insert(streams), [row_of(p) for p in written.new_streams])
        if written.given_streams:
            self._connection.execute(
                _give_stream,
                [{"id": part.stream_id, "owner": part.owner} for part in written.given_streams],
            )


def row_of(part: StreamWrite) -> dict[str, Any]:
    return {"stream_id": part.stream_id, "kind": part.kind, "owner": part.owner}


def streams_of(writes: Sequence[Write]) -> set[UUID]:
    return {part.stream_id for write in writes for part in write.streams}


def commands_of(writes: Sequence[Write]) -> list[bytes]:
    return [write.command.id for write in writes if write.command]


def owners_of(writes: Sequence[Write]) -> set[UUID]:
    return {part.owner for write in writes for part in write.streams if part.owner}


def nodes_of(writes: Sequence[Write]) -> set[UUID]:
    return {write.append.lease.node for write in writes if write.append.lease}


def tables_of(connection: Connection) -> BatchTables:
    if connection.dialect.name != "postgresql":
        return SqlBatchTables(connection)
    from infrastructure.event_store.postgres_batch_tables import PostgresBatchTables

    return PostgresBatchTables(connection)
