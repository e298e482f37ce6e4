"""Proving that the live views are what the log says.

They move on meanwhile. So a copy is taken at some position in one step, which disturbs nobody, and
another set is built from the log to exactly that position.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import URL, Engine

from application.projections import Advance, NoViews, Verified
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.bare_events import BareLog
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.event_store.view_generations import live_generation
from infrastructure.projections.checkpoint import position_now
from infrastructure.projections.comparison import compare
from infrastructure.projections.filling import Filling
from infrastructure.projections.generation import VIEWS_VERSION, file_name

PREFIX = "verifying-"
"""How the name of a folder begins that a verification works in."""


def verify(data_dir: Path, reading: Engine, codec: Codec, advance: Advance) -> Verified:
    """`reading` is an engine of the log's database. Raises NoViews, EventNotApplied."""
    with reading.begin() as connection:
        generation = live_generation(connection, VIEWS_VERSION)
    if generation is None or not (data_dir / file_name(generation)).exists():
        raise NoViews("No views were built yet for this version of their code.")
    with _folder(data_dir) as folder:
        live, rebuilt = folder / "live.db", folder / "rebuilt.db"
        position = _copied(data_dir / file_name(generation), live)
        filling = Filling(rebuilt, BareLog(reading, codec), StoredLog(reading, codec).log_id)
        filling.run(position, lambda reached: advance(reached, position))
        rows, differences = compare(live, rebuilt)
        return Verified(generation, position, rows, differences)


def remove_leftovers(data_dir: Path) -> None:
    """What verifications left that died; those under way keep theirs."""
    for path in data_dir.glob(f"{PREFIX}*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


@contextmanager
def _folder(data_dir: Path) -> Iterator[Path]:
    """A folder that is locked as long as it is needed, and then goes."""
    remove_leftovers(data_dir)
    folder = Path(mkdtemp(prefix=PREFIX, dir=data_dir))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(descriptor)


def _copied(path: Path, copy: Path) -> int:
    """Copy a database as it is at one moment; returns the position of the views in it."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    engine = sync_reader_engine(URL.create("sqlite", database=str(copy)))
    try:
        with engine.begin() as connection:
            position: int = connection.scalars(position_now).one()
            return position
    finally:
        engine.dispose()
