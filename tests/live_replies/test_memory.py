"""A reply's live text, and those who wait for more of it."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from application.live_replies import StartedReply
from infrastructure.live_replies.growing_text import GrowingText
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


def test_who_deals_with_it_at_once_is_not_woken_until_it_ends_or_is_too_much() -> None:
    async def run() -> None:
        reply = GrowingText()
        seen: list[bytes] = []

        def at_once() -> bool:
            seen.append(bytes(reply.text))
            return len(reply.text) < 3

        waiting = asyncio.create_task(reply.beyond(0, 0, at_once))
        await asyncio.sleep(0)
        reply.grow(b"a", b"")
        assert seen == [b"a"], "within the very call"
        reply.grow(b"b", b"")
        await asyncio.sleep(0)
        assert not waiting.done()
        reply.grow(b"c", b"")
        await asyncio.wait_for(waiting, 1)
        reply.grow(b"d", b"")
        assert seen == [b"a", b"ab", b"abc"], "it waits no more"

        at_end = asyncio.create_task(reply.beyond(4, 0, at_once))
        await asyncio.sleep(0)
        reply.end(None)
        await asyncio.wait_for(at_end, 1)
        assert len(seen) == 3

    asyncio.run(run())


def test_a_follower_that_fails_at_once_fails_alone() -> None:
    async def run() -> None:
        reply = GrowingText()

        def broken() -> bool:
            raise ValueError("mine")

        failing = asyncio.create_task(reply.beyond(0, 0, broken))
        other = asyncio.create_task(reply.beyond(0, 0))
        await asyncio.sleep(0)
        reply.grow(b"a", b"")
        await asyncio.wait_for(other, 1)
        with pytest.raises(ValueError, match="mine"):
            await asyncio.wait_for(failing, 1)

    asyncio.run(run())
