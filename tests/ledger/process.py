"""The ledger's commands, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.forked import run_command

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "dabir.py")]


def environ(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DABIR_")}
    return {**clean, "PYTHONPATH": str(ROOT), "DABIR_DATA_DIR": str(folder), **variables}


def dabir(
    folder: Path, *arguments: str, given: bytes = b"", **variables: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command on the data folder; it has 60 seconds."""
    return run_command(arguments, environ(folder, variables), folder, given)


def objects(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What a command that ends well prints with `--json`."""
    done = dabir(folder, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]
