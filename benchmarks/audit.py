"""How fast a log is sealed, proven and verified, beside the `eventsourcing` library reading it.

    python -m benchmarks.audit [--events 100000] [--logs FOLDER] [--rounds 3]

The logs are `benchmarks.big_log`'s, kept in FOLDER for another time. What was sealed of one before
is sealed anew. `audit verify` is the auditor's command on an export, its start included; on the log
itself it also compares each event with its stored hash. The library has nothing of the kind: it
only reads the same events from its own recorder and decodes them, LIBRARY_EVENTS at most. Rates are
of the clock, memory is the most that a process held.
"""

import argparse
import asyncio
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from eventsourcing.persistence import ApplicationRecorder
from sqlalchemy import URL, text

from application.ledger.archive import Export
from benchmarks import big_log, library
from benchmarks.results import KEEP, Chart, Result, Row, in_turn, median_ratio, report
from infrastructure.audit import trail as audit_trail
from infrastructure.data_folder import LOG_FILE
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.system import SystemClock
from interfaces.cli import audit_verify

PROOFS = 200
LIBRARY_EVENTS = 100_000
SECTION = 1000
"""Events that the library reads at once."""
TARGET = 100_000
"""Events verified a second."""


def forget_seals(url: URL) -> None:
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS audit_tiles"))
        connection.execute(text("DROP TABLE IF EXISTS audit_checkpoints"))
    engine.dispose()


@contextmanager
def waiting_for_the_lock(path: Path) -> Iterator[list[float]]:
    """Another process takes the write lock over and over, as appends do; its longest wait."""
    processes = get_context("spawn")
    stop, longest = processes.Event(), processes.Value("d", 0.0)
    began = processes.Event()
    other = processes.Process(target=take_locks, args=(path, began, stop, longest))
    other.start()
    began.wait()
    waits: list[float] = []
    yield waits
    stop.set()
    other.join()
    waits.append(longest.value)


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


class Sealed:
    """A log that was sealed anew, and what that took. Seconds."""

    def __init__(self, folder: Path, checkpoints: Path) -> None:
        with (
            audit_trail.open_trail(folder, clock=SystemClock(), target=str(checkpoints)) as trail,
            waiting_for_the_lock(folder / LOG_FILE) as waits,
        ):
            self.events = trail.head()
            began = time.perf_counter()
            trail.seal(lambda done, total: None)
            self.sealing = time.perf_counter() - began
            began = time.perf_counter()
            for number in range(PROOFS):
                trail.prove_inclusion(1 + number * self.events // PROOFS, None)
            self.proof = (time.perf_counter() - began) / PROOFS
            trail.deliver()
            self.key = trail.verifier_key
        (self.longest_wait,) = waits


class Verifying:
    """Each method gives events a second."""

    def __init__(self, folder: Path, export: Path, sealed: Sealed, checkpoints: Path) -> None:
        self._folder = folder
        self._sealed = sealed
        self._command = [
            *(sys.executable, audit_verify.__file__, str(export)),
            *("--key", sealed.key, "--checkpoints", str(checkpoints)),
        ]
        self.memory = 0
        """MB of the largest process that checked the export."""

    def of_the_export(self) -> float:
        began = time.perf_counter()
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            self.memory = max(self.memory, *map(most_memory, family(process.pid)))
            time.sleep(0.05)
        took = time.perf_counter() - began
        assert process.returncode == 0
        return self._sealed.events / took

    def of_the_log(self) -> float:
        with audit_trail.open_trail(self._folder, clock=SystemClock()) as trail:
            began = time.perf_counter()
            assert not list(trail.faults(lambda done, total: None))
            return self._sealed.events / (time.perf_counter() - began)


def reading_by_the_library(recorder: ApplicationRecorder) -> float:
    mapper = library.a_mapper()
    began, position = time.perf_counter(), 0
    while section := recorder.select_notifications(position + 1, SECTION):
        for notification in section:
            mapper.to_domain_event(notification)
        position = section[-1].id
    return position / (time.perf_counter() - began)


def give_the_library(recorder: ApplicationRecorder, url: URL) -> None:
    log = StoredLog(sync_reader_engine(url), codec)
    mapper = library.a_mapper()
    for batch in log.batches(0, LIBRARY_EVENTS):
        events: list[Any] = [log.decoded(each).event for each in batch]
        recorder.insert_events([mapper.to_stored_event(event) for event in events])


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


def main(size: int, logs: Path, rounds: int) -> None:
    folder = logs / str(size)
    if not (folder / LOG_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(big_log.make(folder / LOG_FILE, size, seed=1))
    url = URL.create("sqlite", database=str(folder / LOG_FILE))
    forget_seals(url)
    with (
        tempfile.TemporaryDirectory() as scratch,
        library.on_sqlite(Path(scratch) / "library.db") as recorder,
    ):
        path, checkpoints = Path(scratch) / "export.jsonl", Path(scratch) / "checkpoints"
        sealed = Sealed(folder, checkpoints)
        export(url, path)
        give_the_library(recorder, url)
        verifying = Verifying(folder, path, sealed, checkpoints)
        rates, tries = in_turn(
            rounds,
            {
                "audit verify of an export": verifying.of_the_export,
                "audit verify of the log": verifying.of_the_log,
                "the library, only reading": partial(reading_by_the_library, recorder),
            },
        )
    reference = tries["the library, only reading"]
    rows: list[Row] = [
        {"": name, "events a second": rate, "× the library": median_ratio(tries[name], reference)}
        for name, rate in rates.items()
    ]
    rows[0]["memory, MB"] = verifying.memory
    rows.append(
        {
            "": "audit seal, the whole log at once",
            "events a second": sealed.events / sealed.sealing,
            "longest wait for the log's lock, ms": sealed.longest_wait * 1e3,
        }
    )
    report(
        Result(
            name="audit",
            title="Verifying and sealing a log",
            how=f"{sealed.events:,} events; medians of {rounds} rounds in turn. A proof of"
            f" inclusion takes {sealed.proof * 1e3:.1f} ms",
            rows=rows,
            chart=Chart("bars", across="", up="events a second", limit=TARGET),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "dabir-logs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.events, given.logs, given.rounds)
