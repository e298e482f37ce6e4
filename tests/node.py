"""Runs the clients in `tests/clients` under Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.service import Service

CLIENTS = Path(__file__).parent / "clients"


def run(service: Service, scenario: str, who: str, argument: str = "") -> list[tuple[str, Any]]:
    """What the client saw, in order."""
    done = subprocess.run(
        ["node", "run.mjs", scenario, service.url, who, argument],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.split("\n") if line]
