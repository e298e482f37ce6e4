"""The tables of a batch on PostgreSQL: one round trip to read, one to write.

While a batch is in its transaction, no other node writes, so that each round trip counts. All that
is read comes by one statement; all that is written goes in one pipeline, each table's rows as
arrays, so that many rows are one execution.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import sql
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

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
from infrastructure.event_store.schema import commands, events, open_replies, streams
from infrastructure.postgres import driver_of

_READ = """
SELECT 'head', NULL::uuid, max(position), NULL::bytea FROM events
UNION ALL
SELECT 'version', stream_id,
    (SELECT max(version) FROM events WHERE events.stream_id = streams.stream_id), NULL
FROM streams WHERE stream_id = ANY(%(streams)b::uuid[])
UNION ALL
SELECT 'command', NULL, NULL, id FROM commands WHERE id = ANY(%(commands)b::bytea[])
UNION ALL
SELECT 'erased', principal, NULL, NULL FROM erasures WHERE principal = ANY(%(owners)b::uuid[])
UNION ALL
SELECT 'lease', node, epoch, NULL FROM leases WHERE node = ANY(%(nodes)b::uuid[])
    AND expires_at
        > coalesce(%(now)b::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
"""
_GIVE = """
UPDATE streams SET owner = given.owner
FROM unnest(%b::uuid[], %b::uuid[]) AS given(id, owner) WHERE stream_id = given.id
"""
_CLOSE = "DELETE FROM open_replies WHERE reply_id = ANY(%b::uuid[])"


class PostgresBatchTables:
    """Implements `BatchTables`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._windows = AddressWindows(connection)

    def read(self, writes: Sequence[Write], now: datetime, time: LeaseTime) -> Known:
        known = Known(0, {}, set(), set(), set(), self._windows.read(writes, now))
        asked = {
            "streams": list(streams_of(writes)),
            "commands": commands_of(writes),
            "owners": list(owners_of(writes)),
            "nodes": list(nodes_of(writes)),
            "now": time.given(),
        }
        with driver_of(self._connection) as driver, driver.cursor(binary=True) as cursor:
            for kind, uuid, number, digest in cursor.execute(_READ, asked):
                match kind:
                    case "head":
                        known.head = number or 0
                    case "version":
                        known.versions[uuid] = number
                    case "command":
                        known.commands.add(digest)
                    case "erased":
                        known.erased.add(uuid)
                    case _:
                        known.leases.add(Lease(uuid, number))
        return known

    def write(self, written: Written) -> None:
        with (
            driver_of(self._connection) as driver,
            driver.pipeline(),
            driver.cursor() as cursor,
        ):
            for table, rows in (
                (streams, [row_of(part) for part in written.new_streams]),
                (events, written.events),
                (commands, [msgspec.structs.asdict(each) for each in written.commands]),
                (open_replies, written.opened),
            ):
                if rows:
                    cursor.execute(_INSERTS[table.name], _columns(table, rows))
            if written.given_streams:
                ids = [part.stream_id for part in written.given_streams]
                cursor.execute(_GIVE, (ids, [part.owner for part in written.given_streams]))
            if written.closed:
                cursor.execute(_CLOSE, (written.closed,))
        self._windows.write(written.windows)


def _columns(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in table.columns.keys()]  # noqa: SIM118


def _insert(table: Table) -> sql.Composed:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = [each.type.compile(dialect=dialect) for each in table.columns]
    return sql.SQL("INSERT INTO {} ({}) SELECT * FROM unnest({})").format(
        sql.Identifier(str(table.name)),
        sql.SQL(", ").join(sql.Identifier(str(each.name)) for each in table.columns),
        sql.SQL(", ").join(sql.SQL(f"%b::{kind}[]") for kind in types),
    )


_INSERTS = {str(table.name): _insert(table) for table in (streams, events, commands, open_replies)}
