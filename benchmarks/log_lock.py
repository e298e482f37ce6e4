"""What the log's lock costs on PostgreSQL: `python -m benchmarks.log_lock [--seconds 5]`.

1, 8 and 32 writers, each a process as a node is, with as many committers in all: what a batch waits
for the lock, how long it holds it, and what comes out. Appends are those of a send and of an
answer, each commit is flushed to disk. Where all share two cores, a writer waits for the processor
as well; the time of one batch alone tells what the lock itself takes.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from benchmarks.log import UtcClock, converse
from infrastructure.event_store.store import SqlEventStore
from tests.engines import postgres_server

COMMITTERS = 32
DURABLE = "max_connections = 300\nshared_buffers = 64MB\njit = off\n"


class Watch:
    """How long each transaction of an engine waited for its lock, and held it. Seconds."""

    def __init__(self, engine: Any) -> None:
        self.waited: list[float] = []
        self.held: list[float] = []
        self.sizes: list[int] = []
        self._asked = self._had = 0.0
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine.pool, "checkin", self._given_back)

    def written(self, *written: Any) -> None:
        self.sizes.append(getattr(written[0], "commands", written[0]))

    def _before(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "advisory" in statement:
            self._asked = time.perf_counter()

    def _after(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "advisory" in statement:
            self._had = time.perf_counter()
            self.waited.append(self._had - self._asked)

    def _given_back(self, *_: Any) -> None:
        if self._had:
            self.held.append(time.perf_counter() - self._had)
            self._had = 0.0


async def write(url: str, committers: int, seconds: float) -> None:
    store = await SqlEventStore.open(url, clock=UtcClock())
    watch = Watch(store._writing)
    lease = await store.leases.acquire(uuid4(), timedelta(minutes=10))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    watch.waited.clear()
    watch.held.clear()
    until = time.perf_counter() + seconds
    events = await asyncio.gather(*(converse(store, lease, until) for _ in range(committers)))
    await store.close()
    print(json.dumps({"events": sum(events), "waited": watch.waited, "held": watch.held}))


def measure(url: str, writers: int, seconds: float) -> None:
    command = [sys.executable, "-m", __spec__.name, "--child", url, "--seconds", str(seconds)]
    each = ["--committers", str(max(1, COMMITTERS // writers))]
    children: list[Any] = [
        subprocess.Popen(
            [*command, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(writers)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    told = [json.loads(child.communicate()[0]) for child in children]
    waited = [wait for each_told in told for wait in each_told["waited"]]
    held = [hold for each_told in told for hold in each_told["held"]]
    events = sum(each_told["events"] for each_told in told)
    # A send and its answer are five events, and two appends.
    print(
        f"{writers:3} writers {events / seconds:7.0f} events/s {events / 5 / seconds:6.0f} turns/s"
        f" {len(held) / seconds:6.0f} batches/s of {events / 2.5 / len(held):5.1f} appends;"
        f" lock waited for {_quantiles(waited)}, held {_quantiles(held)}"
    )


def _quantiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1e3:.2f} ms (99 %: {cuts[98] * 1e3:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--child", metavar="URL")
    parser.add_argument("--committers", type=int, default=COMMITTERS)
    given = parser.parse_args()
    if given.child:
        asyncio.run(write(given.child, given.committers, given.seconds))
        return
    with postgres_server(DURABLE) as postgres:
        for writers in (1, 8, 32):
            url = postgres.create()
            measure(url, writers, given.seconds)
            postgres.drop(url)


if __name__ == "__main__":
    main()
