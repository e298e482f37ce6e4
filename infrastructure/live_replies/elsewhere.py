"""Replies that other nodes answer, as those follow them who are connected to this one.

The log says whether a reply is under way, who answers it, and what it had said a moment ago. Its
owner is asked for what came since. While the owner does not answer, because Valkey or the owner is
gone, the log is read instead, a few times a second.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from application.live_replies import FollowedReply
from application.ports import Lease, OpenReplyRow
from infrastructure.live_replies.channels import Away, Channels, Faults
from infrastructure.live_replies.growing_text import GrowingText
from infrastructure.live_replies.messages import Asked, ChannelNames, decode_told, encode_to_node

POLL = 0.3
POLLS_PER_SECOND = 300
"""Of all replies together: each costs the database a query."""
LOOK = 5.0
"""Seconds between two looks into the log, and questions, while the owner answers."""
JOINED_WITHIN = 0.5
RETRY_AFTER = 2.0

Find = Callable[[UUID], Awaitable[OpenReplyRow | None]]


class RemoteReply(GrowingText):
    """One reply's text as far as it is known here, for all who follow it on this node."""

    def __init__(self) -> None:
        super().__init__()
        self.owner: Lease | None = None
        """Who answers it by the log; what others say of it does not count."""
        self.answered = False
        """The owner has said something since it was asked last."""
        self.confirmed = asyncio.Event()
        """Its channel is listened to."""
        self.woken = asyncio.Event()
        self.followers = 0
        self.following: asyncio.Task[None] | None = None

    def joined(self) -> None:
        self.confirmed.set()
        self.woken.set()

    def heard(self, payload: bytes) -> None:
        """Take what is new of a message; what it leaves out before that is asked for."""
        told = decode_told(payload)
        if self.ended or told.owner != self.owner:
            return
        self.answered = True
        if told.text_offset > len(self.text) or told.reasoning_offset > len(self.reasoning):
            self.woken.set()
        else:
            self.reach(told.text, told.reasoning, told.text_offset, told.reasoning_offset)
        if told.ended:
            self.end(None)
            self.woken.set()

    def reach(self, text: bytes, reasoning: bytes, text_at: int = 0, reasoning_at: int = 0) -> None:
        """Grow by as much as these pieces of the reply reach beyond what is known of it."""
        more = text[len(self.text) - text_at :]
        thought = reasoning[len(self.reasoning) - reasoning_at :]
        if more or thought:
            self.grow(more, thought)

    async def wait(self, seconds: float) -> bool:
        """Whether there was something to do before so many seconds were over."""
        try:
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        except TimeoutError:
            return False
        return True


class RepliesElsewhere:
    def __init__(
        self, channels: Channels, names: ChannelNames, find_open: Find, observer: Faults
    ) -> None:
        self._channels = channels
        self._names = names
        self._find_open = find_open
        self._observer = observer
        self._replies: dict[UUID, RemoteReply] = {}

    @property
    def count(self) -> int:
        """How many replies are followed here that other nodes answer."""
        return len(self._replies)

    @asynccontextmanager
    async def follow(self, reply_id: UUID) -> AsyncIterator[FollowedReply]:
        reply = self._replies.get(reply_id)
        if reply is None:
            reply = self._replies[reply_id] = RemoteReply()
            reply.following = asyncio.create_task(
                self._keep(reply_id, reply), name=f"reply elsewhere {reply_id}"
            )
        reply.followers += 1
        try:
            yield reply
        finally:
            reply.followers -= 1
            if reply.followers == 0:
                del self._replies[reply_id]
                assert reply.following is not None
                reply.following.cancel()

    async def aclose(self) -> None:
        """Stop learning; those who still follow hear of nothing more."""
        tasks = [reply.following for reply in self._replies.values() if reply.following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, reply_id: UUID, reply: RemoteReply) -> None:
        """Learn what a reply says until it ends, or nobody follows it any more."""
        channel = self._names.of_reply(reply_id)
        self._channels.join(channel, reply)
        try:
            await self._first_joined(reply)
            while not reply.ended:
                try:
                    await self._learn(reply_id, reply)
                except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                    self._observer.fault("live text", error, reply_id)
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            self._channels.leave(channel, reply)

    async def _first_joined(self, reply: RemoteReply) -> None:
        """Listen before asking, or the answer is missed; but not for long."""
        if self._channels.open:
            try:
                async with asyncio.timeout(JOINED_WITHIN):
                    await reply.confirmed.wait()
            except TimeoutError:
                return

    async def _learn(self, reply_id: UUID, reply: RemoteReply) -> None:
        """Look and ask once, and then whenever something was missed, until the next look is due."""
        row = await self._find_open(reply_id)
        if row is None:
            reply.end(None)
            return
        reply.owner = Lease(row.node, row.epoch)
        reply.reach(row.text, row.reasoning)
        deadline = asyncio.get_running_loop().time() + LOOK
        while not reply.ended:
            reply.woken.clear()
            await self._ask(reply_id, reply, row.node)
            woken = await reply.wait(max(POLL, len(self._replies) / POLLS_PER_SECOND))
            if not reply.answered:
                return
            left = deadline - asyncio.get_running_loop().time()
            if not woken and not await reply.wait(left):
                return

    async def _ask(self, reply_id: UUID, reply: RemoteReply, node: UUID) -> None:
        reply.answered = False
        asked = Asked(reply_id, len(reply.text), len(reply.reasoning))
        try:
            await self._channels.send([(self._names.of_node(node), encode_to_node(asked))])
        except Away:
            return  # no answer: the log is read instead
