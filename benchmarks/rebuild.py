"""How fast the views are built from a log, beside the `eventsourcing` library's own way.

    python -m benchmarks.rebuild [--events 100000 300000] [--logs FOLDER] [--rounds 2]

The logs are `benchmarks.big_log`'s, kept in FOLDER for another time. A rebuild is the operator's:
all views, the search index, catching up, and the old generation gone; with the imports of both of
its processes. The library reads the same events from its own SQLite recorder through its own
transcoder, section by section with its tracking; the rows are written by the live views' code,
which flatters it. It gets the first LIBRARY_EVENTS at most. Every measurement is a process of its
own; memory is the most that any of its processes held.
"""

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, Notification, Tracking
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore, SQLiteTrackingRecorder
from sqlalchemy import URL

from application.ports import Meta, Recorded
from benchmarks import big_log
from benchmarks.library import a_mapper
from benchmarks.results import KEEP, Chart, Result, Row, in_turn, median_ratio, report
from infrastructure.data_folder import LOG_FILE
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections.desk import SqlProjections
from infrastructure.projections.file_shelf import FileShelf, open_file
from infrastructure.projections.projector import Projector

LIBRARY_EVENTS = 100_000
TARGET = 50_000
"""Events a second."""
SECTION = 1000
"""Events in one transaction: the library's own runner takes one for each, which is slower yet."""

META = Meta(UUID(int=1))


class Figures(msgspec.Struct, frozen=True):
    """`rate` in events a second of the clock, `cpu` in µs an event, `memory` in MiB."""

    what: str
    events: int
    rate: float
    cpu: float
    memory: float


def main(sizes: list[int], logs: Path, rounds: int) -> None:
    rows: list[Row] = []
    for size in sizes:
        folder = logs / str(size)
        if not (folder / LOG_FILE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            asyncio.run(big_log.make(folder / LOG_FILE, size, seed=1))
        taken: dict[str, list[Figures]] = {}

        def rate(work: Callable[[Path], int], folder: Path = folder, into: Any = taken) -> float:
            figures = _apart(work, folder)
            into.setdefault(work.__name__, []).append(figures)
            return figures.rate

        works = {"rebuild": rebuild, "projections verify": verify, "the library": by_the_library}
        rates, tries = in_turn(rounds, {name: partial(rate, w) for name, w in works.items()})
        for name, work in works.items():
            figures = taken[work.__name__]
            rows.append(
                {
                    "": name,
                    "events": figures[0].events,
                    "events a second": rates[name],
                    "CPU an event, µs": median(each.cpu for each in figures),
                    "memory, MiB": max(each.memory for each in figures),
                    "× the library": median_ratio(tries[name], tries["the library"]),
                }
            )
    report(
        Result(
            name="rebuild",
            title="Building the views from a log",
            how=f"medians of {rounds} rounds in turn, each in processes of its own;"
            f" the library reads {LIBRARY_EVENTS:,} events at most",
            rows=rows,
            chart=Chart(
                "bars", across="events", up="events a second", by="", limit=TARGET, log_up=True
            ),
        )
    )


def rebuild(folder: Path) -> int:
    with _opened(folder) as projections:
        projections.rebuild(lambda done, total=None: None)
        return projections.status().position


def verify(folder: Path) -> int:
    with _opened(folder) as projections:
        verified = projections.verify(lambda done, total=None: None)
        assert verified.differences == []
        return verified.position


def by_the_library(folder: Path) -> int:
    """Only the reading and the projecting are measured: `_apart` is told when they begin."""
    log = StoredLog(sync_reader_engine(f"sqlite:///{folder / LOG_FILE}"), codec)
    with tempfile.TemporaryDirectory() as scratch:
        recorder = SQLiteApplicationRecorder(SQLiteDatastore(f"{scratch}/library.db"))
        recorder.create_table()
        mapper = a_mapper()
        for batch in log.batches(0, LIBRARY_EVENTS):
            events: list[Any] = [log.decoded(each).event for each in batch]
            recorder.insert_events([mapper.to_stored_event(event) for event in events])
        tracked = SQLiteTrackingRecorder(SQLiteDatastore(f"{scratch}/tracking.db"))
        tracked.create_table()
        generation = open_file(Path(scratch) / "views.db", "a-log", LIBRARY_EVENTS)
        projector = Projector(generation.writing, strict=True)
        projector.load()
        _begin()
        position = 0
        while section := recorder.select_notifications(position + 1, SECTION):
            projector.apply([_as_recorded(mapper, notification) for notification in section])
            position = section[-1].id
            tracked.insert_tracking(Tracking("dabir", position))
        generation.close()
        return position


def _as_recorded(mapper: "Mapper[Any]", notification: Notification) -> Recorded:
    event: Any = mapper.to_domain_event(notification)
    return Recorded(
        notification.id,
        event.originator_id,
        event.originator_version,
        event,
        META,
        event.timestamp,
    )


@contextmanager
def _opened(folder: Path) -> Iterator[SqlProjections]:
    url = URL.create("sqlite", database=str(folder / LOG_FILE))
    writing, reading = sync_writer_engine(url), sync_reader_engine(url)
    try:
        yield SqlProjections(FileShelf(folder), writing, reading, codec)
    finally:
        writing.dispose()
        reading.dispose()


_began = [0.0, 0.0]


def _begin() -> None:
    _began[:] = time.perf_counter(), _cpu()


def _apart(work: Callable[[Path], int], folder: Path) -> Figures:
    """Measure it in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work, folder))


def _measured(work: Callable[[Path], int], folder: Path) -> Figures:
    _begin()
    events = work(folder)
    took, cpu = time.perf_counter() - _began[0], _cpu() - _began[1]
    memory = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Figures(work.__name__, events, events / took, cpu / events * 1e6, memory / 1024)


def _cpu() -> float:
    """Of this process and of those it waited for, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "dabir-logs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.events, given.logs, given.rounds)
