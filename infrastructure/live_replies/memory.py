"""Replies under way in this process's memory."""

import asyncio
from uuid import UUID

from application.live_replies import Ending, LiveReply, StartedReply


class MemoryLiveReply:
    """A reply's text and those who wait for more of it. Not thread-safe: one event loop."""

    def __init__(self, started: StartedReply) -> None:
        self.started = started
        # Bytearrays, because appending to an attribute of type str copies all of it each time.
        self.text = bytearray()
        self.reasoning = bytearray()
        self.ending: Ending | None = None
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, text: str, reasoning: str) -> None:
        self.text += text.encode()
        self.reasoning += reasoning.encode()
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


class MemoryLiveReplies:
    """All replies under way on this node."""

    def __init__(self) -> None:
        self._replies: dict[UUID, LiveReply] = {}

    def open(self, started: StartedReply) -> LiveReply:
        reply = MemoryLiveReply(started)
        self._replies[started.reply_id] = reply
        return reply

    def find(self, reply_id: UUID) -> LiveReply | None:
        return self._replies.get(reply_id)

    def close(self, reply_id: UUID) -> None:
        self._replies.pop(reply_id, None)
