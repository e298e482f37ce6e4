"""Generations of the views: whole sets, each under a number of its own, one of which is live."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, Engine, func, select

from infrastructure.projections.checkpoint import position_now, set_aside

VIEWS_VERSION = 4
"""Goes up with every change of the views' tables or of what they hold: each has its own set."""

_state = select(
    position_now.scalar_subquery(), select(func.count()).select_from(set_aside).scalar_subquery()
)


class Generation:
    """An open set of views: one connection that writes, a few that read."""

    def __init__(self, name: str, writing: Engine, reading: Engine) -> None:
        self.name = name
        self.writing = writing
        self.reading = reading

    def state(self) -> tuple[int, int]:
        """Its position, and how many streams were set aside. Blocks."""
        with self.reading.begin() as connection:
            position, aside = connection.execute(_state).one()
            return position, aside

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


class Succession:
    """The live generation, and those before it, which go when their last reader has left."""

    def __init__(self, generation: Generation, bury: Callable[[Generation], None]) -> None:
        """`bury` is called with each that nobody reads any more. It may block."""
        self._lock = Lock()
        self._readers = {generation: 0}
        self._live = generation
        self._bury = bury

    @property
    def live(self) -> Generation:
        return self._live

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction of the generation that is live now."""
        with self._lock:
            generation = self._live
            self._readers[generation] += 1
        try:
            with generation.reading.begin() as connection:
                yield connection
        finally:
            with self._lock:
                self._readers[generation] -= 1
                left = self._has_gone(generation)
            if left:
                self._bury(generation)

    def turn_to(self, generation: Generation) -> None:
        """Whoever reads from now on reads this one. Blocks, if nobody reads the old one."""
        with self._lock:
            old, self._live = self._live, generation
            self._readers[generation] = 0
            left = self._has_gone(old)
        if left:
            self._bury(old)

    def close(self) -> None:
        for generation in self._readers:
            generation.close()

    def _has_gone(self, generation: Generation) -> bool:
        if generation is self._live or self._readers[generation]:
            return False
        del self._readers[generation]
        return True
