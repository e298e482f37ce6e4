"""`just soak`: seeded faults for as long as you like. `just soak --seed N --runs 1` repeats one."""

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.engines import own_valkey_server, postgres_server
from tests.faults import invariants
from tests.faults.nodes import LEASE, NODES, Nodes
from tests.faults.plan import Plan, plan_of, stormy_plan_of
from tests.faults.reading import BrokenPromiseError
from tests.faults.run import Report, run
from tests.faults.world import MarkedUpstream, World

TOGETHER = 4
"""Runs at once, but for those whose server goes down: they have it to themselves."""
TOLD_EVERY = 20
RUNS_OF_A_LIFE = 300
"""Runs on one log; then the views are compared with a replay, and an empty folder is next."""


class FailedRunError(Exception):
    """A run that broke a promise. The message says how to repeat it."""

    def __init__(self, seed: int, cause: BaseException, faults: Sequence[str] = ()) -> None:
        lines = [
            f"seed {seed}: {_told(cause)}",
            *(f"The server logged: {fault}" for fault in faults),
            f"Repeat it with: just soak --seed {seed} --runs 1 (and --nodes, if it was of them)",
        ]
        super().__init__("\n".join(lines))


def _told(cause: BaseException) -> str:
    """A broken promise in its own words; anything else with where it came from."""
    if isinstance(cause, BaseExceptionGroup):
        return "\n".join(map(_told, cause.exceptions))
    if isinstance(cause, BrokenPromiseError):
        return str(cause)
    return "".join(traceback.format_exception(cause))


class Summary:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.runs = 0
        self.lost = 0.0
        self.events = 0
        self.downs = 0
        self.began = time.monotonic()

    def add(self, report: Report) -> None:
        self.runs += 1
        self.counts += report.counts
        self.lost = max(self.lost, report.lost)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return (
            f"{self.runs} runs in {time.monotonic() - self.began:.0f} s, {self.events} events,"
            f" the server went down {self.downs} times, a crash took at most {self.lost:.2f} s"
            f" of text. {counts}"
        )


async def soak(first: int, runs: int, folder: Path, tell: bool = False) -> Summary:
    """Runs `first`, `first + 1` … Raises FailedRunError."""
    # The upstream's own server tells of every client that hangs up.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    summary = Summary()
    for start in range(first, first + runs, RUNS_OF_A_LIFE):
        seeds = range(start, min(start + RUNS_OF_A_LIFE, first + runs))
        life = folder / str(start)
        life.mkdir()
        with MarkedUpstream() as upstream:
            await _life(list(map(plan_of, seeds)), World(life, upstream), summary, tell)
    return summary


async def soak_nodes(first: int, runs: int, folder: Path, tell: bool = False) -> Summary:
    """The same against several nodes on one PostgreSQL and one Valkey."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    summary = Summary()
    plans = [stormy_plan_of(seed, NODES, LEASE) for seed in range(first, first + runs)]
    with postgres_server() as postgres, own_valkey_server() as valkey, MarkedUpstream() as upstream:
        await _life(plans, Nodes(folder, upstream, postgres, valkey), summary, tell)
    return summary


async def _life(plans: Sequence[Plan], world: World, summary: Summary, tell: bool) -> None:
    calm = iter([plan for plan in plans if plan.fault is None])
    stormy = iter([plan for plan in plans if plan.fault is not None])

    async def work(plans: Iterator[Plan]) -> None:
        for plan in plans:
            summary.add(await _run(plan, world))
            if tell and summary.runs % TOLD_EVERY == 0:
                print(f"{summary.runs} runs", file=sys.stderr, flush=True)

    async with world:
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(TOGETHER):
                    tasks.create_task(work(calm))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        await work(stormy)
        await world.ready.wait()
        summary.downs += len(world.downs)
        await world.stop()
        summary.events += sum(map(len, (await world.streams()).values()))
        invariants.check_addresses(world, await world.streams())
        if different := await world.differences_from_a_replay():
            raise FailedRunError(
                plans[0].seed, BrokenPromiseError(f"views differ from a replay: {different}")
            )
        for command in (("replay", "--check"), ("audit", "verify")):
            if doubts := world.doubts_of(*command):
                raise FailedRunError(plans[0].seed, BrokenPromiseError(f"{command}: {doubts}"))


async def _run(plan: Plan, world: World) -> Report:
    try:
        return await run(plan, world, "life")
    except Exception as error:  # noqa: BLE001 - whatever it was, the seed must be told
        raise FailedRunError(plan.seed, error, world.faults()) from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="the first one")
    parser.add_argument("--nodes", action="store_true", help="several, on PostgreSQL and Valkey")
    given = parser.parse_args()
    print(f"soaking from seed {given.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        try:
            work = soak_nodes if given.nodes else soak
            print(asyncio.run(work(given.seed, given.runs, Path(folder), tell=True)))
        except FailedRunError as failed:
            print(failed, file=sys.stderr)
            os._exit(1)


if __name__ == "__main__":
    main()
