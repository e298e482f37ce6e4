"""Copies of the log: taken while it is written, brought back without reviving who was erased."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec

from domain.refusal import Refusal

FORMAT = "dabir-backup/1"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: the log up to `head`. `sha256` is that of its `events.db`."""

    format: str = FORMAT
    log_id: str
    head: int
    sealed: int
    """How many of its events were sealed."""
    taken_at: str
    bytes: int
    sha256: str


class Restored(msgspec.Struct, frozen=True):
    """`erased_again` are principals who were erased since the backup was taken."""

    log_id: str
    head: int
    erased_again: Sequence[UUID]


class BackupRefused(Refusal):
    """The folder is not empty, or not a backup, or not whole."""


class WouldFork(Refusal):
    """More of this log was sealed than the backup holds: going on from it would be another log."""


class Backups(Protocol):
    def take(self, folder: Path) -> Manifest:
        """Copy the log into an empty folder, without keys. Raises BackupRefused."""
        ...

    def restore(
        self, folder: Path, *, new_log_id: bool, advance: Callable[[str], None]
    ) -> Restored:
        """Bring a backup into the data folder, which has no log.

        `advance` is told each step. Raises BackupRefused, WouldFork, ConfigurationError.
        """
        ...
