"""Several servers on one database, as behind a load balancer."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.service import Service

LEASE = 2.0
"""Seconds."""


@contextmanager
def serving(
    folder: Path,
    api_base: str,
    count: int,
    database: str,
    valkey: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[list[Service]]:
    """`count` nodes that are ready, until the end."""
    shared = {
        "DABIR_DATABASE_URL": database,
        "DABIR_SECRET": "the secret that all nodes of a test share",
        "DABIR_LEASE": f"{LEASE:g}s",
        "DABIR_STARTING_BALANCE": "5",
        **({"DABIR_VALKEY_URL": valkey} if valkey else {}),
        **(environ or {}),
    }
    folder.mkdir(exist_ok=True)
    nodes = [Service(folder / f"node-{n}", api_base, environ=shared) for n in range(count)]
    with ThreadPoolExecutor(count) as starting:
        try:
            list(starting.map(lambda node: node.start().wait_ready(), nodes))
            yield nodes
        finally:
            list(starting.map(Service.leave, nodes))
