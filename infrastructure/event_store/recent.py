"""A bounded mapping that forgets what was not used for longest."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """`forgotten` is told each value that had to go."""

    def __init__(self, capacity: int, forgotten: Callable[[V], None] | None = None) -> None:
        self._capacity = capacity
        self._forgotten = forgotten
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            _, dropped = self._entries.popitem(last=False)
            if self._forgotten:
                self._forgotten(dropped)

    def drop(self, key: K) -> None:
        self._entries.pop(key, None)
