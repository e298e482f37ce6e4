"""Folders for copies of files, in which views are compared that move on meanwhile."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import URL

from infrastructure.database import sync_reader_engine
from infrastructure.projections.checkpoint import position_now

PREFIX = "verifying-"
"""How the name of a folder begins that a verification works in."""


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
def folder_for_copies(data_dir: Path) -> Iterator[Path]:
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


def copied(path: Path, copy: Path) -> int:
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
