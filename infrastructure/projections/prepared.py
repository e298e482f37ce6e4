"""Queries that are asked so often that what the library does around them counts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect

Convert: TypeAlias = Callable[[Any], Any]


class _Made(NamedTuple):
    text: str
    wanted: list[tuple[str, Convert]]
    """The names of the values, in the text's order, and what makes of them what is stored."""
    fixed: dict[str, Any]
    """Values that the statement brings with it."""


class Prepared:
    """A query whose text and conversions are made once, and which SQLite's driver then runs itself.

    Rows come as they are stored: the statement selects columns `as_stored`. On PostgreSQL, where
    the way to the server costs more, the library runs it.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self._statement = statement
        self._made: _Made | None = None

    def rows(self, connection: Connection, **values: object) -> Sequence[Sequence[Any]]:
        """All of them, within the connection's transaction. Raises KeyError for a missing value."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, values).all()
        if self._made is None:
            self._made = _make(self._statement, connection.dialect)
        text, wanted, fixed = self._made
        given = {**fixed, **values} if fixed else values
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.execute(text, [convert(given[name]) for name, convert in wanted])
        rows: Sequence[Sequence[Any]] = cursor.fetchall()
        return rows


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
