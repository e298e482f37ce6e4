"""Durable turns a second: 64 clients, each sending as soon as its last answer has ended.

    python -m benchmarks.turns [--clients 64] [--turns 640] [--rounds 3]

The provider answers at once, with one token. Each turn of Dabir's is a new chat: two appends of
six to nine events, flushed to disk (SQLite, `synchronous=FULL`) before the client hears of them,
live text, views and pushes included. Beside it, as what limits it: a bare ASGI application with
litellm's own call (nothing stored), the same without litellm, and the log alone, deciding and
appending a conversation's turns. CPU is that of all the contestant's processes.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from statistics import median

import msgspec
from uuid_utils.compat import uuid7

from benchmarks import log
from benchmarks.load import contestants
from benchmarks.load.contestants import Contestant, put_under_load
from benchmarks.results import KEEP, Chart, Result, Row, in_turn, report
from infrastructure.data_folder import LOG_FILE
from infrastructure.event_store.store import SqlEventStore

MODEL = "tokens-1"
EVENTS_OF_A_TURN = 5
"""In a conversation that goes on."""
LOG_SECONDS = 2.0


class Bench:
    def __init__(self, clients: int, turns: int) -> None:
        self._clients = clients
        self._turns = turns
        self.cpu: dict[str, list[float]] = {}
        """Seconds a turn, by name."""

    def of(self, contestant: Contestant) -> float:
        """Turns a second."""
        few = msgspec.structs.replace(
            contestant,
            request=lambda number, model: contestant.request(number % self._clients, model),
        )
        load = put_under_load(few, MODEL, self._turns, in_turn=self._clients)
        self.cpu.setdefault(contestant.name, []).append(load.cpu / self._turns)
        return self._turns / load.told.took

    def of_the_log(self, name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            turns, took, used = asyncio.run(self._converse(f"sqlite:///{folder}/{LOG_FILE}"))
        self.cpu.setdefault(name, []).append(used / turns)
        return turns / took

    async def _converse(self, url: str) -> tuple[float, float, float]:
        store = await SqlEventStore.open(url, clock=log.UtcClock())
        lease = await store.leases.acquire(uuid7(), timedelta(hours=1))
        cpu, began = _cpu(), time.perf_counter()
        until = began + LOG_SECONDS
        events = await asyncio.gather(
            *(log.converse(store, lease, until) for _ in range(self._clients))
        )
        took, used = time.perf_counter() - began, _cpu() - cpu
        await store.close()
        return sum(events) / EVENTS_OF_A_TURN, took, used


def main(clients: int, turns: int, rounds: int) -> None:
    bench = Bench(clients, turns)
    with ExitStack() as stack:
        provider = stack.enter_context(contestants.provider())
        fielded = [
            stack.enter_context(contestants.dabir(provider, [MODEL])),
            stack.enter_context(contestants.floor(provider, "litellm")),
            stack.enter_context(contestants.floor(provider)),
        ]
        for contestant in fielded:
            put_under_load(contestant, MODEL, clients)  # the first ones load things
        rates, _ = in_turn(
            rounds,
            {
                **{one.name: partial(bench.of, one) for one in fielded},
                "Dabir's log alone": partial(bench.of_the_log, "Dabir's log alone"),
            },
        )
    cpu = {name: median(taken) for name, taken in bench.cpu.items()}
    whole, litellm, floor = (cpu[one.name] for one in fielded)
    rows: list[Row] = [
        {
            "": name,
            "turns a second": rate,
            "CPU a turn, ms": cpu[name] * 1e3,
            "of Dabir's turn, %": cpu[name] / whole * 100,
        }
        for name, rate in rates.items()
    ]
    rows.append(
        {
            "": "litellm's call (the difference of both floors)",
            "CPU a turn, ms": (litellm - floor) * 1e3,
            "of Dabir's turn, %": (litellm - floor) / whole * 100,
        }
    )
    report(
        Result(
            name="turns",
            title="Durable turns a second",
            how=f"{clients} clients in turn, {turns} turns a round, one token each, at once; "
            f"medians of {rounds} rounds",
            rows=rows,
            chart=Chart("bars", across="", up="turns a second"),
        )
    )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--turns", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.clients, given.turns, given.rounds)
