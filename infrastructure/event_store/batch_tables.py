"""What a batch reads and writes; how it does so is the engine's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from application.ports import Append, Lease
from infrastructure.event_store.codec import RowValues
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import address_uses

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
_read_windows = select(address_uses).where(
    address_uses.c.address.in_(bindparam("addresses", expanding=True))
)
_count_window = update(address_uses).where(address_uses.c.address == bindparam("of"))


class AddressWindows:
    """What visitors' addresses used, on any engine. Few batches have any."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, writes: Sequence[Write], now: datetime) -> dict[bytes, Window]:
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

    def write(self, windows: dict[bytes, Window]) -> None:
        new = [(a, window) for a, window in windows.items() if not window.stored]
        changed = [(a, window) for a, window in windows.items() if window.stored]
        if new:
            self._connection.execute(
                insert(address_uses),
                [{"address": a, "used": w.used, "window_ends": w.ends} for a, w in new],
            )
        if changed:
            self._connection.execute(
                _count_window, [{"of": a, "used": window.used} for a, window in changed]
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
