"""One generation of the views: a SQLite file of its own, never renamed."""

from pathlib import Path

from sqlalchemy import URL, Engine

from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.projections import checkpoint, search
from infrastructure.projections.columns import metadata

VIEWS_VERSION = 1
"""Goes up with every change of the views' tables or of what they hold: each has its own set."""


class Generation:
    """An open set of views: one connection that writes, a few that read."""

    def __init__(self, path: Path, writing: Engine, reading: Engine) -> None:
        self.path = path
        self.writing = writing
        self.reading = reading

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


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


def next_name(folder: Path) -> str:
    """A name that no file in the folder has, not even one of which only a part is left."""
    taken = [path.name.removeprefix("views-").split(".")[0] for path in folder.glob("views-*")]
    return str(max((int(name) for name in taken if name.isdecimal()), default=0) + 1)
