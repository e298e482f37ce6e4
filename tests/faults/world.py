"""The server of many runs: how it goes down and comes back, and what its log holds."""

import asyncio
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from application.ports import Recorded
from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock
from tests.faults.plan import Fault, Storm
from tests.projections.live_build import rebuild_in
from tests.projections.places import differing_tables
from tests.service import Service
from tests.upstream import Upstream

STARTING_BALANCE = "1.5"
ANON_LIMIT = 6
GRACE = 0.3
EXITS_WITHIN = GRACE + 2.0
DEADLINE = 3.0
"""Seconds to the first token, and between tokens: no busy machine may take that long by itself."""

ENVIRON = {
    "DABIR_STARTING_BALANCE": STARTING_BALANCE,
    "DABIR_ANON_MESSAGE_LIMIT": str(ANON_LIMIT),
    # Counted, and out of the way: all visitors come from one address.
    "DABIR_ANON_ADDRESS_LIMIT": "10000000",
    "DABIR_ANON_WINDOW": "300d",
    # So are all clients of all runs: how often they may ask is another test's matter.
    **{
        f"DABIR_{limit}": "0"
        for limit in ("SEND_RATE", "REQUEST_RATE", "ADDRESS_SEND_RATE", "ADDRESS_REQUEST_RATE")
    },
    "DABIR_GRACE": f"{int(GRACE * 1000)}ms",
    "DABIR_FIRST_TOKEN_TIMEOUT": f"{DEADLINE}s",
    "DABIR_TOKEN_TIMEOUT": f"{DEADLINE}s",
}
READY_WITHIN = 90.0
BATCH = 5000


class MarkedUpstream(Upstream):
    """Counts its calls by the first word of the message that is to be answered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_of: Counter[str] = Counter()

    def _note(self, body: dict[str, Any]) -> str:
        content = str(body["messages"][-1]["content"])
        self.calls_of[content.split(" ", 1)[0]] += 1
        return super()._note(body)


class World:
    """`async with World(folder, upstream) as world:` serves until the end.

    `up` is set while the server listens, `ready` while its model can be asked; `downs` are the
    times at which it was gone.
    """

    def __init__(self, folder: Path, upstream: MarkedUpstream) -> None:
        self.upstream = upstream
        self.data_dir = folder / "data"
        self.up = asyncio.Event()
        self.ready = asyncio.Event()
        self.downs: list[float] = []
        self._service = Service(self.data_dir, upstream.api_base, environ=ENVIRON)
        self._log: SqlEventStore | None = None
        self._becoming_ready: asyncio.Task[None] | None = None
        self._streams: dict[Any, list[Recorded]] = {}
        self._read_to = 0
        self._reading = asyncio.Lock()

    @property
    def url(self) -> str:
        return self._service.url

    async def __aenter__(self) -> "World":
        await self.start()
        self._log = await SqlEventStore.open(
            f"sqlite:///{self.data_dir / 'events.db'}", clock=SystemClock()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._becoming_ready is not None:
            self._becoming_ready.cancel()
        if self.up.is_set():
            await self.kill()
        assert self._log is not None
        await self._log.close()

    async def start(self) -> None:
        await asyncio.to_thread(self._service.start)
        self.up.set()
        self._becoming_ready = asyncio.create_task(self._become_ready())

    async def suffer(self, fault: Fault | Storm) -> None:
        """Go down as planned, and come back."""
        assert isinstance(fault, Fault)
        await asyncio.sleep(fault.at)
        await (self.kill() if fault.kind == "kill" else self.stop())
        await self.start()
        if fault.again is not None:
            await asyncio.sleep(fault.again)
            await self.kill()
            await self.start()

    async def up_again(self) -> None:
        """Returns when the server listens, once it is seen to be down if it just went."""
        await asyncio.sleep(0.01)
        await self.up.wait()

    async def kill(self) -> None:
        """SIGKILL: no handler runs."""
        self._go_down()
        await asyncio.to_thread(self._service.kill)
        self.downs.append(time.monotonic())

    async def stop(self) -> None:
        """SIGTERM: replies get their grace, and the process leaves in time."""
        began = time.monotonic()
        self._go_down()
        code = await asyncio.to_thread(self._service.stop)
        self.downs.append(time.monotonic())
        took = self.downs[-1] - began
        assert code == 0, f"exit code {code}"
        assert took < EXITS_WITHIN + 1, f"leaving took {took:.1f} s"

    def _go_down(self) -> None:
        self.up.clear()
        self.ready.clear()
        if self._becoming_ready is not None:
            self._becoming_ready.cancel()

    async def _become_ready(self) -> None:
        await becomes_ready(self.url)
        self.ready.set()

    # What the log holds

    async def streams(self) -> dict[Any, list[Recorded]]:
        """All events so far by stream, in order. Their positions have no gap, or this raises."""
        assert self._log is not None
        async with self._reading:
            while recorded := await self._log.read_all(self._read_to, BATCH):
                for each in recorded:
                    assert each.position == self._read_to + 1, "a gap in the log"
                    self._read_to = each.position
                    self._streams.setdefault(each.stream_id, []).append(each)
        return self._streams

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """From the log's own tables, as they are on the disk."""
        with sqlite3.connect(f"file:{self.data_dir / 'events.db'}?mode=ro", uri=True) as log:
            return log.execute(query, values).fetchall()

    def faults(self) -> list[str]:
        """What the server itself called a fault since its last start."""
        return [line for line in list(self._service.log) if '"level": "error"' in line]

    def doubts_of(self, *command: str) -> str | None:
        """What an operator's check of the log finds; None where all is well."""
        done = self._service.dabir(*command)
        return None if done.returncode == 0 else f"{done.returncode} {done.stdout}{done.stderr}"

    async def differences_from_a_replay(self) -> list[str]:
        """Tables in which the views differ from those that the whole log makes. Server down."""
        assert self._log is not None
        replayed = self.data_dir / "replayed.db"
        await rebuild_in(replayed, self._log)
        different = await asyncio.to_thread(
            differing_tables, self.data_dir / "views-1.db", replayed
        )
        for left in self.data_dir.glob("replayed.db*"):
            left.unlink()
        return different


async def becomes_ready(url: str) -> None:
    """Returns when a server says so itself."""
    async with asyncio.timeout(READY_WITHIN), aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)
