"""The full-text index over messages: SQLite's FTS5, the one part that knows its database.

The index keeps no texts and knows each by its message's number. The owner is a term of its own,
so that a search never walks through what others wrote.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

import msgspec
from sqlalchemy import Connection, bindparam, column, literal_column, select, table

SNIPPET_BEFORE = 40
SNIPPET_LENGTH = 160

REMEMBERED = 50_000
REMEMBERED_LENGTH = 32
"""Words whose plain form is remembered, and their length at most, in characters."""

NAME = "search"

_create = """
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(
    content, owner, content='', columnsize=0,
    tokenize="unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
)
"""
# Stores nothing; for comparing two indexes by what is in them.
_create_terms = "CREATE VIRTUAL TABLE IF NOT EXISTS search_terms USING fts5vocab(search, instance)"
_add = "INSERT INTO search(rowid, content, owner) VALUES (?, ?, ?)"
_remove = "INSERT INTO search(search, rowid, content, owner) VALUES ('delete', ?, ?, ?)"
_search = table("search", column("rowid"))
_terms = table("search_terms", column("term"), column("doc"), column("col"), column("offset"))
all_terms = select(_terms)
"""In the index's own order: by term, message, column and place."""

found = (
    select(_search.c.rowid.label("number"))
    .where(
        literal_column("search").op("MATCH")(bindparam("match")),
        _search.c.rowid < bindparam("before"),
    )
    .order_by(_search.c.rowid.desc())
    .limit(bindparam("limit"))
)
"""Numbers of messages below `before`, newest first."""

# Vowel signs and the like that are written or left out at will. Not the marks of Indian scripts,
# which are parts of the word.
_optional_marks = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]")
_persian_letters = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
# Scripts that put no space between words: each character counts as one.
_unspaced = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Entry(msgspec.Struct, frozen=True):
    """`owner` is the hexadecimal form of an id: a term as any other."""

    number: int
    owner: str
    content: str


def create(connection: Connection) -> None:
    connection.exec_driver_sql(_create)
    connection.exec_driver_sql(_create_terms)


_set = "INSERT INTO search(search, rank) VALUES (?, ?)"
_FILLING = (("automerge", 8), ("crisismerge", 32), ("hashsize", 64 * 2**20))
_LIVE = (("automerge", 4), ("crisismerge", 16), ("hashsize", 2**20))
"""The latter are SQLite's own defaults."""


def prepare_filling(connection: Connection) -> None:
    """Write large pieces."""
    connection.exec_driver_sql(_set, list(_FILLING))


def finish_filling(connection: Connection) -> None:
    connection.exec_driver_sql(_set, list(_LIVE))


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    if rows := _rows(entries):
        connection.exec_driver_sql(_add, rows)


def remove(connection: Connection, entries: Sequence[Entry]) -> None:
    """The entries must be as they were added: the index forgets exactly their words."""
    if rows := _rows(entries):
        connection.exec_driver_sql(_remove, rows)


def term_of(owner: UUID) -> str:
    """Also of an owner that is given as an id's text."""
    return str(owner).replace("-", "")


def matching(owner: UUID, words: Sequence[str]) -> str:
    """The `match` for `found`: the owner's messages that have all words, the last as a prefix."""
    phrases = " AND ".join(f'"{word}"' for word in words)
    return f'owner:"{term_of(owner)}" AND content:({phrases}*)'


def words_of(query: str) -> list[str]:
    """The query's words, as the index knows them. Nothing in them is syntax any more."""
    words = [_spaced(_folded(word)) for word in re.split(r'[\s"\0]+', query)]
    return [word for word in words if any(character.isalnum() for character in word)]


def snippet_of(content: str, words: Sequence[str]) -> str:
    """Plain text around the first place where one of the words begins, on one line."""
    start = max(0, _first_match(content, words) - SNIPPET_BEFORE)
    if start:
        # At a word's border, where there is one near.
        space = content.find(" ", start, start + SNIPPET_BEFORE)
        start = space + 1 if space >= 0 else start
    line = " ".join(content[start : start + 2 * SNIPPET_LENGTH].split())
    shown = line[:SNIPPET_LENGTH]
    cut = len(shown) < len(line) or start + 2 * SNIPPET_LENGTH < len(content)
    return f"{'…' if start else ''}{shown}{'…' if cut else ''}"


def _first_match(content: str, words: Sequence[str]) -> int:
    pattern = _beginning_of_any(words)
    folded = _folded(content)
    if len(folded) == len(content):
        match = pattern.search(folded)
        return match.start() if match else 0
    for chunk in re.finditer(r"\S+", content):
        if pattern.search(_folded(chunk.group())):
            return chunk.start()
    return 0


def _beginning_of_any(words: Sequence[str]) -> re.Pattern[str]:
    firsts = {match.group() for word in words if (match := re.search(r"\w+", word))}
    alternatives = [
        re.escape(first) if _unspaced.match(first) else rf"(?<!\w){re.escape(first)}"
        for first in sorted(firsts)
    ]
    return re.compile("|".join(alternatives), re.IGNORECASE)


def _rows(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """In the order of their numbers: at each step back the index would write a piece of itself."""
    return sorted(
        (entry.number, _spaced(_folded(entry.content)), entry.owner)
        for entry in entries
        if entry.content
    )


def _folded(content: str) -> str:
    """The text without what people write in more than one way. Case is the index's own matter."""
    if content.isascii():
        return content
    # No sign reaches over a space, and people use few words again and again.
    words = content.split(" ")
    if max(map(len, words)) > REMEMBERED_LENGTH:
        return _fold(content)
    return " ".join(map(_folded_word, words))


@lru_cache(REMEMBERED)
def _folded_word(word: str) -> str:
    return _fold(word)


def _fold(content: str) -> str:
    bare = _optional_marks.sub("", unicodedata.normalize("NFKD", content))
    return unicodedata.normalize("NFC", bare).translate(_persian_letters)


def _spaced(content: str) -> str:
    # What needs no spaces is the rule, and sooner seen than replaced.
    if content.isascii() or _unspaced.search(content) is None:
        return content
    return _unspaced.sub(r" \g<0> ", content)
