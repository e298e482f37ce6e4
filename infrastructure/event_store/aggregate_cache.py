"""Aggregates between two appends, so that a busy chat is not replayed for each message.

Whoever takes one owns it: it is out of the cache until an append puts it back. An aggregate that
was changed and not appended is thus simply dropped, and a stale one only costs a conflict.
"""

from collections import OrderedDict
from uuid import UUID

from domain.chat import Chat
from domain.usage import Usage

AGGREGATE_WEIGHT = 10
"""An empty aggregate takes about as much memory as so many messages of a chat."""

CAPACITY = 100_000
"""In messages: their number is what memory grows with, about 1 KB each."""


class AggregateCache:
    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._weight = 0
        self._entries: OrderedDict[UUID, tuple[Chat | Usage, int]] = OrderedDict()

    def take(self, stream_id: UUID) -> Chat | Usage | None:
        aggregate = self._remove(stream_id)
        # Somebody went on deciding with what they had given back: it is no longer what is stored.
        return None if aggregate is None or aggregate.pending_events else aggregate

    def put(self, aggregate: Chat | Usage) -> None:
        """Keep it, unless somebody has put a later one back meanwhile."""
        other = self.take(aggregate.id)
        kept = other if other is not None and other.version > aggregate.version else aggregate
        weight = _weight(kept)
        self._entries[kept.id] = (kept, weight)
        self._weight += weight
        while self._weight > self._capacity:
            self._remove(next(iter(self._entries)))

    def _remove(self, stream_id: UUID) -> Chat | Usage | None:
        aggregate, weight = self._entries.pop(stream_id, (None, 0))
        self._weight -= weight
        return aggregate


def _weight(aggregate: Chat | Usage) -> int:
    if isinstance(aggregate, Chat):
        return AGGREGATE_WEIGHT + len(aggregate.state.messages)
    return AGGREGATE_WEIGHT + len(aggregate.state.holds)
