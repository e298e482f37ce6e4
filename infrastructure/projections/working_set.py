"""The rows of a table that a batch of events touches, kept in memory until the batch is applied."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    Column,
    Connection,
    Table,
    any_,
    bindparam,
    delete,
    insert,
    select,
    update,
)

R = TypeVar("R", bound=msgspec.Struct)
Key: TypeAlias = UUID | int

KEPT = 20_000
"""Rows that a set remembers beyond a batch, where it lives that long."""


class Stored(Generic[R]):
    """A table, and the Struct whose fields are its columns, found by one of them."""

    def __init__(self, table: Table, row: type[R], key: Column[Any]) -> None:
        columns = [table.c[name] for name in row.__struct_fields__]
        matches = key == bindparam("key_", type_=key.type)
        self.table = table
        self.row = row
        self.columns = columns
        self.key = key.name
        self.select = select(*columns).where(
            key.in_(bindparam("keys", type_=key.type, expanding=True))
        )
        self.select_any = select(*columns).where(
            key == any_(bindparam("keys", type_=ARRAY(key.type)))
        )
        """The same on PostgreSQL, where it is one statement for any number of keys."""
        self.insert = insert(table)
        self.update = (
            update(table)
            .where(matches)
            .values({column: bindparam(column.name) for column in columns if column is not key})
        )
        self.delete = delete(table).where(matches)


class Rows(Protocol[R]):
    """The rows of one table, as a working set reads and writes them."""

    def read(self, keys: Sequence[Key]) -> Iterable[R]: ...

    def write(self, inserts: Sequence[R], updates: Sequence[R], deletes: Sequence[Key]) -> None: ...


class LiveRows(Generic[R]):
    """In the transaction of a connection."""

    def __init__(self, stored: Stored[R], connection: Connection) -> None:
        self._stored = stored
        self._connection = connection

    def read(self, keys: Sequence[Key]) -> Iterable[R]:
        stored = self._stored
        query = stored.select if self._connection.dialect.name == "sqlite" else stored.select_any
        for values in self._connection.execute(query, {"keys": keys}):
            yield stored.row(*values)

    def write(self, inserts: Sequence[R], updates: Sequence[R], deletes: Sequence[Key]) -> None:
        stored = self._stored
        changed = [
            {**msgspec.structs.asdict(row), "key_": getattr(row, stored.key)} for row in updates
        ]
        statements: tuple[tuple[Any, list[dict[str, Any]]], ...] = (
            (stored.delete, [{"key_": each} for each in deletes]),
            (stored.update, changed),
            (stored.insert, [msgspec.structs.asdict(row) for row in inserts]),
        )
        for statement, rows in statements:
            if rows:
                self._connection.execute(statement, rows)


class WorkingSet(Generic[R]):
    """Read in one SELECT, changed in memory, written with one statement for all rows of a kind.

    A row that was not prefetched is read when it is first asked for.
    """

    def __init__(self, rows: Rows[R], key: str) -> None:
        """`key` is the name of the field that rows are found by."""
        self._stored = rows
        self._key = key
        self._rows: dict[Key, R | None] = {}
        self._new: dict[Key, None] = {}
        """Not in the table yet."""
        self._touched: dict[Key, None] = {}
        self._removed: set[Key] = set()
        """Still in the table."""

    def prefetch(self, keys: Iterable[Key]) -> None:
        unknown = [key for key in set(keys) if key not in self._rows]
        if not unknown:
            return
        self._rows.update(dict.fromkeys(unknown))
        for row in self._stored.read(unknown):
            self._rows[getattr(row, self._key)] = row

    def find(self, key: Key) -> R | None:
        try:
            return self._rows[key]
        except KeyError:
            self.prefetch((key,))
            return self._rows[key]

    def get(self, key: Key) -> R:
        """Raises KeyError."""
        row = self._rows.get(key) or self.find(key)
        if row is None:
            raise KeyError(key)
        return row

    def change(self, key: Key) -> R:
        """The row, to be changed in place. Raises KeyError."""
        row = self._rows.get(key) or self.get(key)
        self._touched[key] = None
        return row

    def add(self, key: Key, row: R) -> R:
        """A new row. Raises ValueError where there is one."""
        if self._rows.get(key) is not None:
            raise ValueError(f"there is a row of {key}")
        self._rows[key] = row
        if key in self._removed:
            self._removed.discard(key)
            self._touched[key] = None
        else:
            self._new[key] = None
        return row

    def remove(self, key: Key) -> R:
        """Take the row out; returns it. Raises KeyError."""
        row = self.get(key)
        self._rows[key] = None
        if key in self._new:
            del self._new[key]
        else:
            self._removed.add(key)
        return row

    def forget(self, gone: Callable[[R], bool]) -> None:
        """Drop rows that another statement takes out of the table."""
        for key, row in self._rows.items():
            if row is not None and gone(row):
                self._rows[key] = None
                self._new.pop(key, None)

    def flush(self) -> None:
        """Write what was changed since the last time."""
        rows = self._rows
        inserts = [row for key in self._new if (row := rows[key]) is not None]
        updates = [
            row for key in self._touched if key not in self._new and (row := rows[key]) is not None
        ]
        self._stored.write(inserts, updates, list(self._removed))
        self._new.clear()
        self._touched.clear()
        self._removed.clear()
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        for key in list(islice(self._rows, max(0, len(self._rows) - KEPT))):
            del self._rows[key]
