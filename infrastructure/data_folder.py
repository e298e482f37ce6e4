"""The data folder, who may have it, and where the log is."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.errors import ConfigurationError
from infrastructure.settings import Settings

LOCK_FILE = "serve.lock"
LOG_FILE = "events.db"


def log_url(settings: Settings) -> str:
    """Where the log is: on PostgreSQL if that is set, else a file of the data folder."""
    return settings.postgres_url or f"sqlite:///{settings.data_dir.absolute() / LOG_FILE}"


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
