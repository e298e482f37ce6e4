"""The rows of a set of views that is being filled: SQLite's driver itself, and bare values.

Ids come as text and times as microseconds (`infrastructure.event_store.bare_events`); what is
written is the same as in the live views.
"""

from collections.abc import Iterable, Sequence
from sqlite3 import Cursor
from typing import Any, Generic
from uuid import UUID

import msgspec
from sqlalchemy import Connection, LargeBinary

from infrastructure.projections.columns import Id
from infrastructure.projections.texts import Texts
from infrastructure.projections.working_set import Key, R, Stored, WorkingSet

KEYS_AT_ONCE = 500


class FillingStorage:
    """`connection` is one for the whole filling, in a new transaction for each batch."""

    def __init__(self, connection: Connection, texts: Texts) -> None:
        self.connection = connection
        self.texts = texts
        driver = connection.connection.driver_connection
        assert driver is not None
        self._cursor: Cursor = driver.cursor()

    def rows(self, stored: Stored[R]) -> WorkingSet[R]:
        return WorkingSet(FillingRows(stored, self._cursor), stored.key)


class FillingRows(Generic[R]):
    def __init__(self, stored: Stored[R], cursor: Cursor) -> None:
        names = [column.name for column in stored.columns]
        table, key = stored.table.name, stored.key
        self._row = stored.row
        self._cursor = cursor
        self._key = names.index(key)
        types = [column.type for column in stored.columns]
        self._ids = [place for place, kind in enumerate(types) if isinstance(kind, Id)]
        self._bytes = [place for place, kind in enumerate(types) if isinstance(kind, LargeBinary)]
        # ruff: noqa: S608 - the names are those of our own tables
        self._select = f"SELECT {', '.join(names)} FROM {table} WHERE {key} IN "
        self._insert = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
        )
        self._update = (
            f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in names)} WHERE {key} = ?"
        )
        self._delete = f"DELETE FROM {table} WHERE {key} = ?"

    def read(self, keys: Sequence[Key]) -> Iterable[R]:
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = _stored_ids(keys[start : start + KEYS_AT_ONCE])
            marks = ", ".join("?" * len(some))
            for values in self._cursor.execute(f"{self._select}({marks})", some).fetchall():
                row = list(values)
                for place in self._ids:
                    row[place] = None if row[place] is None else str(UUID(bytes=row[place]))
                yield self._row(*row)

    def write(self, inserts: Sequence[R], updates: Sequence[R], deletes: Sequence[Key]) -> None:
        if deletes:
            self._cursor.executemany(self._delete, [(key,) for key in _stored_ids(deletes)])
        if updates:
            columns = self._columns_of(updates)
            self._cursor.executemany(self._update, zip(*columns, columns[self._key], strict=True))
        if inserts:
            self._cursor.executemany(self._insert, zip(*self._columns_of(inserts), strict=True))

    def _columns_of(self, rows: Sequence[R]) -> list[Sequence[Any]]:
        """Column by column, so that only those with ids or bytes are touched."""
        columns: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        for place in self._ids:
            columns[place] = _stored_ids(columns[place])
        for place in self._bytes:
            columns[place] = [None if each is None else bytearray(each) for each in columns[place]]
        return columns


def _stored_ids(ids: Sequence[Any]) -> list[bytearray | None]:
    """Ids as their bytes.

    A bytearray: of `bytes` the driver first looks for an adapter, and binds them a few times as
    slowly.
    """
    return [None if each is None else bytearray.fromhex(each.replace("-", "")) for each in ids]
