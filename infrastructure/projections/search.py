"""The full-text index over messages, as the views have it, on whichever engine they are.

An index knows each text by its message's number, and whose it is: a search never walks through what
others wrote.
"""

from collections.abc import Sequence
from types import ModuleType

from sqlalchemy import Connection

from infrastructure.projections import search_fts5, search_tsvector
from infrastructure.projections.search_words import Entry

NAME = "search"

BY_ENGINE: dict[str, ModuleType] = {"sqlite": search_fts5, "postgresql": search_tsvector}
"""Both have `create`, `add`, `remove`, and for a search `found` with its `bounds`."""


def create(connection: Connection) -> None:
    BY_ENGINE[connection.dialect.name].create(connection)


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    if some := _with_words(entries):
        BY_ENGINE[connection.dialect.name].add(connection, some)


def remove(connection: Connection, entries: Sequence[Entry]) -> None:
    """The entries must be as they were added: the index forgets exactly their words."""
    if some := _with_words(entries):
        BY_ENGINE[connection.dialect.name].remove(connection, some)


def _with_words(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.content]
