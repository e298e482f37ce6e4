"""Files that are there whole or not at all; `-` is the standard stream, `.gz` compresses."""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO, BinaryIO, cast

from application.errors import ConfigurationError

STANDARD = Path("-")
COMPRESSION = 1
"""Higher levels take longer than reading the log, for a twentieth less."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, for its owner only, which takes its place at the end, synced to disk.

    Where the block fails, what was there before stays. Raises ConfigurationError.
    """
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as compressed:
                    yield cast(BinaryIO, compressed)
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def lines_of(path: Path) -> Iterator[bytes]:
    """Raises ConfigurationError."""
    try:
        if path == STANDARD:
            yield from sys.stdin.buffer
        elif path.suffix == ".gz":
            with gzip.open(path) as compressed:
                yield from cast(BinaryIO, compressed)
        else:
            with path.open("rb") as file:
                yield from file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be read: {reason}.") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
