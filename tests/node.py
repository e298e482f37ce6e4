"""Runs the clients in `tests/clients` under Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.service import Service

CLIENTS = Path(__file__).parent / "clients"


def run(service: Service, scenario: str, who: str, argument: str = "") -> list[tuple[str, Any]]:
    """What the client saw, in order."""
    return run_at(service.url, scenario, who, argument)


def run_at(url: str, scenario: str, who: str, argument: str = "") -> list[tuple[str, Any]]:
    """The same for a server behind something else."""
    return [tuple(seen) for seen in lines("run.mjs", scenario, url, who, argument)]


def lines(client: str, *arguments: str) -> list[Any]:
    """What a client printed, a line of JSON for each thing."""
    done = subprocess.run(
        ["node", client, *arguments],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]
