"""The end of the log, as this process has just written it.

Views and pushes follow the log closely: most of what they read was committed a moment ago by this
very process, and need not be asked of the database again.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from application.ledger.ports import StoredEvent
from infrastructure.event_store.codec import RowValues

MOST_EVENTS = 256
MOST_BYTES = 4 * 1024 * 1024
"""Of contents; who is further behind reads the database."""


class Tail:
    """Rows of positions that follow each other, the last ones this process committed."""

    def __init__(self) -> None:
        self._rows: deque[StoredEvent] = deque()
        self._size = 0

    def extend(self, rows: Iterable[RowValues]) -> None:
        """By rows that are committed, in the order of their positions."""
        for values in rows:
            row = StoredEvent(**values)
            if self._rows and row.position != self._rows[-1].position + 1:
                self.clear()  # another process has written in between
            self._rows.append(row)
            self._size += _size(row)
        while self._rows and (len(self._rows) > MOST_EVENTS or self._size > MOST_BYTES):
            self._size -= _size(self._rows.popleft())

    def after(self, position: int, limit: int) -> list[StoredEvent]:
        """At most `limit` rows from `position` + 1; none where that one is not here."""
        start = position + 1 - self._rows[0].position if self._rows else -1
        return list(islice(self._rows, start, start + limit)) if start >= 0 else []

    def clear(self) -> None:
        self._rows.clear()
        self._size = 0


def _size(row: StoredEvent) -> int:
    return len(row.payload) + len(row.personal or b"")
