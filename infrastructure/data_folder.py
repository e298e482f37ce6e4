"""The data folder, and who may have it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.errors import ConfigurationError

LOCK_FILE = "serve.lock"
LOG_FILE = "events.db"


@contextmanager
def only_server_of(data_dir: Path) -> Iterator[None]:
    """Holds the data folder: two servers on one SQLite log would take each other's replies.

    Raises ConfigurationError where a server runs on it, or the folder cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{data_dir} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(f"another server is running on {data_dir}.") from None
    try:
        yield
    finally:
        os.close(descriptor)
