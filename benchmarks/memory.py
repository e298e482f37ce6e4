"""What the server holds: at rest, and for each open stream and idle socket.

    python -m benchmarks.memory [--streams 400] [--sockets 400] [--rounds 1]
                                [--peers open-webui chainlit]

At rest is after a first answer, with litellm loaded; beside it LiteLLM's proxy, and the peers that
are named. Then streams of a provider that says a token a second are opened, until each has had its
first token; and WebSockets that connect and say nothing, offering compression as browsers do,
beside python-socketio's server alone. Told is what the processes grew by (PSS, the whole family),
divided by how many there are; the first few, for whom much is set up, are not counted.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import TypeAlias

import aiohttp

from benchmarks.load.bare_socketio import NAMESPACE
from benchmarks.load.contestants import (
    Contestant,
    bare_socketio,
    dabir,
    provider,
    put_under_load,
)
from benchmarks.load.peers import OPT_IN, add_argument, litellm_proxy
from benchmarks.load.processes import memory_of
from benchmarks.results import KEEP, Result, Row, report
from tests.service import token

SHORT, LASTING = MODELS = ("tokens-5", "tokens-4000-at-1")
AT_ONCE = 16
"""Streams or sockets that are being opened at one moment."""
SETTLING = 3.0
"""Seconds in which a server gives back what the opening took."""

Open: TypeAlias = Callable[[aiohttp.ClientSession, int], Awaitable[None]]
"""Opens number so, which stays open as long as the session."""


def main(streams: int, sockets: int, rounds: int, peers: list[str]) -> None:
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for who, what, value in _round(streams, sockets, peers):
            figures.setdefault(who, {}).setdefault(what, []).append(value)
    rows: list[Row] = [
        {"what": who, **{what: median(values) for what, values in own.items()}}
        for who, own in figures.items()
    ]
    report(
        Result(
            name="memory",
            title="Memory",
            how=f"Medians of {rounds} rounds in turn, {streams} streams and {sockets} sockets.",
            rows=rows,
        )
    )


def _round(streams: int, sockets: int, peers: list[str]) -> Iterator[tuple[str, str, float]]:
    with provider() as upstream:
        with dabir(upstream, MODELS) as ours:
            yield from _of_streams(ours, streams)
        with litellm_proxy(upstream, MODELS) as proxy:
            yield from _of_streams(proxy, streams)
        for name in peers:
            start = next(iter(OPT_IN[name].values()))
            with start(upstream, MODELS, None) as peer:
                yield peer.name.partition(",")[0], "MB at rest", _at_rest(peer)
        with dabir(upstream, MODELS) as ours:
            put_under_load(ours, SHORT, 1)
            yield ours.name, "KB a socket", _growth(ours.pid, _socket_at(ours.port), sockets)
    with bare_socketio([]) as (pid, port):
        yield "python-socketio alone", "MB at rest", memory_of(pid) / 1e6
        yield "python-socketio alone", "KB a socket", _growth(pid, _socket_at(port), sockets)


def _of_streams(contestant: Contestant, streams: int) -> Iterator[tuple[str, str, float]]:
    yield contestant.name, "MB at rest", _at_rest(contestant)
    yield contestant.name, "KB a stream", _growth(contestant.pid, _stream_of(contestant), streams)


def _at_rest(contestant: Contestant) -> float:
    put_under_load(contestant, SHORT, 1)
    return memory_of(contestant.pid) / 1e6


def _growth(pid: int, opening: Open, count: int) -> float:
    """KB that each of `count` more adds to the family of processes."""
    return asyncio.run(_grown(pid, opening, count)) / count / 1e3


async def _grown(pid: int, opening: Open, count: int) -> int:
    places = asyncio.Semaphore(AT_ONCE)

    async def open_one(session: aiohttp.ClientSession, number: int) -> None:
        async with places:
            await opening(session, number)

    async with _patient_session() as session:
        await asyncio.gather(*(open_one(session, number) for number in range(AT_ONCE)))
        await asyncio.sleep(SETTLING)
        before = memory_of(pid)
        further = range(AT_ONCE, AT_ONCE + count)
        await asyncio.gather(*(open_one(session, number) for number in further))
        await asyncio.sleep(SETTLING)
        return memory_of(pid) - before


@asynccontextmanager
async def _patient_session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


def _stream_of(contestant: Contestant) -> Open:
    held: list[aiohttp.ClientResponse] = []

    async def opening(session: aiohttp.ClientSession, number: int) -> None:
        url = f"http://127.0.0.1:{contestant.port}{contestant.path}"
        request = contestant.request(number, LASTING)
        headers = {**request.headers, "content-type": "application/json"}
        answer = await session.post(url, data=request.body, headers=headers)
        answer.raise_for_status()
        held.append(answer)
        said = ""
        while contestant.needle not in said:
            came = await answer.content.readany()
            assert came, f"{contestant.name} ended a stream: {said}"
            said += came.decode()

    return opening


def _socket_at(port: int) -> Open:
    held: list[asyncio.Task[None]] = []

    async def opening(session: aiohttp.ClientSession, number: int) -> None:
        url = f"http://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        socket = await session.ws_connect(url, compress=15, autoping=False)
        await socket.receive_str()
        auth = json.dumps({"token": token(f"client-{number}")})
        await socket.send_str(f"40{NAMESPACE},{auth}")
        while not (said := await socket.receive_str()).startswith(f"40{NAMESPACE}"):
            assert not said.startswith("44"), said
        held.append(asyncio.create_task(_answer_pings(socket)))

    return opening


async def _answer_pings(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        if message.data == "2":
            await socket.send_str("3")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--sockets", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=1)
    add_argument(parser)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.streams, given.sockets, given.rounds, given.peers)
