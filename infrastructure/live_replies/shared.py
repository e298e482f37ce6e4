"""Replies under way on all nodes: this one's in its memory, the others' by asking."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from application.live_replies import FollowedReply, LeaseHolder, LiveReply, StartedReply
from application.ports import OpenReplyRow
from infrastructure.live_replies.answering import Answering
from infrastructure.live_replies.channels import Faults, NoChannels, ValkeyChannels
from infrastructure.live_replies.elsewhere import Find, RepliesElsewhere
from infrastructure.live_replies.memory import MemoryLiveReplies
from infrastructure.live_replies.messages import ChannelNames


class SharedLiveReplies:
    def __init__(
        self,
        log_id: str,
        node: UUID,
        find_open: Find,
        leases: LeaseHolder,
        lost: Callable[[], None],
        observer: Faults,
        valkey_url: str | None = None,
    ) -> None:
        """`find_open` reads a reply under way, whoever answers it, from the log.

        `lost` is called when another node says that this one's lease has run out. Without Valkey
        followers on other nodes read the log. Raises ConfigurationError.
        """
        names = ChannelNames(log_id)
        self._own = MemoryLiveReplies()
        self._valkey = ValkeyChannels.at(valkey_url, observer) if valkey_url else None
        channels = self._valkey or NoChannels()
        self._elsewhere = RepliesElsewhere(channels, names, find_open, observer)
        self._answering = Answering(channels, names, node, self._own.find, leases, lost, observer)

    def open(self, started: StartedReply) -> LiveReply:
        return self._own.open(started)

    def find(self, reply_id: UUID) -> LiveReply | None:
        return self._own.find(reply_id)

    @asynccontextmanager
    async def follow(self, reply_id: UUID) -> AsyncIterator[FollowedReply]:
        own = self._own.find(reply_id)
        if own is not None:
            yield own
        else:
            async with self._elsewhere.follow(reply_id) as reply:
                yield reply

    def close(self, reply_id: UUID) -> None:
        self._own.close(reply_id)

    def reaped(self, row: OpenReplyRow) -> None:
        """Tell the other nodes of a reply of a lost node that this one has ended."""
        self._answering.reaped(row)

    async def run(self) -> None:
        """Answer other nodes, and hear them, until cancelled."""
        if self._valkey is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._valkey.run())
                tasks.create_task(self._answering.run())

    async def aclose(self) -> None:
        await self._elsewhere.aclose()
        if self._valkey is not None:
            await self._valkey.aclose()

    @property
    def answers(self) -> bool:
        """Whether Valkey answers now; where there is none, there is nothing to miss."""
        return self._valkey is None or self._valkey.open

    def state(self) -> str | None:
        """What is amiss, in a sentence."""
        if self.answers:
            return None
        return "Valkey does not answer: other nodes' replies are followed through the database"

    @property
    def followed_elsewhere(self) -> int:
        """Replies of other nodes that somebody follows here."""
        return self._elsewhere.count
