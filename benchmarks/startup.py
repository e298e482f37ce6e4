"""How long it takes until the server answers, and what an operator's command costs.

    python -m benchmarks.startup [--rounds 7]

`dabir serve` is timed from the start of its process until `/healthz` has answered, the commands
until they have ended, on a log that is there already; beside them, Python loading litellm alone.
All of it by processes of its own, in turn, after a round that is not counted: it writes the
bytecode that Python, unless told otherwise, keeps after a first start.
"""

import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.load.processes import cpu_of
from benchmarks.results import KEEP, Result, Row, report
from tests.service import until

DABIR = Path(sys.executable).with_name("dabir")
COMMANDS = ("keys status", "projections status", "--version")
LITELLM = "python -c 'import litellm'"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"

Took = tuple[float, float]
"""Seconds by the clock, and of CPU."""


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, Callable[[], Took]] = {
            "dabir serve, until /healthz answers": lambda: _serve(folder),
            **{f"dabir {words}": _commanding(words, folder) for words in COMMANDS},
            LITELLM: lambda: _run([sys.executable, "-c", "import litellm"], folder),
        }
        taken: dict[str, list[Took]] = {name: [] for name in contestants}
        for number in range(rounds + 1):
            for name, measure in contestants.items():
                took = measure()
                if number:
                    taken[name].append(took)
    report(
        Result(
            name="startup",
            title="Starting",
            how=f"Medians of {rounds} rounds, all in turn, each time a new process.",
            rows=[_row(name, taken[name], taken[LITELLM]) for name in contestants],
        )
    )


def _row(name: str, taken: Sequence[Took], litellm: Sequence[Took]) -> Row:
    ratios = (own[1] / other[1] for own, other in zip(taken, litellm, strict=True))
    return {
        "what": name,
        "seconds": median(took[0] for took in taken),
        "quickest": min(took[0] for took in taken),
        "CPU s": median(took[1] for took in taken),
        "CPU beside loading litellm": median(ratios),
    }


def _serve(folder: str) -> Took:
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = found.getsockname()
    began = time.perf_counter()
    server = subprocess.Popen(
        [DABIR, "serve", "--port", str(address[1])],
        env=_environ(folder),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(address), 60)
        return time.perf_counter() - began, cpu_of(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _answers(address: tuple[str, int]) -> bool:
    """Waits for the answer, once the port is open."""
    try:
        with socket.create_connection(address) as connection:
            connection.sendall(HEALTHZ)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return False


def _commanding(words: str, folder: str) -> Callable[[], Took]:
    return lambda: _run([str(DABIR), *words.split()], folder)


def _run(command: Sequence[str], folder: str) -> Took:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, env=_environ(folder), cwd=folder, stdout=subprocess.DEVNULL, check=True)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environ(folder: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DABIR_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    # litellm alone would ask the network for its prices.
    return {**kept, "DABIR_DATA_DIR": folder, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    main(parser.parse_args().rounds)
