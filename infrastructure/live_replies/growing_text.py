"""Text that only grows, and those who wait for more of it."""

import asyncio

from application.live_replies import Ending


class GrowingText:
    """What a reply has said so far, in UTF-8. Not thread-safe: one event loop."""

    def __init__(self) -> None:
        # Bytearrays, because appending to an attribute of type str copies all of it each time.
        self.text = bytearray()
        self.reasoning = bytearray()
        self.ending: Ending | None = None
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

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

    async def beyond(self, text_offset: int, reasoning_offset: int) -> None:
        while not (
            self._ended or len(self.text) > text_offset or len(self.reasoning) > reasoning_offset
        ):
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
