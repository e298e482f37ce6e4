"""Comparing two sets of views row by row, without showing what is in them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import zip_longest
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Select, select

from application.projections import Difference
from infrastructure.projections import search
from infrastructure.projections.columns import metadata

Row: TypeAlias = Sequence[Any]

AT_ONCE = 10_000


class Contents:
    """The rows of one table, in the order of its key: its first columns."""

    def __init__(self, name: str, columns: Sequence[str], key: int, query: Select[Any]) -> None:
        self.name = name
        self.columns = columns
        self.key = key
        self.query = query


def all_contents(engine: str) -> list[Contents]:
    """Of each table, and of the search index."""
    tables = []
    for table in metadata.sorted_tables:
        key = list(table.primary_key)
        columns = [*key, *(column for column in table.columns if column not in set(key))]
        query = select(*columns).order_by(*key)
        names = [str(column.name) for column in columns]
        tables.append(Contents(str(table.name), names, len(key), query))
    indexed = search.index_on(engine).contents
    names = [str(column.name) for column in indexed.selected_columns]
    return [*tables, Contents(search.NAME, names, len(names), indexed)]


def compare(
    live: Connection, rebuilt: Connection, compared: Callable[[int], None] = lambda rows: None
) -> tuple[int, list[Difference]]:
    """How many rows there are, and the first difference of each table that has one.

    `compared` is told how many rows are done.
    """
    rows = 0
    differences = []
    for contents in all_contents(live.dialect.name):
        with _rows(live, contents) as here, _rows(rebuilt, contents) as there:
            while (some := here.fetchmany(AT_ONCE)) == (others := there.fetchmany(AT_ONCE)) != []:
                rows += len(some)
                compared(rows)
            for one, other in zip_longest(some, others):
                if one != other:
                    differences.append(_difference(contents, one, other))
                    break
    return rows, differences


def _difference(contents: Contents, live: Row | None, rebuilt: Row | None) -> Difference:
    def missing(row: Row, is_live: bool) -> Difference:
        key = _key(contents, row)
        whole, nothing = f"a row of {len(row)} columns", None
        return Difference(
            contents.name,
            key,
            "*",
            whole if is_live else nothing,
            nothing if is_live else whole,
        )

    if live is None or rebuilt is None:
        return missing(live or rebuilt or (), live is not None)
    here, there = tuple(live[: contents.key]), tuple(rebuilt[: contents.key])
    if here != there:
        # Both are in order: the smaller one has no like on the other side.
        return missing(live, True) if _order(here) < _order(there) else missing(rebuilt, False)
    column = next(n for n, value in enumerate(live) if value != rebuilt[n])
    return Difference(
        contents.name,
        _key(contents, live),
        contents.columns[column],
        _shown(live[column]),
        _shown(rebuilt[column]),
    )


def _order(key: Row) -> tuple[object, ...]:
    """As the database has it: texts by their bytes."""
    return tuple(value.encode() if isinstance(value, str) else value for value in key)


def _key(contents: Contents, row: Row) -> str:
    """Ids in full, but for the words of the search index."""
    shown = []
    for value in row[: contents.key]:
        if isinstance(value, bytes):
            shown.append(str(UUID(bytes=value)))
        elif contents.name == search.NAME:
            shown.append(_shown(value))
        else:
            shown.append(str(value))
    return ", ".join(
        f"{name} {value}" for name, value in zip(contents.columns, shown, strict=False)
    )


def _shown(value: object) -> str:
    """What can be told of a value: texts and bytes by size and digest, all else as it is."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {sha256(value).hexdigest()[:16]}"
    return str(value)


@contextmanager
def _rows(connection: Connection, contents: Contents) -> Iterator[Any]:
    """A cursor over them as they are stored, past SQLAlchemy: an index has dozens for a message."""
    driver = connection.connection.driver_connection
    assert driver is not None
    if connection.dialect.name == "sqlite":
        cursor = driver.cursor()
    else:
        # One of the server's, or all of them would come at once.
        cursor = driver.cursor(name="compared")
    with closing(cursor):
        cursor.execute(str(contents.query.compile(dialect=connection.dialect)))
        yield cursor
