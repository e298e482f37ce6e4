"""How fast the views are built from a log, beside the `eventsourcing` library's own way.

    python -m benchmarks.rebuild [--events 10000 100000 1000000] [--logs FOLDER] [--json]

The logs are `benchmarks.big_log`'s, kept in FOLDER for another time. A rebuild is the operator's:
all views, the search index, catching up, and the old generation gone; with the imports of both of
its processes. The library reads the same events from its own SQLite recorder through its own
transcoder, section by section with its tracking; the rows are written by the live views' code. It
gets the first LIBRARY_EVENTS at most. Every measurement is a process of its own; memory is the most
that any of its processes held.
"""

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import (
    DatetimeAsISO,
    JSONTranscoder,
    Mapper,
    Notification,
    Tracking,
    Transcoding,
    UUIDAsHex,
)
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore, SQLiteTrackingRecorder
from sqlalchemy import URL

from application.ports import Meta, Recorded
from benchmarks import big_log
from domain.chat import MessageUsage, Parameters
from domain.usage import Consumption, Price, Quote
from infrastructure.data_folder import LOG_FILE
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections.desk import SqlProjections
from infrastructure.projections.file_shelf import FileShelf, open_file
from infrastructure.projections.projector import Projector

LIBRARY_EVENTS = 100_000
SECTION = 1000
"""Events in one transaction: the library's own runner takes one for each, which is slower yet."""

META = Meta(UUID(int=1))


class Figures(msgspec.Struct):
    """`rate` in events a second of the clock, `cpu` in µs an event, `memory` in MiB."""

    what: str
    events: int
    rate: float
    cpu: float
    memory: float


def main(sizes: list[int], logs: Path, as_json: bool) -> None:
    for size in sizes:
        folder = logs / str(size)
        if not (folder / LOG_FILE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            asyncio.run(big_log.make(folder / LOG_FILE, size, seed=1))
        rebuilt = _apart(rebuild, folder)
        verified = _apart(verify, folder)
        library = _apart(by_the_library, folder)
        if as_json:
            print(msgspec.json.encode([rebuilt, verified, library]).decode(), flush=True)
            continue
        for figures in (rebuilt, verified, library):
            print(
                f"{figures.what:<8} {figures.events:>9,} events {figures.rate:>9,.0f} events/s"
                f" {figures.cpu:>6.1f} µs of CPU each {figures.memory:>6.0f} MiB",
                flush=True,
            )
        print(f"         a rebuild is {rebuilt.rate / library.rate:.0f} times as fast", flush=True)


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
        mapper: Mapper[Any] = Mapper(_transcoder())
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


def _transcoder() -> JSONTranscoder:
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DatetimeAsISO()):
        transcoder.register(transcoding)
    for kind in (Parameters, MessageUsage, Price, Quote, Consumption):
        transcoder.register(_as_fields(kind))
    return transcoder


def _as_fields(kind: type[msgspec.Struct]) -> Transcoding:
    class AsFields(Transcoding):
        type = kind
        name = kind.__name__

        def encode(self, obj: Any) -> Any:
            return {field: getattr(obj, field) for field in kind.__struct_fields__}

        def decode(self, data: Any) -> Any:
            return kind(**data)

    return AsFields()


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
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "dabir-logs")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    main(given.events, given.logs, given.json)
