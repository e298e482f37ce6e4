"""Generations of the views: each a SQLite file of its own, never renamed."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sqlalchemy import URL, Connection, Engine

from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.projections import checkpoint, search
from infrastructure.projections.columns import metadata

VIEWS_VERSION = 2
"""Goes up with every change of the views' tables or of what they hold: each has its own set."""

FILLING = "-filling"
"""What a generation's file has behind its name while another file is filled for it."""

PARTS = ("", "-wal", "-shm", "-journal")
"""What a database in use consists of; the last is there before it has the others."""


class Generation:
    """An open set of views: one connection that writes, a few that read."""

    def __init__(self, path: Path, writing: Engine, reading: Engine) -> None:
        self.path = path
        self.writing = writing
        self.reading = reading

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


class Succession:
    """The live generation, and those before it, which go when their last reader has left."""

    def __init__(self, generation: Generation) -> None:
        self._lock = Lock()
        self._readers = {generation: 0}
        self._live = generation

    @property
    def live(self) -> Generation:
        return self._live

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction of the generation that is live now."""
        with self._lock:
            generation = self._live
            self._readers[generation] += 1
        try:
            with generation.reading.begin() as connection:
                yield connection
        finally:
            with self._lock:
                self._readers[generation] -= 1
                left = self._has_gone(generation)
            if left:
                _bury(generation)

    def turn_to(self, generation: Generation) -> None:
        """Whoever reads from now on reads this one. Blocks, if nobody reads the old one."""
        with self._lock:
            old, self._live = self._live, generation
            self._readers[generation] = 0
            left = self._has_gone(old)
        if left:
            _bury(old)

    def close(self) -> None:
        for generation in self._readers:
            generation.close()

    def _has_gone(self, generation: Generation) -> bool:
        if generation is self._live or self._readers[generation]:
            return False
        del self._readers[generation]
        return True


def _bury(generation: Generation) -> None:
    generation.close()
    remove_database(generation.path)


def open_generation(path: Path, log_id: str, head: int) -> Generation:
    """Open the file, or begin an empty one. Blocks. `head` is the log's.

    Raises checkpoint.OtherLog where the file does not belong to this log, or is ahead of it.
    """
    url = URL.create("sqlite", database=str(path))
    writing = sync_writer_engine(url, synchronous="NORMAL")
    try:
        with writing.begin() as connection:
            metadata.create_all(connection)
            search.create(connection)
            checkpoint.begin(connection, log_id, head)
    except checkpoint.OtherLog:
        writing.dispose()
        raise
    return Generation(path, writing, sync_reader_engine(url))


def file_name(generation: str) -> str:
    return f"views-{generation}.db"


def next_name(folder: Path, in_use: Iterable[str]) -> str:
    """A name that no file in the folder has, not even one of which only a part is left."""
    taken = [*in_use, *(_generation_of(path) for path in folder.glob("views-*"))]
    return str(max((int(name) for name in taken if name.isdecimal()), default=0) + 1)


def others_of(folder: Path, kept: Iterable[str]) -> list[Path]:
    """The files of all generations but these, whatever is left of them."""
    names = set(kept)
    return [path for path in folder.glob("views-*") if _generation_of(path) not in names]


def remove_others(folder: Path, kept: Iterable[str]) -> None:
    for path in others_of(folder, kept):
        path.unlink(missing_ok=True)


def remove_generation(folder: Path, generation: str) -> None:
    path = folder / file_name(generation)
    remove_database(path.with_name(path.name + FILLING))
    remove_database(path)


def remove_database(path: Path) -> None:
    """The file, and what lies beside one in use."""
    for part in PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes on the disk of a database and of what lies beside it."""
    parts = [path.with_name(path.name + part) for part in PARTS]
    return sum(part.stat().st_size for part in parts if part.exists())


def _generation_of(path: Path) -> str:
    return path.name.removeprefix("views-").split(".")[0]


class Following:
    """Held by whoever keeps the live views of this version up: shared, as several may.

    Who has it alone may turn the views to another generation without asking anybody.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(
            folder / f"following-{VIEWS_VERSION}.lock", os.O_RDWR | os.O_CREAT, 0o600
        )

    def share(self) -> None:
        """Blocks for as long as somebody has it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def alone(self) -> bool:
        """Take it alone, where nobody else has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)
