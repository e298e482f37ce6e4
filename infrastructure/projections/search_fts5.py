"""The full-text index on SQLite: FTS5.

It keeps no texts. The owner is a term of its own.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, column, literal_column, select, table

from infrastructure.projections import fts5
from infrastructure.projections.search_words import Entry, term_of

_create = """
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(
    content, owner, content='', columnsize=0,
    tokenize="unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
)
"""
# Stores nothing; for comparing two indexes by what is in them.
_create_terms = "CREATE VIRTUAL TABLE IF NOT EXISTS search_terms USING fts5vocab(search, instance)"
_search = table("search", column("rowid"))
_terms = table("search_terms", column("term"), column("doc"), column("col"), column("offset"))
contents = select(_terms)
"""What is in the index, in its own order: by term, message, column and place."""

found: Any = (
    select(_search.c.rowid.label("number"))
    .where(
        literal_column("search").op("MATCH")(bindparam("match")),
        _search.c.rowid < bindparam("before"),
    )
    .order_by(_search.c.rowid.desc())
    .limit(bindparam("limit"))
    .subquery("found")
)
"""Numbers of messages below `before`, newest first."""


def create(connection: Connection) -> None:
    connection.exec_driver_sql(_create)
    connection.exec_driver_sql(_create_terms)


def finish_filling(connection: Connection) -> None:
    connection.exec_driver_sql(fts5.SET, list(fts5.LIVE))


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    connection.exec_driver_sql(fts5.ADD, fts5.rows_of(entries))


def remove(connection: Connection, entries: Sequence[Entry]) -> None:
    connection.exec_driver_sql(fts5.REMOVE, fts5.rows_of(entries))


def bounds(owner: UUID, words: Sequence[str], before: int, limit: int) -> dict[str, Any]:
    phrases = " AND ".join(f'"{word}"' for word in words)
    match = f'owner:"{term_of(owner)}" AND content:({phrases}*)'
    return {"match": match, "before": before, "limit": limit}
