"""The full-text index over messages, as the views have it, on whichever engine they are.

An index knows each text by its message's number, and whose it is: a search never walks through what
others wrote.
"""

from collections.abc import Sequence
from types import ModuleType

from sqlalchemy import Connection

from infrastructure.projections import search_fts5
from infrastructure.projections.search_words import Entry

NAME = "search"


def index_on(engine: str) -> ModuleType:
    """Its `create`, `add`, `remove`, all its `contents`, and for a search `found` and `bounds`."""
    if engine == "sqlite":
        return search_fts5
    # SQLAlchemy's side of PostgreSQL takes a twentieth of the start.
    from infrastructure.projections import search_tsvector

    return search_tsvector


def create(connection: Connection) -> None:
    index_on(connection.dialect.name).create(connection)


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    if some := _with_words(entries):
        index_on(connection.dialect.name).add(connection, some)


def remove(connection: Connection, entries: Sequence[Entry]) -> None:
    """The entries must be as they were added: the index forgets exactly their words."""
    if some := _with_words(entries):
        index_on(connection.dialect.name).remove(connection, some)


def _with_words(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.content]
