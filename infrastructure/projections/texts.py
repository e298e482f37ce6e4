"""The texts of messages, and their words in the search index.

Apart from the tree, which is walked without them, and behind a port of their own: a set that is
being filled has another process write them.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, delete, insert, select

from infrastructure.projections import search
from infrastructure.projections.columns import Number, Words, metadata
from infrastructure.projections.new_texts import NewText
from infrastructure.projections.search_words import Entry

MOVED_AT_ONCE = 10_000
"""SQLite takes a few times as many values in one statement."""

# Written once.
texts = Table(
    "texts",
    metadata,
    # The message's.
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("content", Words, nullable=False),
    Column("reasoning", Words),
)


class Move(msgspec.Struct, frozen=True, array_like=True):
    """Texts of the messages with these numbers, as far as they have one, change hands.

    `to` is None where they go altogether. Owners are terms.
    """

    numbers: list[int]
    owner: str
    to: str | None


class Texts(Protocol):
    def move(self, moves: Sequence[Move]) -> None: ...

    def add(self, new: Sequence[NewText]) -> None: ...


class LiveTexts:
    """In the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            for start in range(0, len(move.numbers), MOVED_AT_ONCE):
                self._move(move, move.numbers[start : start + MOVED_AT_ONCE])

    def _move(self, move: Move, numbers: list[int]) -> None:
        found = self._connection.execute(_contents, {"numbers": numbers}).all()
        search.remove(self._connection, [Entry(n, move.owner, text) for n, text in found])
        if move.to is None:
            self._connection.execute(_delete, {"numbers": numbers})
        else:
            search.add(self._connection, [Entry(n, move.to, text) for n, text in found])

    def add(self, new: Sequence[NewText]) -> None:
        if new:
            rows = [
                {"number": t.number, "content": t.content, "reasoning": t.reasoning} for t in new
            ]
            self._connection.execute(_insert, rows)
        search.add(self._connection, [Entry(t.number, t.owner, t.content) for t in new])


_insert = insert(texts)
_contents = select(texts.c.number, texts.c.content).where(
    texts.c.number.in_(bindparam("numbers", expanding=True))
)
_delete = delete(texts).where(texts.c.number.in_(bindparam("numbers", expanding=True)))
