"""The files that a generation on SQLite consists of, and who follows those in a folder."""

import fcntl
import os
from pathlib import Path

from infrastructure.projections.generation import VIEWS_VERSION

FILLING = "-filling"
"""What a generation's file has behind its name while another file is filled for it."""

PARTS = ("", "-wal", "-shm", "-journal")
"""What a database in use consists of; the last is there before it has the others."""


def file_name(generation: str) -> str:
    return f"views-{generation}.db"


def generation_of(path: Path) -> str:
    return path.name.removeprefix("views-").split(".")[0]


def remove_database(path: Path) -> None:
    """The file, and what lies beside one in use."""
    for part in PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes on the disk of a database and of what lies beside it."""
    parts = [path.with_name(path.name + part) for part in PARTS]
    return sum(part.stat().st_size for part in parts if part.exists())


class Following:
    """Held by whoever keeps the live views of this version up: shared, as several may.

    Who has it alone may turn the views to another generation without asking anybody.
    """

    held = True

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
