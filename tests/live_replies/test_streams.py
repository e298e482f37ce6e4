"""The stream of a reply that another node answers: nothing missing, nothing twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from application.ports import Append
from infrastructure.projections.shelf import generations_of
from infrastructure.projections.views import SqlViews
from interfaces.sse.outlet import Outlet
from interfaces.sse.reply_stream import ReplyStreams
from interfaces.sse.stream_token import Place, StreamTokens
from tests.engines import Valkey
from tests.event_store.given import META, NOW, SetClock
from tests.live_replies.given import Answered, Node, run, until

TOKENS = StreamTokens(b"a secret of the tests, longer than 32 bytes")


@asynccontextmanager
async def streams_of(*nodes: Node, folder: Path) -> AsyncIterator[list[ReplyStreams]]:
    """Of one log, so that all of them read the same views."""
    store = nodes[0].store
    views = await SqlViews.open(
        generations_of(folder),
        store,
        clock=SetClock(),
        anon_limit=20,
        starting_balance=0,
        currency="USD",
        freshness_timeout=10,
    )
    try:
        yield [ReplyStreams(node.live, views, store.principals, TOKENS) for node in nodes]
    finally:
        await views.close()


class Stream:
    """What a client of a node gets."""

    def __init__(self, streams: ReplyStreams, reply_id: UUID, event_id: str | None = None) -> None:
        place = TOKENS.place_of(event_id) if event_id else None
        self.events: list[tuple[str, str, Any]] = []
        self._task = asyncio.create_task(self._read(streams, reply_id, place))

    async def _read(self, streams: ReplyStreams, reply_id: UUID, place: Place | None) -> None:
        beginning = await streams.beginning(reply_id)
        assert beginning is not None
        async with aclosing(streams.frames(beginning, place, Outlet())) as frames:
            async for frame in frames:
                lines = dict(line.split(": ", 1) for line in frame.decode().strip().split("\n"))
                if "event" in lines:
                    data = json.loads(lines["data"])
                    self.events.append((lines["id"], lines["event"], data))

    def joined(self, event: str) -> str:
        return "".join(data["delta"] for _, name, data in self.events if name == event)

    @property
    def text(self) -> str:
        return self.joined("assistant_delta")

    @property
    def reasoning(self) -> str:
        return self.joined("assistant_reasoning")

    async def until(self, text: str) -> None:
        await until(lambda: len(self.text) >= len(text))
        assert self.text == text

    async def end(self) -> tuple[str, Any]:
        """The terminal event, which comes once and last."""
        async with asyncio.timeout(20):
            await self._task
        ends = [name for _, name, _ in self.events if name not in _DELTAS]
        assert ends == [self.events[-1][1]]
        return self.events[-1][1:]


_DELTAS = {"assistant_typing", "assistant_delta", "assistant_reasoning"}


async def complete(node: Node, reply: Answered, tell: bool = True) -> None:
    text, reasoning = reply.live.text.decode(), reply.live.reasoning.decode()
    reply.chat.complete_reply(reply.id, text, reasoning or None, "model", "stop", None, NOW)
    reply.account.release(reply.id, reply.chat.id, "free", NOW)
    await node.store.append(
        Append(aggregates=[reply.chat, reply.account], meta=META, closes=reply.id)
    )
    if tell:
        reply.live.end(None)
        node.live.close(reply.id)


def test_a_stream_elsewhere_is_the_same_as_one_here(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        async with streams_of(one, other, folder=tmp_path) as (here, elsewhere):
            reply = await one.answer()
            streams = [Stream(here, reply.id), Stream(elsewhere, reply.id)]
            reply.live.append("", "Hm, ")
            reply.live.append("Héllo ", "")
            for stream in streams:
                await stream.until("Héllo ")
            middle = streams[0].events[-1][0]
            resumed = Stream(elsewhere, reply.id, middle)
            reply.live.append("سلام", "")
            for stream in streams:
                await stream.until("Héllo سلام")
            await resumed.until("سلام")
            await complete(one, reply)
            for stream in [*streams, resumed]:
                name, data = await stream.end()
                assert (name, data["content"]) == ("assistant_complete", "Héllo سلام")
            assert [stream.reasoning for stream in streams] == ["Hm, ", "Hm, "]
            assert resumed.reasoning == ""
            assert [e[0] for e in streams[0].events] == [e[0] for e in streams[1].events]

    run(tmp_path, valkey.url, scenario)


def test_what_was_not_heard_before_the_end_comes_from_the_log(tmp_path: Path) -> None:
    async def scenario(one: Node, other: Node) -> None:
        async with streams_of(other, folder=tmp_path) as (elsewhere,):
            reply = await one.answer()
            stream = Stream(elsewhere, reply.id)
            reply.live.append("kept ", "thought ")
            await one.checkpoint(reply)
            await stream.until("kept ")
            reply.live.append("and not kept", "further")
            await complete(one, reply)
            name, data = await stream.end()
            assert (name, data["content"]) == ("assistant_complete", "kept and not kept")
            assert stream.text == "kept and not kept"
            assert stream.reasoning == "thought further"

    run(tmp_path, None, scenario)


def test_a_place_beyond_what_was_kept_gets_just_the_end(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(dying: Node, other: Node) -> None:
        async with streams_of(other, folder=tmp_path) as (elsewhere,):
            reply = await dying.answer()
            stream = Stream(elsewhere, reply.id)
            reply.live.append("kept", "")
            await dying.checkpoint(reply)
            reply.live.append(" and lost", "")
            await stream.until("kept and lost")
            last = stream.events[-1][0]
            row = await other.store.find_open_reply(reply.id)
            assert row is not None
            reply.chat.interrupt_reply(reply.id, "kept", None, None, NOW)
            reply.account.release(reply.id, reply.chat.id, "interrupted", NOW)
            await other.store.append(
                Append(aggregates=[reply.chat, reply.account], meta=META, closes=reply.id)
            )
            other.live.reaped(row)
            late = Stream(elsewhere, reply.id, last)
            for each in (stream, late):
                name, data = await each.end()
                assert name == "assistant_error"
                assert (data["code"], data["content"]) == ("INTERRUPTED", "kept")
            assert stream.text == "kept and lost"
            assert late.text == ""

    run(tmp_path, valkey.url, scenario)


def test_a_stream_that_is_closed_stops_following(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        async with streams_of(other, folder=tmp_path) as (elsewhere,):
            reply = await one.answer()
            reply.live.append("x", "")
            beginning = await elsewhere.beginning(reply.id)
            assert beginning is not None
            async with aclosing(elsewhere.frames(beginning, None, Outlet())) as frames:
                async for frame in frames:
                    if b"assistant_delta" in frame:
                        break
                assert other.live.followed_elsewhere == 1
            assert other.live.followed_elsewhere == 0

    run(tmp_path, valkey.url, scenario)
