"""Backups of the log on SQLite: one file, and a page that says what is in it."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from application.backup import FORMAT, BackupRefused, Manifest, Restored, WouldFork
from infrastructure.data_folder import LOG_FILE
from infrastructure.whole_files import replace, sync

MANIFEST = "backup.json"
STAGING = "restoring"


class SqliteBackups:
    """Implements `application.backup.Backups`.

    `erase_again` erases in the log of a folder whoever is on the list of erasures, and returns
    them; `sealed` is how much of a log was sealed, as far as this data folder and the auditor's
    know. Both are told a log's id or folder.
    """

    def __init__(
        self,
        data_dir: Path,
        erase_again: Callable[[Path], Sequence[UUID]],
        sealed: Callable[[str], int],
    ) -> None:
        self._data_dir = data_dir
        self._erase_again = erase_again
        self._sealed = sealed

    def take(self, folder: Path) -> Manifest:
        log = self._data_dir / LOG_FILE
        if not log.exists():
            raise BackupRefused(f"{self._data_dir} holds no log.")
        copy = folder / LOG_FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise BackupRefused(f"{folder} is not empty.")
            descriptor = os.open(copy, os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise BackupRefused(f"{folder} cannot be used: {error.strerror}.") from None
        os.close(descriptor)
        _copy(log, copy)
        manifest = _manifest_of(copy)
        replace(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        return manifest

    def restore(
        self, folder: Path, *, new_log_id: bool, advance: Callable[[str], None]
    ) -> Restored:
        manifest = _read_manifest(folder)
        if (self._data_dir / LOG_FILE).exists():
            raise BackupRefused(
                f"{self._data_dir} holds a log already: move its events.db away first, and its "
                "-wal and -shm with it."
            )
        if not new_log_id and (sealed := self._sealed(manifest.log_id)) > manifest.head:
            raise WouldFork(
                f"{sealed} events of this log were sealed, the backup has {manifest.head}: what is "
                "written after a restore would contradict what auditors hold. Restore with "
                "--new-log-id to begin another log with the same past."
            )
        staging = self._data_dir / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        try:
            advance("copying")
            shutil.copyfile(folder / LOG_FILE, staging / LOG_FILE)
            if _digest(staging / LOG_FILE) != manifest.sha256:
                raise BackupRefused(f"{folder / LOG_FILE} is not what {MANIFEST} says.")
            log_id = _begin_anew(staging / LOG_FILE) if new_log_id else manifest.log_id
            advance("erasing again")
            erased = self._erase_again(staging)
            advance("moving into place")
            head = _fold(staging / LOG_FILE)
            self._put_in_place(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Restored(log_id, head, erased)

    def _put_in_place(self, staging: Path) -> None:
        # Of the log that was here before, perhaps; the next start builds them.
        for views in self._data_dir.glob("views-*.db*"):
            views.unlink()
        sync(staging / LOG_FILE)
        (staging / LOG_FILE).rename(self._data_dir / LOG_FILE)
        sync(self._data_dir)


def _copy(log: Path, copy: Path) -> None:
    """One snapshot, without what was deleted from it and still lay in free pages."""
    connection = sqlite3.connect(f"{log.absolute().as_uri()}?mode=rw", uri=True)
    try:
        connection.isolation_level = None
        connection.execute("VACUUM INTO ?", (str(copy),))
    finally:
        connection.close()
    sync(copy)


def _manifest_of(copy: Path) -> Manifest:
    connection = sqlite3.connect(copy)
    try:
        (log_id,) = connection.execute("SELECT value FROM log_meta WHERE key = 'log_id'").fetchone()
        (head,) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
        sealed = _sealed_size(connection)
    finally:
        connection.close()
    return Manifest(
        log_id=log_id,
        head=head,
        sealed=sealed,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        bytes=copy.stat().st_size,
        sha256=_digest(copy),
    )


def _read_manifest(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BackupRefused(
            f"{folder} is not a whole backup: {MANIFEST} cannot be read ({type(error).__name__})."
        ) from None
    if manifest.format != FORMAT or not (folder / LOG_FILE).exists():
        raise BackupRefused(f"{folder} is not a backup in the form {FORMAT}.")
    return manifest


def _sealed_size(connection: sqlite3.Connection) -> int:
    there = "SELECT 1 FROM sqlite_master WHERE name = 'audit_checkpoints'"
    if connection.execute(there).fetchone() is None:
        return 0
    size: int
    (size,) = connection.execute("SELECT coalesce(max(size), 0) FROM audit_checkpoints").fetchone()
    return size


def _begin_anew(log: Path) -> str:
    """Give the log another id, and none of what was signed under the old one."""
    log_id = str(uuid4())
    connection = sqlite3.connect(log)
    try:
        connection.execute("UPDATE log_meta SET value = ? WHERE key = 'log_id'", (log_id,))
        if _sealed_size(connection):
            connection.execute("DELETE FROM audit_checkpoints")
        connection.commit()
    finally:
        connection.close()
    return log_id


def _fold(log: Path) -> int:
    """Bring all into the one file, so that it can be moved alone; returns the head."""
    connection = sqlite3.connect(log)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        head: int
        (head,) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
        return head
    finally:
        connection.close()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
