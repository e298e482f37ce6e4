"""The tables of a batch on SQLite: one statement to read, one a table to write.

Past SQLAlchemy's own statements, as an append alone would spend more on them than on all else of
it; its errors stay. Ids are bound as their digits, and bytes as `bytearray`: of `bytes` the driver
first looks for an adapter, which takes longer than to store them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Table, Uuid

from application.ports import Lease
from infrastructure.event_store.batch_tables import (
    AddressWindows,
    Known,
    Write,
    Written,
    commands_of,
    nodes_of,
    owners_of,
    row_of,
    streams_of,
)
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import Bytes, commands, events, open_replies, streams

_READ = """
SELECT 'head', NULL, max(position) FROM events
UNION ALL
SELECT 'version', stream_id,
    (SELECT max(version) FROM events WHERE events.stream_id = streams.stream_id)
FROM streams WHERE stream_id IN ({streams})
UNION ALL
SELECT 'command', id, NULL FROM commands WHERE id IN ({commands})
UNION ALL
SELECT 'erased', principal, NULL FROM erasures WHERE principal IN ({owners})
UNION ALL
SELECT 'lease', node, epoch FROM leases WHERE node IN ({nodes}) AND expires_at > ?
"""
_GIVE = "UPDATE streams SET owner = ? WHERE stream_id = ?"
_CLOSE = "DELETE FROM open_replies WHERE reply_id IN ({closed})"

Bind: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
"""A column's values, as the driver takes them."""


class SqliteBatchTables:
    """Implements `BatchTables`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._windows = AddressWindows(connection)

    def read(self, writes: Sequence[Write], now: datetime, time: LeaseTime) -> Known:
        known = Known(0, {}, set(), set(), set(), self._windows.read(writes, now))
        touched = {each.hex: each for each in streams_of(writes)}
        owners = {each.hex: each for each in owners_of(writes)}
        nodes = {each.hex: each for each in nodes_of(writes)}
        given = [bytearray(each) for each in commands_of(writes)]
        statement = _READ.format(
            streams=_marks(touched),
            commands=_marks(given),
            owners=_marks(owners),
            nodes=_marks(nodes),
        )
        values = (*touched, *given, *owners, *nodes, time.given())
        for kind, key, number in self._connection.exec_driver_sql(statement, values):
            match kind:
                case "head":
                    known.head = number or 0
                case "version":
                    known.versions[touched[key]] = number
                case "command":
                    known.commands.add(key)
                case "erased":
                    known.erased.add(owners[key])
                case _:
                    known.leases.add(Lease(nodes[key], number))
        return known

    def write(self, written: Written) -> None:
        for table, rows in (
            (_streams, [row_of(part) for part in written.new_streams]),
            (_events, written.events),
            (_commands, [msgspec.structs.asdict(each) for each in written.commands]),
            (_open_replies, written.opened),
        ):
            if rows:
                self._connection.exec_driver_sql(table.insert, table.bound(rows))
        if written.given_streams:
            given = [
                (part.owner and part.owner.hex, part.stream_id.hex)
                for part in written.given_streams
            ]
            self._connection.exec_driver_sql(_GIVE, given)
        if written.closed:
            closed = tuple(each.hex for each in written.closed)
            self._connection.exec_driver_sql(_CLOSE.format(closed=_marks(closed)), closed)
        self._windows.write(written.windows)


class _Inserted:
    """A table, with its statement and what its columns bind."""

    def __init__(self, table: Table) -> None:
        names = [column.name for column in table.columns]
        self.insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({_marks(names)})"  # noqa: S608 - our own names
        self._columns = [(column.name, _bind_of(column.type)) for column in table.columns]

    def bound(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        columns = [bind([row[name] for row in rows]) for name, bind in self._columns]
        return list(zip(*columns, strict=True))


def _bind_of(kind: object) -> Bind:
    if isinstance(kind, Uuid):
        return _digits
    return _byte_arrays if isinstance(kind, Bytes) else _as_they_are


def _digits(ids: Sequence[UUID]) -> list[str]:
    return [each.hex for each in ids]


def _byte_arrays(values: Sequence[bytes | None]) -> list[bytearray | None]:
    return [None if each is None else bytearray(each) for each in values]


def _as_they_are(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _marks(values: Any) -> str:
    return ", ".join("?" * len(values))


_streams, _events, _commands, _open_replies = map(
    _Inserted, (streams, events, commands, open_replies)
)
