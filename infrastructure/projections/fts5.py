"""What is written to the full-text index on SQLite, apart from what asks it.

Who only writes needs no SQLAlchemy, which takes longer to load than to index some ten thousand
texts.
"""

from collections.abc import Iterable

from infrastructure.projections.search_words import Entry, plain

ADD = "INSERT INTO search(rowid, content, owner) VALUES (?, ?, ?)"
REMOVE = "INSERT INTO search(search, rowid, content, owner) VALUES ('delete', ?, ?, ?)"
SET = "INSERT INTO search(search, rank) VALUES (?, ?)"

FILLING = (("automerge", 8), ("crisismerge", 32), ("hashsize", 64 * 2**20))
"""Write large pieces."""

LIVE = (("automerge", 4), ("crisismerge", 16), ("hashsize", 2**20))
"""SQLite's own defaults."""


def rows_of(entries: Iterable[Entry]) -> list[tuple[int, str, str]]:
    """In the order of their numbers: at each step back the index would write a piece of itself."""
    return sorted((entry.number, plain(entry.content), entry.owner) for entry in entries)
