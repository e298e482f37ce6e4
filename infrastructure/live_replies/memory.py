"""Replies under way in this process's memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from application.live_replies import FollowedReply, LiveReply, StartedReply
from infrastructure.live_replies.growing_text import GrowingText


class MemoryLiveReply(GrowingText):
    """A reply that this node answers."""

    def __init__(self, started: StartedReply) -> None:
        super().__init__()
        self.started = started

    def append(self, text: str, reasoning: str) -> None:
        self.grow(text.encode(), reasoning.encode())


class MemoryLiveReplies:
    """All replies under way on this node; as if there were no other."""

    def __init__(self) -> None:
        self._replies: dict[UUID, LiveReply] = {}

    def open(self, started: StartedReply) -> LiveReply:
        reply = MemoryLiveReply(started)
        self._replies[started.reply_id] = reply
        return reply

    def find(self, reply_id: UUID) -> LiveReply | None:
        return self._replies.get(reply_id)

    @asynccontextmanager
    async def follow(self, reply_id: UUID) -> AsyncIterator[FollowedReply]:
        reply: FollowedReply | None = self.find(reply_id)
        if reply is None:
            reply = GrowingText()
            reply.end(None)
        yield reply

    def close(self, reply_id: UUID) -> None:
        self._replies.pop(reply_id, None)
