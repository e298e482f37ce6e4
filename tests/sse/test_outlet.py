"""What is written at once arrives so, and waits where the client does not read."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from infrastructure.client_connections import Deadlines, patient_http
from interfaces.sse.event_stream import EventStream
from interfaces.sse.outlet import Outlet

Answer = Callable[[Outlet], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
TWO = GET.replace(b"connection: close\r\n", b"") * 2
"""Pipelined."""


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[str, int]]:
    """A server of ours; each request is answered by what `answer` does with its outlet."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outlet = Outlet()
        assert not outlet.ready
        await send({"type": "http.response.start", "status": 200, "headers": []})
        outlet.open(scope, send)
        await answer(outlet)
        await outlet.send(b"", last=True)

    async with serving_app(app) as address:
        yield address


@asynccontextmanager
async def serving_app(app: Any) -> AsyncIterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=patient_http(Deadlines(10, 10)), lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listening]))
    try:
        yield listening.getsockname()
    finally:
        server.should_exit = True
        await running


def test_what_is_written_at_once_stands_between_what_is_sent() -> None:
    async def answer(outlet: Outlet) -> None:
        await outlet.send(b"one ")
        assert outlet.ready
        outlet.write("zwei — ".encode())
        outlet.write(b"x" * 300)
        await outlet.send(b" end")

    async def run() -> bytes:
        async with serving(answer) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(GET)
            received = await reader.read()
            writer.close()
            return received

    body = asyncio.run(run()).partition(b"\r\n\r\n")[2]
    chunks = [b"one ", "zwei — ".encode(), b"x" * 300, b" end", b""]
    assert body == b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def test_it_is_not_ready_for_a_client_that_does_not_read() -> None:
    piece = b"x" * 65_536

    async def run() -> tuple[int, int]:
        written = asyncio.get_running_loop().create_future()

        async def answer(outlet: Outlet) -> None:
            count = 0
            while outlet.ready:
                outlet.write(piece)
                count += 1
            written.set_result(count)
            await outlet.send(b"waited for")
            assert outlet.ready

        async with serving(answer) as address:
            reader, writer = await asyncio.open_connection(*address, limit=1024)
            writer.write(GET)
            count = await asyncio.wait_for(written, 10)
            received = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return count, received.count(b"x") // len(piece)

    written, received = asyncio.run(run())
    assert written == received > 0


@pytest.mark.parametrize("requests", [GET, TWO])
def test_who_goes_away_is_noticed_without_being_asked_for(requests: bytes) -> None:
    async def run() -> None:
        gone = asyncio.Event()

        async def answer(outlet: Outlet) -> None:
            outlet.watch(_never_asked, gone.set)
            await outlet.send(b"first")
            await asyncio.wait_for(gone.wait(), 10)
            outlet.close()

        async with serving(answer) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(requests)
            await reader.readuntil(b"first")
            writer.close()
            await asyncio.wait_for(gone.wait(), 10)

    asyncio.run(run())


@pytest.mark.parametrize(("requests", "late"), [(GET, False), (TWO, False), (GET, True)])
def test_an_answer_that_ends_with_its_client_is_no_fault(
    requests: bytes, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await asyncio.Event().wait()

    async def run() -> None:
        over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            stream = EventStream(frames())
            await stream.begin(scope, send)
            while late and (await receive())["type"] != "http.disconnect":
                pass
            await stream.go_on(_never_asked)
            over.set()

        async with serving_app(app) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(requests)
            await reader.readuntil(b"\r\n\r\n" if late else b"first")
            writer.close()
            await asyncio.wait_for(over.wait(), 10)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert not caplog.records


def test_after_the_end_nobody_is_told_of_a_client_that_goes() -> None:
    async def run() -> bool:
        gone = asyncio.Event()

        async def answer(outlet: Outlet) -> None:
            outlet.watch(_never_asked, gone.set)
            await outlet.send(b"all")
            outlet.close()

        async with serving(answer) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(GET)
            assert (await reader.read()).endswith(b"3\r\nall\r\n0\r\n\r\n")
            writer.close()
        return gone.is_set()

    assert not asyncio.run(run())


async def _never_asked() -> Any:
    raise AssertionError("the server tells by itself")


def test_a_connection_shares_the_names_of_its_attributes_with_all_others() -> None:
    """Python 3.11 has room for 30; with more, each connection would take 1.3 KB for a table."""

    async def attributes() -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        config = uvicorn.Config(app, lifespan="off", log_config=None)
        config.load()
        connection = patient_http(Deadlines(10, 10))(
            config=config, server_state=ServerState(), app_state={}
        )
        connection.on_message_begin()
        return len(vars(connection))

    assert asyncio.run(attributes()) <= 30
