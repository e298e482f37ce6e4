"""Runs JavaScript as a browser with a page of the service would."""

import subprocess
from pathlib import Path

from tests.service import Service

ADDRESS = "http://localhost:3000"
"""The service, in examples."""


def printed(service: Service, script: str, *options: str) -> list[str]:
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "run_example.mjs"), service.url, *options],
        input=script.replace(ADDRESS, service.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
