"""Starting processes, and what one of them, with all it has started, uses (Linux's /proc)."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def family_of(pid: int) -> Iterator[int]:
    """The process and its descendants."""
    yield pid
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            yield from family_of(int(child))


def cpu_of(pid: int) -> float:
    """Seconds of CPU, in user and kernel mode, of the whole family."""
    used = 0
    for member in family_of(pid):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            used += sum(map(int, fields[11:13]))
    return used / TICKS


def memory_of(pid: int) -> int:
    """Bytes of the whole family, what they share counted once (PSS)."""
    used = 0
    for member in family_of(pid):
        found = PSS.search(Path(f"/proc/{member}/smaps_rollup").read_text())
        used += int(found[1]) if found else 0
    return used * 1024


def on_core(core: int | None) -> list[str]:
    """What to put before a command that shall keep to a core, or to none in particular."""
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def ended_after(process: "subprocess.Popen[Any]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
