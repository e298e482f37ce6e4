"""How fast a log is sealed, proven and verified: `python -m benchmarks.audit FOLDER`.

FOLDER holds an `events.db`, such as `python -m benchmarks.big_log FOLDER/events.db` makes. What
was sealed of it before is sealed anew. Times are of the clock, memory is the most that a process
held.
"""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import URL, text

from application.ledger.archive import Export
from infrastructure.audit import trail as audit_trail
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.system import SystemClock
from interfaces.cli import audit_verify

LOG = "events.db"
PROOFS = 200


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    began, cpu = time.perf_counter(), time.process_time()
    yield
    took, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"{what}: {took:.2f} s, {count / took:,.0f}/s, {used / count * 1e6:.1f} µs of CPU each")


def forget_seals(url: URL) -> None:
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS audit_tiles"))
        connection.execute(text("DROP TABLE IF EXISTS audit_checkpoints"))
    engine.dispose()


@contextmanager
def waiting_for_the_lock(path: Path) -> Iterator[None]:
    """Another process takes the write lock over and over, as appends do, and tells its waits."""
    processes = get_context("spawn")
    stop, longest = processes.Event(), processes.Value("d", 0.0)
    began = processes.Event()
    other = processes.Process(target=take_locks, args=(path, began, stop, longest))
    other.start()
    began.wait()
    yield
    stop.set()
    other.join()
    print(f"  an append waited {longest.value * 1000:.0f} ms at most for the write lock")


def take_locks(path: Path, began: Any, stop: Any, longest: Any) -> None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    began.set()
    while not stop.wait(0.001):
        asked = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        longest.value = max(longest.value, time.perf_counter() - asked)
        connection.execute("ROLLBACK")


def export(url: URL, path: Path) -> int:
    engine = sync_reader_engine(url)
    made = Export(StoredLog(engine, codec))
    with path.open("wb") as file:
        file.writelines(lines for _, lines in made.parts())
    engine.dispose()
    return made.head


def seal_and_prove(folder: Path, checkpoints: Path) -> str:
    with audit_trail.open_trail(folder, clock=SystemClock(), target=str(checkpoints)) as trail:
        head = trail.head()
        with waiting_for_the_lock(folder / LOG), timed(f"seal {head} events", head):
            trail.seal(lambda done, total: None)
        began = time.perf_counter()
        trail.seal(lambda done, total: None)
        print(f"seal nothing new: {(time.perf_counter() - began) * 1000:.1f} ms")
        with timed("prove inclusion", PROOFS):
            for number in range(PROOFS):
                trail.prove_inclusion(1 + number * head // PROOFS, None)
        trail.deliver()
        return trail.verifier_key


def verify(path: Path, events: int, key: str, checkpoints: Path) -> None:
    command = [audit_verify.__file__, str(path), "--key", key, "--checkpoints", str(checkpoints)]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command])
    largest = 0
    while process.poll() is None:
        largest = max(largest, *map(most_memory, family(process.pid)))
        time.sleep(0.05)
    took = time.perf_counter() - began
    assert process.returncode == 0
    print(f"verify: {took:.2f} s, {events / took:,.0f}/s, {largest} MB in its largest process")


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return [pid]
    return [pid, *map(int, children.split())]


def most_memory(pid: int) -> int:
    """The most that a process held so far, in MB; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def inspect(folder: Path, events: int) -> None:
    with (
        audit_trail.open_trail(folder, clock=SystemClock()) as trail,
        timed("verify the live log", events),
    ):
        assert not list(trail.faults(lambda done, total: None))


def main() -> None:
    folder = Path(sys.argv[1])
    url = URL.create("sqlite", database=str(folder / LOG))
    forget_seals(url)
    with tempfile.TemporaryDirectory() as scratch:
        path, checkpoints = Path(scratch) / "export.jsonl", Path(scratch) / "checkpoints"
        key = seal_and_prove(folder, checkpoints)
        events = export(url, path)
        print(f"the export has {path.stat().st_size / events:.0f} bytes an event")
        verify(path, events, key, checkpoints)
        inspect(folder, events)
    print(f"{os.cpu_count()} processors")


if __name__ == "__main__":
    main()
