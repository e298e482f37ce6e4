"""Queries that are asked so often that what the library does around them counts."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Connection, Select, func, select
from sqlalchemy.engine import Dialect

from infrastructure.projections.columns import Id

R = TypeVar("R")
Convert: TypeAlias = Callable[[Any], Any]


class _Made(NamedTuple):
    text: str
    wanted: list[tuple[str, Convert]]
    """The names of the values, in the text's order, and what makes of them what is stored."""
    fixed: dict[str, Any]
    """Values that the statement brings with it."""


class Prepared(Generic[R]):
    """A query whose text and conversions are made once, and which SQLite's driver then runs itself.

    There all rows come as one, in JSON: the driver lets go of the GIL for each row it steps to, and
    threads that take turns at it for every row cost more than the query. On PostgreSQL, where the
    way to the server costs more, the library runs it.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]], row: type[R]) -> None:
        """`row` is a tuple's type, or an array-like Struct, with a type for each column.

        Ids are UUIDs, all else comes as it is stored; no other bytes are selected.
        """
        self._statement = statement
        self._rows: Any = list[row]  # type: ignore[valid-type]
        self._decode: Callable[[str], list[R]] = msgspec.json.Decoder(self._rows).decode
        self._made: _Made | None = None

    def rows(self, connection: Connection, **values: object) -> list[R]:
        """All of them, within the connection's transaction. Raises KeyError for a missing value."""
        if connection.dialect.name == "sqlite":
            return self._decode(self._in_one(connection, values))
        found = [tuple(row) for row in connection.execute(self._statement, values)]
        rows: list[R] = msgspec.convert(found, self._rows)
        return rows

    def _in_one(self, connection: Connection, values: dict[str, object]) -> str:
        if self._made is None:
            self._made = _make(_as_one(self._statement), connection.dialect)
        text, wanted, fixed = self._made
        given = {**fixed, **values} if fixed else values
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.execute(text, [convert(given[name]) for name, convert in wanted])
        ((rows,),) = cursor.fetchall()
        return str(rows)


def _as_one(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """The rows as one JSON array, in their order, which SQLite keeps for such an aggregate."""
    cells = [
        func.nullif(func.hex(column), "") if isinstance(column.type, Id) else column
        for column in statement.subquery().c
    ]
    return select(func.json_group_array(func.json_array(*cells)))


def _make(statement: Select[*tuple[Any, ...]], dialect: Dialect) -> _Made:
    compiled = statement.compile(dialect=dialect)
    wanted: list[tuple[str, Convert]] = []
    fixed = {}
    for name in compiled.positiontup or ():
        bind = compiled.binds[name]
        stored = bind.type.dialect_impl(dialect).bind_processor(dialect)
        wanted.append((name, stored or _as_is))
        if not bind.required:
            fixed[name] = bind.value
    return _Made(str(compiled), wanted, fixed)


def _as_is(value: object) -> object:
    return value
