"""Files that are there whole or not at all, and on the disk when the call returns."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_once(path: Path, content: bytes) -> None:
    """For its owner only. Of several processes the first one wins, and all read the same."""
    with _draft(path, content, 0o600) as draft, suppress(FileExistsError):
        # A rename would replace the file of whoever came first; a link does not.
        os.link(draft, path)


def replace(path: Path, content: bytes, mode: int | None = None) -> None:
    """For whoever the process's umask lets read it, or else with just this mode."""
    with _draft(path, content, 0o666) as draft:
        if mode is not None:
            draft.chmod(mode)
        draft.rename(path)


@contextmanager
def _draft(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Of a file what it holds, of a folder the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
