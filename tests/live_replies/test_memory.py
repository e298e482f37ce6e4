"""A reply's live text, and those who wait for more of it."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from application.live_replies import StartedReply
from infrastructure.live_replies.memory import MemoryLiveReplies, MemoryLiveReply

STARTED = StartedReply(
    reply_id=uuid4(),
    chat_id=uuid4(),
    user_message_id=uuid4(),
    message_id=uuid4(),
    kind="send",
    replaces=None,
    model="m",
    payer=uuid4(),
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_all_who_wait_hear_of_more_and_of_the_end() -> None:
    async def run() -> None:
        reply = MemoryLiveReply(STARTED)
        waiting = [asyncio.create_task(reply.beyond(0, 0)) for _ in range(3)]
        await asyncio.sleep(0)
        reply.append("é", "")
        await asyncio.gather(*waiting)
        assert bytes(reply.text) == "é".encode()
        at_end = asyncio.create_task(reply.beyond(len(reply.text), 0))
        await asyncio.sleep(0)
        reply.end(None)
        await at_end
        assert reply.ended

    asyncio.run(run())


def test_who_has_not_seen_all_does_not_wait() -> None:
    async def run() -> None:
        reply = MemoryLiveReply(STARTED)
        reply.append("ab", "cd")
        await asyncio.wait_for(reply.beyond(1, 2), 1)
        await asyncio.wait_for(reply.beyond(2, 0), 1)

    asyncio.run(run())


def test_one_who_gives_up_in_the_very_moment_of_more_leaves_quietly() -> None:
    async def run() -> None:
        reply = MemoryLiveReply(STARTED)
        leaving = asyncio.create_task(reply.beyond(0, 0))
        staying = asyncio.create_task(reply.beyond(0, 0))
        await asyncio.sleep(0)
        reply.append("x", "")
        leaving.cancel()
        (gone,) = await asyncio.gather(leaving, return_exceptions=True)
        assert gone is None or isinstance(gone, asyncio.CancelledError)
        await asyncio.wait_for(staying, 1)
        abandoned = asyncio.create_task(reply.beyond(1, 0))
        await asyncio.sleep(0)
        abandoned.cancel()
        reply.append("y", "")
        (gone,) = await asyncio.gather(abandoned, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError)

    asyncio.run(run())


def test_a_closed_reply_is_found_no_more() -> None:
    replies = MemoryLiveReplies()
    replies.open(STARTED)
    assert replies.find(STARTED.reply_id) is not None
    replies.close(STARTED.reply_id)
    assert replies.find(STARTED.reply_id) is None
