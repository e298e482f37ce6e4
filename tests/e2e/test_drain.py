"""A deploy: every stream and every socket is told, nothing is cut off, and the process goes."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.service import Service, bearer, token
from tests.upstream import Upstream

STREAMS = 500
SOCKETS = 250
"""Of each kind: WebSocket, and polling."""
GRACE = 3.0


async def stream(client: aiohttp.ClientSession, url: str, number: int, began: Counter[str]) -> str:
    """How a reply under way ended: the last event's name, and its text as far as it came."""
    body = {"content": "[[gate-never]] a long answer"}
    send = f"{url}/api/v1/messages/send"
    async with client.post(send, json=body, headers=bearer(f"drained-{number}")) as answer:
        text = b""
        async for piece in answer.content.iter_any():
            if b"assistant_delta" in piece and b"assistant_delta" not in text:
                began["streams"] += 1
            text += piece
    events = [line[7:] for line in text.decode().split("\n") if line.startswith("event: ")]
    assert events.count("assistant_error") == 1
    assert '"content":"' in text.decode()
    return "interrupted" if '"INTERRUPTED"' in text.decode() else events[-1]


def connect_packet(number: int) -> str:
    return '40/chats,{"token":"' + token(f"socket-{number}") + '"}'


async def websocket(
    client: aiohttp.ClientSession, url: str, number: int, began: Counter[str]
) -> bool:
    """Whether a WebSocket was told that the server drains, before it was closed."""
    told = False
    address = f"{url}/socket.io/?EIO=4&transport=websocket".replace("http", "ws", 1)
    async with client.ws_connect(address) as socket:
        await socket.send_str(connect_packet(number))
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            if message.data == "2":
                await socket.send_str("3")
            began["websockets"] += '["session"' in message.data
            told = told or '["server_draining"' in message.data
    return told


async def polling(
    client: aiohttp.ClientSession, url: str, number: int, began: Counter[str]
) -> bool:
    """Whether a polling client was told that the server drains, before it was closed."""
    told = False
    address = f"{url}/socket.io/?EIO=4&transport=polling"
    async with client.get(address) as answer:
        sid = (await answer.text())[1:].split('"sid":"')[1].split('"')[0]
    session = f"{address}&sid={sid}"
    async with client.post(session, data=connect_packet(number)) as answer:
        assert answer.status == 200
    while True:
        try:
            async with client.get(session) as answer:
                packets = (await answer.text()).split("\x1e")
        except aiohttp.ClientError:
            return told
        began["polling"] += any('["session"' in packet for packet in packets)
        told = told or any('["server_draining"' in packet for packet in packets)
        if "2" in packets:
            async with client.post(session, data="3") as answer:
                await answer.read()
        if answer.status != 200 or "1" in packets:
            return told


async def deploy(service: Service) -> tuple[Counter[str], float]:
    """SIGTERM with everything open; what became of it all, and how long the process took."""
    began: Counter[str] = Counter()
    async with AsyncExitStack() as closing:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=100)
        client = await closing.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout)
        )
        streams = [
            asyncio.create_task(stream(client, service.url, n, began)) for n in range(STREAMS)
        ]
        websockets = [
            asyncio.create_task(websocket(client, service.url, n, began)) for n in range(SOCKETS)
        ]
        pollers = [
            asyncio.create_task(polling(client, service.url, SOCKETS + n, began))
            for n in range(SOCKETS)
        ]
        everything = [*streams, *websockets, *pollers]
        wanted = {"streams": STREAMS, "websockets": SOCKETS, "polling": SOCKETS}
        while dict(began) != wanted:
            done, _ = await asyncio.wait(everything, timeout=0.05, return_when="FIRST_EXCEPTION")
            assert not done, [task.exception() for task in done]
        signalled = time.monotonic()
        service.signal(signal.SIGTERM)
        exiting = asyncio.to_thread(service.wait)
        code = await exiting
        took = time.monotonic() - signalled
        assert code == 0
        ended: Counter[str] = Counter(await asyncio.gather(*streams))
        ended["websockets told"] = sum(await asyncio.gather(*websockets))
        ended["polling told"] = sum(await asyncio.gather(*pollers))
    return ended, took


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_five_hundred_streams_and_sockets_are_drained_within_the_grace_time(
    upstream: Upstream, tmp_path: Path
) -> None:
    environ = {"DABIR_GRACE": f"{GRACE:g}s"}
    with Service(tmp_path / "data", upstream.api_base, environ=environ) as service:
        service.wait_ready()
        ended, took = asyncio.run(deploy(service))
    assert ended["interrupted"] == STREAMS
    assert ended["websockets told"] == SOCKETS
    assert ended["polling told"] == SOCKETS
    assert took < GRACE + 2
