"""Nodes of one log in one event loop: the store is real, and so is Valkey between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from application.live_replies import FollowedReply, LiveReply, StartedReply
from application.ports import Append, Draft, Lease, ReplyOpened
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.event_store.store import SqlEventStore
from infrastructure.live_replies.shared import SharedLiveReplies
from tests.event_store.given import META, complete_and_settle, new_account, new_chat, send_and_hold
from tests.event_store.given import opened as opened_store

TERM = timedelta(seconds=15)


class Faults:
    """Remembers what an operator would be told of."""

    def __init__(self) -> None:
        self.seen: list[BaseException] = []

    def fault(self, where: str, error: BaseException, reply_id: UUID | None = None) -> None:
        self.seen.append(error)


@dataclass
class HeldLease:
    lease: Lease


@dataclass
class Answered:
    """A reply under way."""

    live: LiveReply
    chat: Chat
    account: Usage
    lease: Lease

    @property
    def id(self) -> UUID:
        return self.live.started.reply_id


@dataclass
class Node:
    store: SqlEventStore
    live: SharedLiveReplies
    held: HeldLease
    faults: Faults
    lost: list[bool] = field(default_factory=list)

    async def answer(self) -> Answered:
        """Start a reply as its command does: the append first, then its live text."""
        chat, account = new_chat(), new_account()
        reply_id, lease = send_and_hold(chat, account), self.held.lease
        opens = ReplyOpened(reply_id, chat.id, account.id)
        await self.store.append(
            Append(aggregates=[chat, account], meta=META, lease=lease, opens=opens)
        )
        return Answered(self.live.open(started(reply_id, chat.id)), chat, account, lease)

    async def checkpoint(self, reply: Answered) -> None:
        text, reasoning = bytes(reply.live.text), bytes(reply.live.reasoning)
        draft = Draft(reply.id, reply.chat.id, text, reasoning)
        await self.store.checkpoint(reply.lease, [draft])

    async def append_end(self, reply: Answered) -> None:
        complete_and_settle(reply.chat, reply.account, reply.id)
        await self.store.append(
            Append(aggregates=[reply.chat, reply.account], meta=META, closes=reply.id)
        )

    async def end(self, reply: Answered) -> None:
        await self.append_end(reply)
        reply.live.end(None)
        self.live.close(reply.id)


def started(reply_id: UUID, chat_id: UUID) -> StartedReply:
    return StartedReply(
        reply_id=reply_id,
        chat_id=chat_id,
        user_message_id=uuid4(),
        message_id=uuid4(),
        kind="send",
        replaces=None,
        model="m",
        payer=uuid4(),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def node_of(
    store: SqlEventStore, valkey_url: str | None, log_id: str | None = None
) -> AsyncIterator[Node]:
    faults, lost = Faults(), list[bool]()
    held = HeldLease(await store.leases.acquire(uuid4(), TERM))
    live = SharedLiveReplies(
        log_id or store.log_id,
        held.lease.node,
        store.find_open_reply,
        held,
        lambda: lost.append(True),
        faults,
        valkey_url,
    )
    running = asyncio.create_task(live.run())
    try:
        yield Node(store, live, held, faults, lost)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await live.aclose()


Scenario = Callable[[Node, Node], Awaitable[None]]


def run(folder: Path, valkey_url: str | None, scenario: Scenario) -> None:
    """Two nodes, connected. The scenario must leave no fault behind."""

    async def play() -> None:
        async with AsyncExitStack() as closing:
            store = await closing.enter_async_context(
                opened_store(f"sqlite:///{folder / 'events.db'}")
            )
            one = await closing.enter_async_context(node_of(store, valkey_url))
            other = await closing.enter_async_context(node_of(store, valkey_url))
            await until(lambda: one.live.answers and other.live.answers)
            await scenario(one, other)
            assert one.faults.seen == other.faults.seen == []

    asyncio.run(play())


async def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for what only asking can tell."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - some of it is in another process
            await asyncio.sleep(0.005)


class Follower:
    """Reads a reply as a stream does: by offsets, and nothing twice."""

    def __init__(self, node: Node, reply_id: UUID) -> None:
        self.text = b""
        self.reasoning = b""
        self.pieces: list[bytes] = []
        self.ended = False
        self._task = asyncio.create_task(self._read(node, reply_id))

    async def _read(self, node: Node, reply_id: UUID) -> None:
        async with node.live.follow(reply_id) as live:
            while not self._take(live):
                await live.beyond(len(self.text), len(self.reasoning))
        self.ended = True

    def _take(self, live: FollowedReply) -> bool:
        """Whether that was the end, with nothing before it."""
        more = bytes(live.text[len(self.text) :])
        thought = bytes(live.reasoning[len(self.reasoning) :])
        if not more and not thought:
            return live.ended
        (more + thought).decode()  # what is there always ends between code points
        self.pieces.append(more)
        self.text += more
        self.reasoning += thought
        return False

    async def until(self, text: str, reasoning: str = "") -> None:
        await until(lambda: len(self.text) >= len(text.encode()))
        await until(lambda: len(self.reasoning) >= len(reasoning.encode()))
        assert (self.text.decode(), self.reasoning.decode()) == (text, reasoning)

    async def until_end(self) -> None:
        async with asyncio.timeout(20):
            await self._task

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
