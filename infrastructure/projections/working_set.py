"""The rows of a table that a batch of events touches, kept in memory until the batch is applied."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, delete, insert, select, update

R = TypeVar("R", bound=msgspec.Struct)


class Stored(Generic[R]):
    """A table, and the Struct whose fields are its columns, found by one of them."""

    def __init__(self, table: Table, row: type[R], key: Column[UUID]) -> None:
        columns = [table.c[name] for name in row.__struct_fields__]
        matches = key == bindparam("key_", type_=key.type)
        self.row = row
        self.key = row.__struct_fields__.index(key.name)
        self.select = select(*columns).where(
            key.in_(bindparam("keys", type_=key.type, expanding=True))
        )
        self.insert = insert(table)
        self.update = (
            update(table)
            .where(matches)
            .values({column: bindparam(column.name) for column in columns if column is not key})
        )
        self.delete = delete(table).where(matches)


class WorkingSet(Generic[R]):
    """Read in one SELECT, changed in memory, written with one statement for all rows of a kind.

    A row that was not prefetched is read when it is first asked for.
    """

    def __init__(self, stored: Stored[R], connection: Connection) -> None:
        self._stored = stored
        self._connection = connection
        self._rows: dict[UUID, R | None] = {}
        self._in_table: set[UUID] = set()
        self._touched: dict[UUID, None] = {}

    def prefetch(self, keys: Iterable[UUID]) -> None:
        unknown = [key for key in set(keys) if key not in self._rows]
        if not unknown:
            return
        self._rows.update(dict.fromkeys(unknown))
        for values in self._connection.execute(self._stored.select, {"keys": unknown}):
            key = values[self._stored.key]
            self._rows[key] = self._stored.row(*values)
            self._in_table.add(key)

    def find(self, key: UUID) -> R | None:
        try:
            return self._rows[key]
        except KeyError:
            self.prefetch((key,))
            return self._rows[key]

    def get(self, key: UUID) -> R:
        """Raises KeyError."""
        row = self.find(key)
        if row is None:
            raise KeyError(key)
        return row

    def change(self, key: UUID) -> R:
        """The row, to be changed in place. Raises KeyError."""
        row = self.get(key)
        self._touched[key] = None
        return row

    def add(self, key: UUID, row: R) -> R:
        """A new row. Raises ValueError where there is one."""
        if self._rows.get(key) is not None:
            raise ValueError(f"there is a row of {key}")
        self._rows[key] = row
        self._touched[key] = None
        return row

    def remove(self, key: UUID) -> R:
        """Take the row out; returns it. Raises KeyError."""
        row = self.change(key)
        self._rows[key] = None
        return row

    def forget(self, gone: Callable[[R], bool]) -> None:
        """Drop rows that another statement takes out of the table."""
        for key, row in self._rows.items():
            if row is not None and gone(row):
                self._rows[key] = None
                self._in_table.discard(key)
                self._touched.pop(key, None)

    def flush(self) -> None:
        inserts: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        deletes: list[dict[str, Any]] = []
        for key in self._touched:
            row = self._rows[key]
            if row is None:
                if key in self._in_table:
                    deletes.append({"key_": key})
            elif key in self._in_table:
                updates.append({**msgspec.structs.asdict(row), "key_": key})
            else:
                inserts.append(msgspec.structs.asdict(row))
        for statement, rows in (
            (self._stored.delete, deletes),
            (self._stored.update, updates),
            (self._stored.insert, inserts),
        ):
            if rows:
                self._connection.execute(statement, rows)
        self._touched.clear()
