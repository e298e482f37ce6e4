"""What `list_chats` costs over Socket.IO, beside a bare server, and whether it stays flat.

    python -m benchmarks.list_chats [--messages 1000000] [--chats 10000] [--rounds 5] [--calls 250]

Three servers, each a process of its own, take turns: ours on a log of 1,000 messages, ours on one
of `--messages`, and python-socketio's alone (the same uvicorn, uvloop and WebSockets) that answers
with our very answer, ready-made. Clients in this process call over WebSockets, one call after the
other on each, and wait for the acknowledgement; ours sends the reply event beside it, as always.
Listed are 20 chats of a person who has 40, and 10 of one who has 10 and of one who has `--chats`.
Each call asks for what comes after another moment to come, which is the first page: so that it is
read, and not one that was kept from the last call. What a kept one costs is shown beside it.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count as counted
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import socketio

from benchmarks.load.bare_socketio import NAMESPACE
from benchmarks.load.chats import conversation, log_in, monologues, user, write
from benchmarks.load.contestants import UNLIMITED, bare_socketio
from benchmarks.load.processes import cpu_of
from benchmarks.results import KEEP, Result, Row, in_turn, median_ratio, report
from infrastructure.projections.cursors import ChatCursor, encode_cursor
from tests.service import Service, token

FEW = 1_000
CHATS_OF_USUAL, CHATS_OF_SOME = 40, 10
MESSAGES_OF_OTHERS = 100
WARMING = 50
NO_PROVIDER = "http://127.0.0.1:9/v1"
TO_COME = datetime(2100, 1, 1, tzinfo=UTC)


class Server(NamedTuple):
    pid: int
    url: str


async def fill(data_dir: Path, messages: int, chats: int) -> None:
    """A log in which most is of others."""
    store = await log_in(data_dir)
    for sub, count in (("usual", CHATS_OF_USUAL), ("some", CHATS_OF_SOME), ("many", chats)):
        owner = await user(store, sub)
        await write(store, (conversation(owner, 2) for _ in range(count)))
    own = 2 * (CHATS_OF_USUAL + CHATS_OF_SOME + chats)
    await write(store, monologues(max(0, messages - own), MESSAGES_OF_OTHERS))
    await store.close()


@contextmanager
def ours(folder: Path, messages: int, chats: int) -> Iterator[Server]:
    data_dir = folder / f"of-{messages}"
    data_dir.mkdir()
    asyncio.run(fill(data_dir, messages, chats))
    service = Service(data_dir, NO_PROVIDER, environ=UNLIMITED, forked=False)
    # Quicker than letting the server catch up.
    built = service.dabir("projections", "rebuild", timeout=600)
    assert built.returncode == 0, built.stdout + built.stderr
    with service:
        service.wait_ready()
        yield Server(service.pid, service.url)


@contextmanager
def bare(answer: object) -> Iterator[Server]:
    with bare_socketio(answer) as (pid, port):
        yield Server(pid, f"http://127.0.0.1:{port}")


class Asking:
    """Clients of one person, each on a WebSocket of its own, who list the first chats.

    With `same` they ask for the same page again and again.
    """

    def __init__(self, sub: str, limit: int, sockets: int, *, same: bool = False) -> None:
        self._sub = sub
        self._limit = limit
        self._sockets = sockets
        self._same = same
        self._moments = counted()

    def cost(self, server: Server, calls: int) -> float:
        """The server's CPU for a call, in µs."""
        return asyncio.run(self._cost(server, calls))

    def answer(self, server: Server) -> Any:
        return asyncio.run(self._answer(server))

    async def _cost(self, server: Server, calls: int) -> float:
        async with self._clients(server, self._sockets) as clients:
            await self._call(clients, WARMING)
            before = cpu_of(server.pid)
            await self._call(clients, calls)
            return (cpu_of(server.pid) - before) / (calls * self._sockets) * 1e6

    async def _answer(self, server: Server) -> Any:
        async with self._clients(server, 1) as (client,):
            return await client.call("list_chats", self._request(), namespace=NAMESPACE)

    async def _call(self, clients: list[socketio.AsyncClient], calls: int) -> None:
        async def in_a_row(client: socketio.AsyncClient) -> None:
            for _ in range(calls):
                await client.call("list_chats", self._request(), namespace=NAMESPACE)

        await asyncio.gather(*map(in_a_row, clients))

    def _request(self) -> dict[str, object]:
        if self._same:
            return {"limit": self._limit}
        moment = TO_COME + timedelta(microseconds=next(self._moments))
        return {"limit": self._limit, "cursor": encode_cursor(ChatCursor(moment, UUID(int=0)))}

    @asynccontextmanager
    async def _clients(
        self, server: Server, count: int
    ) -> AsyncIterator[list[socketio.AsyncClient]]:
        clients = [socketio.AsyncClient(reconnection=False) for _ in range(count)]
        for client in clients:
            await client.connect(
                server.url,
                auth={"token": token(self._sub)},
                transports=["websocket"],
                namespaces=[NAMESPACE],
            )
        try:
            yield clients
        finally:
            for client in clients:
                await client.disconnect()


def main(messages: int, chats: int, rounds: int, calls: int, sockets: int) -> None:
    usual = Asking("usual", 20, sockets)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        few = closing.enter_context(ours(Path(folder), FEW, CHATS_OF_SOME))
        many = closing.enter_context(ours(Path(folder), messages, chats))
        contestants: dict[str, Callable[[], float]] = {}
        reference = closing.enter_context(bare(usual.answer(many)))
        contestants["bare python-socketio"] = partial(usual.cost, reference, calls)
        contestants[f"20 chats, {FEW:,} messages"] = partial(usual.cost, few, calls)
        contestants[f"20 chats, {messages:,} messages"] = partial(usual.cost, many, calls)
        for sub, count in (("some", CHATS_OF_SOME), ("many", chats)):
            asking = Asking(sub, 10, sockets)
            contestants[f"10 chats of {count:,}"] = partial(asking.cost, many, calls)
        same = Asking("usual", 20, sockets, same=True)
        contestants["20 chats, unchanged since the last call"] = partial(same.cost, many, calls)
        medians, taken = in_turn(rounds, contestants)
    rows: list[Row] = [
        {
            "what": name,
            "CPU, µs a call": cost,
            "beside the bare one": median_ratio(taken[name], taken["bare python-socketio"]),
        }
        for name, cost in medians.items()
    ]
    report(
        Result(
            name="list_chats",
            title="Listing chats over Socket.IO",
            how=f"Medians of {rounds} rounds in turn, {calls} calls on each of {sockets} WebSockets"
            " at once. The bare server answers with the same 20 chats, ready-made.",
            rows=rows,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=250)
    parser.add_argument("--sockets", type=int, default=4)
    parser.add_argument(KEEP, action="store_true")
    given = parser.parse_args()
    main(given.messages, given.chats, given.rounds, given.calls, given.sockets)
