"""A stream as an ASGI response: kept alive, left by its reader, and ended with a word."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from interfaces.sse import event_stream
from interfaces.sse.event_stream import EventStream


class Client:
    """The server's side of a connection whose reading the test decides."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.gone = asyncio.Event()
        self.got = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        self.sent.append(message)
        self.got.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def until(self, part: bytes) -> None:
        while part not in self.body:
            self.got.clear()
            await asyncio.wait_for(self.got.wait(), 5)


async def served(stream: EventStream, client: Client) -> None:
    scope: Any = {"type": "http"}
    await asyncio.wait_for(stream(scope, client.receive, client.send), 5)


async def frames(*texts: bytes) -> AsyncGenerator[bytes, None]:
    for text in texts:
        yield text


def test_each_frame_is_one_write_and_the_body_ends() -> None:
    async def run() -> None:
        client = Client()
        await served(EventStream(frames(b"one", b"two")), client)
        bodies = [m["body"] for m in client.sent[1:]]
        assert bodies == [b"one", b"two", b""]
        assert client.sent[-1]["more_body"] is False

    asyncio.run(run())


def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_AFTER", 0.02)

    async def run() -> None:
        client, speak = Client(), asyncio.Event()

        async def silent() -> AsyncGenerator[bytes, None]:
            await speak.wait()
            yield b"data"

        serving = asyncio.create_task(served(EventStream(silent()), client))
        await client.until(b": keepalive\n\n: keepalive\n\n")
        speak.set()
        await serving
        assert client.body.endswith(b"data")

    asyncio.run(run())


def test_who_goes_away_ends_the_frames() -> None:
    async def run() -> None:
        client, closed = Client(), asyncio.Event()

        async def endless() -> AsyncGenerator[bytes, None]:
            try:
                yield b"first"
                await asyncio.Event().wait()
            finally:
                closed.set()

        serving = asyncio.create_task(served(EventStream(endless()), client))
        await client.until(b"first")
        client.gone.set()
        await serving
        assert closed.is_set()

    asyncio.run(run())


def test_who_is_gone_before_anybody_asks_is_told_nothing() -> None:
    class Lost:
        ready = True

        def when_gone(self, told: Callable[[], None] | None) -> None:
            if told is not None:
                told()

    async def run() -> bytes:
        client, wire = Client(), Lost()
        scope: Any = {"type": "http", "extensions": {"dabir.wire": {"wire": wire}}}
        await EventStream(frames(b"one"))(scope, client.receive, client.send)
        return client.body

    assert asyncio.run(run()) == b""


def test_a_server_that_gives_up_ends_the_frames_and_hears_of_it() -> None:
    async def run() -> None:
        client, closed = Client(), asyncio.Event()

        async def endless() -> AsyncGenerator[bytes, None]:
            try:
                yield b"first"
                await asyncio.Event().wait()
            finally:
                closed.set()

        serving = asyncio.create_task(served(EventStream(endless()), client))
        await client.until(b"first")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert closed.is_set()

    asyncio.run(run())


def test_silence_is_not_broken_twice_for_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_AFTER", 0.01)

    async def run() -> None:
        client, speak = Client(), asyncio.Event()

        async def silent() -> AsyncGenerator[bytes, None]:
            yield b"first"
            await speak.wait()

        serving = asyncio.create_task(served(EventStream(silent()), client))
        await client.until(b"first")
        client.reading.clear()
        before = len(asyncio.all_tasks())
        await asyncio.sleep(0.2)  # as long as twenty silences
        assert len(asyncio.all_tasks()) <= before + 1
        client.reading.set()
        speak.set()
        await serving

    asyncio.run(run())


def test_a_fault_in_the_frames_is_told_before_the_end() -> None:
    async def run() -> None:
        client = Client()

        async def faulty() -> AsyncGenerator[bytes, None]:
            yield b"first"
            raise RuntimeError("a bug")

        faults: list[Exception] = []

        def failed(error: Exception) -> bytes:
            faults.append(error)
            return b"last"

        await served(EventStream(faulty(), failed=failed), client)
        assert client.body == b"firstlast"
        assert client.sent[-1]["more_body"] is False
        assert isinstance(faults[0], RuntimeError)

    asyncio.run(run())
