"""One build at a time for each version of the views' code."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.projections import BuildUnderWay
from infrastructure.projections.generation import VIEWS_VERSION

LET_GO_WITHIN = 3.0
"""Seconds for the processes of a build that died to notice it."""

LOOK_AGAIN = 0.05

NAME = f"building-{VIEWS_VERSION}.lock"


@contextmanager
def alone(data_dir: Path) -> Iterator[int]:
    """Yields the lock's descriptor. Raises BuildUnderWay where another process has it."""
    descriptor = os.open(data_dir / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + LET_GO_WITHIN
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise BuildUnderWay("Another process is building the views at this moment.")
            time.sleep(LOOK_AGAIN)
        yield descriptor
    finally:
        os.close(descriptor)


def is_building(data_dir: Path) -> bool:
    """Whether a process builds views of this version."""
    if not (data_dir / NAME).exists():
        return False
    descriptor = os.open(data_dir / NAME, os.O_RDWR)
    try:
        return not _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
