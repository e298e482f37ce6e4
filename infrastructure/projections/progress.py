"""A position that grows, and those who wait for it."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from application.errors import ViewsBehind


class Progress:
    """Belongs to one event loop. Wakes exactly those whose position is reached."""

    def __init__(self, position: int, wanted: Callable[[], None] = lambda: None) -> None:
        """`wanted` is called when somebody waits, where nobody did, or nobody as urgently."""
        self.position = position
        self._wanted = wanted
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._urgent = 0

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits who is not patient."""
        return self._urgent > 0

    def fall_back(self, position: int) -> None:
        """Where what had come further is lost."""
        self.position = position

    def reach(self, position: int) -> None:
        self.position = max(self.position, position)
        while self._waiting and self._waiting[0][0] <= self.position:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def wait(self, position: int, timeout: float | None, *, patient: bool = False) -> None:
        """Raises ViewsBehind where `position` is not reached in `timeout` seconds.

        None waits as long as it takes. For who is `patient` a moment more or less is all the same.
        """
        if position <= self.position:
            return
        future = asyncio.get_running_loop().create_future()
        entry = (position, next(self._order), future)
        if not self._waiting or not (patient or self._urgent):
            self._wanted()
        self._urgent += not patient
        heapq.heappush(self._waiting, entry)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise ViewsBehind("The views have not come that far yet.") from None
        finally:
            self._urgent -= not patient
            # Reached and cancelled in the same turn of the loop, it is off the heap already.
            if entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
