"""Text that only grows, and those who wait for more of it."""

import asyncio
from collections.abc import Callable

from application.live_replies import Ending


class GrowingText:
    """What a reply has said so far, in UTF-8. Not thread-safe: one event loop."""

    def __init__(self) -> None:
        # Bytearrays, because appending to an attribute of type str copies all of it each time.
        self.text = bytearray()
        self.reasoning = bytearray()
        self.ending: Ending | None = None
        self._ended = False
        self._waiting: list[_Waiting] = []

    def grow(self, text: bytes, reasoning: bytes) -> None:
        """Add what comes next; both end between code points."""
        self.text += text
        self.reasoning += reasoning
        self._wake()

    def end(self, ending: Ending | None) -> None:
        self.ending = ending
        self._ended = True
        self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    async def beyond(
        self,
        text_offset: int,
        reasoning_offset: int,
        at_once: Callable[[], bool] | None = None,
    ) -> None:
        while not (
            self._ended or len(self.text) > text_offset or len(self.reasoning) > reasoning_offset
        ):
            waiting = _Waiting(asyncio.get_running_loop().create_future(), at_once)
            self._waiting.append(waiting)
            try:
                await waiting.woken
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not self._ended and each.is_served():
                self._waiting.append(each)
            elif not each.woken.done():
                each.woken.set_result(None)


class _Waiting:
    """Somebody who waits for more of the text."""

    def __init__(self, woken: asyncio.Future[None], at_once: Callable[[], bool] | None) -> None:
        self.woken = woken
        self._at_once = at_once

    def is_served(self) -> bool:
        """Whether what has come is dealt with, so that the wait goes on."""
        if self._at_once is None or self.woken.done():
            return False
        try:
            return self._at_once()
        except Exception as error:  # noqa: BLE001 - a follower's: it is told, the reply goes on
            self.woken.set_exception(error)
            return False
