"""Turns and tokens a second with 1, 2 and 3 nodes: `python -m benchmarks.nodes [--seconds 10]`.

Real servers on one PostgreSQL and one Valkey, a real provider and real clients, all on the same
machine: where that has two cores, the figure to take along is the CPU of a turn and of a token on a
node and in the database, not how many there were.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import aiohttp

from benchmarks.log_lock import DURABLE
from benchmarks.results import KEEP, Result, Row, report
from tests.engines import own_valkey_server, postgres_server
from tests.many_nodes.nodes import serving
from tests.service import Service, bearer

CLIENTS = 24
TOKENS = 400
TICKS = os.sysconf("SC_CLK_TCK")

WORK = {
    "turns": "[[tokens-1]] Good day",
    "tokens": f"[[tokens-{TOKENS}]] Good day",
}


async def converse(url: str, sub: str, content: str, until: float) -> int:
    done = 0
    async with aiohttp.ClientSession(headers=bearer(sub)) as client:
        while time.perf_counter() < until:
            async with client.post(f"{url}/api/v1/messages/send", json={"content": content}) as got:
                body = await got.read()
            assert b"event: assistant_complete" in body, body[-300:]
            done += 1
    return done


async def load(nodes: list[Service], content: str, seconds: float) -> int:
    until = time.perf_counter() + seconds
    pairs = zip(range(CLIENTS), cycle(node.url for node in nodes), strict=False)
    return sum(
        await asyncio.gather(
            *(converse(url, f"client-{n}-{until}", content, until) for n, url in pairs)
        )
    )


def cpu_of(pids: list[int]) -> float:
    """Seconds that processes have used, with those that they have waited for."""
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15]))
    return used / TICKS


def postgres_pids() -> list[int]:
    found = subprocess.run(["pgrep", "postgres"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def measure(nodes: list[Service], what: str, seconds: float) -> Row:
    asyncio.run(load(nodes, WORK[what], 1.0))
    pids = [node.pid for node in nodes]
    before, database_before = cpu_of(pids), cpu_of(postgres_pids())
    turns = asyncio.run(load(nodes, WORK[what], seconds))
    units = turns * (TOKENS if what == "tokens" else 1)
    on_nodes = (cpu_of(pids) - before) / units
    in_database = (cpu_of(postgres_pids()) - database_before) / units
    return {
        "nodes": len(nodes),
        "what": what,
        "a second": units / seconds,
        "CPU of one on the node, µs": on_nodes * 1e6,
        "CPU of one in the database, µs": in_database * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    rows: list[Row] = []
    upstream = subprocess.Popen(
        [sys.executable, "-m", "tests.upstream"], stdout=subprocess.PIPE, text=True
    )
    assert upstream.stdout
    api_base = f"{upstream.stdout.readline().strip()}/v1"
    free = {
        f"DABIR_{limit}": "0"
        for limit in ("SEND_RATE", "REQUEST_RATE", "ADDRESS_SEND_RATE", "ADDRESS_REQUEST_RATE")
    }
    try:
        with postgres_server(DURABLE) as postgres, own_valkey_server() as valkey:
            for count in (1, 2, 3):
                with tempfile.TemporaryDirectory() as folder:
                    arguments = (Path(folder), api_base, count, postgres.create(), valkey.url)
                    with serving(*arguments, {**free, "DABIR_LEASE": "15s"}) as nodes:
                        rows += [measure(nodes, what, given.seconds) for what in WORK]
    finally:
        upstream.terminate()
        upstream.wait()
    report(
        Result(
            name="nodes",
            title="Turns and tokens with 1, 2 and 3 nodes",
            how=f"{CLIENTS} clients for {given.seconds:g} s each, one PostgreSQL, one Valkey",
            rows=rows,
        )
    )


if __name__ == "__main__":
    main()
