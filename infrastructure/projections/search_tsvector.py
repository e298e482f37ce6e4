"""The full-text index on PostgreSQL: a tsvector of our own words under a GIN index.

A lexeme is a word behind the key of its owner, so that what others wrote is not even passed by
where a word is only begun. The index knows no order and no long words: what it finds is looked at
once more in `words`, newest first.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.schema import CreateIndex, CreateTable

from infrastructure.projections.search_words import Entry, plain, term_of

LONGEST = 200
"""Characters of a word in the index; PostgreSQL takes 2046 bytes."""

MOST = 900_000
"""Bytes of all lexemes of a text; PostgreSQL takes a megabyte."""

CUT = "+"
"""In place of the lexemes that are too many: no word is like it."""

PENDING_KIB = 256
"""What is written waits in a list, which every search reads through, until it is as long."""

# Apart from the other tables, which are alike on all engines.
metadata = MetaData()
index = Table(
    "search",
    metadata,
    # The message's.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    # The owner, and then the words, each with a space before and behind it.
    Column("words", String, nullable=False),
    Column("lexemes", TSVECTOR, nullable=False),
)
by_lexeme = Index(
    "search_by_lexeme",
    index.c.lexemes,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": PENDING_KIB},
)

contents = select(
    index.c.number, index.c.words, index.c.lexemes.cast(String).label("lexemes")
).order_by(index.c.number)
"""What is in the index. All of it counts as its key, whose words are not shown."""

_add = "INSERT INTO search (number, words, lexemes) VALUES (%s, %s, array_to_tsvector(%s))"
_remove = "DELETE FROM search WHERE number = ANY(%s)"

# What the index finds is put in order first; then only as many texts are looked at as are wanted.
found: Any = (
    text("""
    WITH candidates AS MATERIALIZED (
        SELECT number, words FROM search WHERE lexemes @@ CAST(:match AS tsquery)
    )
    SELECT number FROM (
        SELECT number, words FROM candidates WHERE number < :before
        ORDER BY number DESC OFFSET 0
    ) AS ordered
    WHERE words LIKE ALL (CAST(:patterns AS text[]))
    LIMIT :limit
    """)
    .columns(Column("number", BigInteger))
    .subquery("found")
)
"""Numbers of messages below `before`, newest first."""


def create(connection: Connection) -> None:
    create_table(connection)
    create_index(connection)


def create_table(connection: Connection) -> None:
    """Without its index, which costs less to make in the end."""
    connection.execute(CreateTable(index, if_not_exists=True))


def create_index(connection: Connection) -> None:
    connection.execute(CreateIndex(by_lexeme, if_not_exists=True))


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    rows = []
    for entry in entries:
        words = _words(plain(entry.content))
        lexemes = _lexemes(_key(entry.owner), words)
        rows.append((entry.number, f"{entry.owner} {' '.join(words)} ", lexemes))
    connection.exec_driver_sql(_add, rows)


def remove(connection: Connection, entries: Sequence[Entry]) -> None:
    connection.exec_driver_sql(_remove, ([entry.number for entry in entries],))


def bounds(owner: UUID, words: Sequence[str], before: int, limit: int) -> dict[str, Any]:
    phrases = [found for word in words if (found := _words(word))]
    key = _key(term_of(owner))
    terms = [f"'{key}{word[:LONGEST]}'" for phrase in phrases for word in phrase]
    # The very last word is only begun.
    match = f"({' & '.join(terms)}:*) | '{key}{CUT}'"
    # No word has a character that means something to LIKE.
    patterns = [f"% {' '.join(phrase)} %" for phrase in phrases[:-1]]
    patterns += [f"% {' '.join(phrases[-1])}%", f"{term_of(owner)} %"]
    return {"match": match, "patterns": patterns, "before": before, "limit": limit}


def _lexemes(key: str, words: Sequence[str]) -> list[str]:
    lexemes = list({f"{key}{word[:LONGEST]}": None for word in words})
    size = 0
    for place, lexeme in enumerate(lexemes):
        size += len(lexeme.encode())
        if size > MOST:
            return [*lexemes[:place], f"{key}{CUT}"]
    return lexemes


def _key(owner: str) -> str:
    """Of one length, and short: it stands before each word. `words` has the owner in full."""
    return b64encode(blake2b(owner.encode(), digest_size=9).digest()).decode()


def _words(content: str) -> list[str]:
    return _word().findall(content.casefold())


@cache
def _word() -> re.Pattern[str]:
    """Letters and digits, with the marks that stand on or between them; also private characters."""
    places = (*range(0x300, 0x1F000), *range(0xE0000, 0xE0200))
    marks = "".join(chr(n) for n in places if unicodedata.category(chr(n)) in ("Mn", "Mc"))
    private = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
    return re.compile(f"(?:[^\\W_]|[{private}{marks}])+")
