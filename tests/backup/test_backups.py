"""A backup is one moment of the log, whole; what comes back revives nobody and forks nothing."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.backup import BackupRefused, WouldFork
from application.errors import ConfigurationError
from application.ports import Append
from domain.chat import Chat
from infrastructure.backup import SqliteBackups
from tests.erasure.given import MASTER, conversation, opened, words_in
from tests.event_store.given import META, NOW

WORDS = "words of alice"
NAME = "alice-of-the-tests"


def backups(data_dir: Path, *masters: str, sealed: int = 0) -> SqliteBackups:
    def erase_again(folder: Path) -> Sequence[UUID]:
        async def repeat() -> Sequence[UUID]:
            async with opened(folder, *masters, keys=data_dir) as there:
                return await there.erasure.repeat(there.keyring.erased_principals())

        return asyncio.run(repeat())

    return SqliteBackups(data_dir, erase_again, lambda log_id: sealed)


def filled(path: Path, *masters: str) -> UUID:
    """A log with a conversation of alice's; returns her id."""
    path.mkdir(exist_ok=True)

    async def fill() -> UUID:
        async with opened(path, *masters) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            await conversation(folder.store, alice.id, alice.id, WORDS)
            return alice.id

    return asyncio.run(fill())


def rows_of(path: Path) -> list[tuple[object, ...]]:
    rows = sqlite3.connect(path / "events.db").execute("SELECT * FROM events ORDER BY position")
    return rows.fetchall()


def without_log(path: Path) -> None:
    for file in path.glob("events.db*"):
        file.unlink()


def told(_step: str) -> None:
    """Nobody listens."""


def test_a_backup_into_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    (tmp_path / "file").touch()
    with pytest.raises(BackupRefused, match="cannot be used"):
        backups(tmp_path / "data").take(tmp_path / "file" / "backup")


def test_what_comes_back_is_what_was_there(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    filled(data, MASTER)
    before = rows_of(data)
    manifest = backups(data).take(copy)
    assert manifest.head == len(before)
    assert sorted(path.name for path in copy.iterdir()) == ["backup.json", "events.db"]
    without_log(data)
    restored = backups(data, MASTER).restore(copy, new_log_id=False, advance=told)
    assert (restored.log_id, restored.head) == (manifest.log_id, manifest.head)
    assert rows_of(data) == before
    assert not (data / "restoring").exists()


def test_a_backup_has_no_keys_and_none_of_the_words(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    filled(data, MASTER)
    backups(data).take(copy)
    assert words_in(copy, WORDS, NAME) == {}


def test_a_backup_taken_under_writes_is_one_moment_of_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    filled(data)
    enough = threading.Event()

    async def write() -> None:
        async with opened(data) as folder:
            chat = Chat.start(uuid4(), uuid4(), "A title", None, NOW)
            while not enough.is_set():
                chat.rename("Another", NOW)
                await folder.store.append(Append(aggregates=[chat], meta=META))

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    try:
        heads = []
        for n in range(3):
            heads.append(backups(data).take(tmp_path / f"copy-{n}").head)
            rows = rows_of(tmp_path / f"copy-{n}")
            assert [row[0] for row in rows] == list(range(1, heads[-1] + 1))
    finally:
        enough.set()
        writer.join()
    assert heads == sorted(heads)


def test_who_was_erased_since_stays_erased(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    for masters in ((), (MASTER,)):
        alice = filled(data, *masters)
        backups(data).take(copy)

        async def erase(who: UUID = alice, masters: tuple[str, ...] = masters) -> None:
            async with opened(data, *masters) as folder:
                await folder.erase(who)

        asyncio.run(erase())
        without_log(data)
        restored = backups(data, *masters).restore(copy, new_log_id=False, advance=told)
        assert restored.erased_again == [alice]
        assert words_in(data, WORDS, NAME) == {}
        assert restored.head == len(rows_of(data))
        for path in (data, copy):
            for file in path.iterdir():
                file.unlink()


def test_a_log_of_which_more_was_sealed_is_not_gone_on_with(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    filled(data)
    manifest = backups(data).take(copy)
    without_log(data)
    with pytest.raises(WouldFork, match="--new-log-id"):
        backups(data, sealed=manifest.head + 1).restore(copy, new_log_id=False, advance=told)
    assert not (data / "events.db").exists()
    restored = backups(data, sealed=manifest.head + 1).restore(copy, new_log_id=True, advance=told)
    assert restored.log_id != manifest.log_id
    assert [row[:2] for row in rows_of(data)] == [row[:2] for row in rows_of(copy)]


def test_a_backup_goes_into_an_empty_folder_only(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "something").touch()
    with pytest.raises(BackupRefused, match="not empty"):
        backups(tmp_path / "data").take(tmp_path / "copy")


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    filled(data)
    backups(data).take(copy)
    before = rows_of(data)
    with pytest.raises(BackupRefused, match="holds a log already"):
        backups(data).restore(copy, new_log_id=False, advance=told)
    assert rows_of(data) == before


@pytest.mark.parametrize("harm", ["no page", "another form", "changed log", "no log"])
def test_what_is_no_whole_backup_is_refused(harm: str, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    filled(data)
    backups(data).take(copy)
    without_log(data)
    page = copy / "backup.json"
    match harm:
        case "no page":
            page.unlink()
        case "another form":
            page.write_text(json.dumps(json.loads(page.read_text()) | {"format": "other/1"}))
        case "changed log":
            connection = sqlite3.connect(copy / "events.db")
            connection.execute("UPDATE events SET recorded_at = 0")
            connection.commit()
        case "no log":
            (copy / "events.db").unlink()
    with pytest.raises(BackupRefused):
        backups(data).restore(copy, new_log_id=False, advance=told)
    assert not (data / "events.db").exists()
    assert not (data / "restoring").exists()


def test_sealed_words_come_back_only_where_their_keys_are(tmp_path: Path) -> None:
    data, copy, elsewhere = tmp_path / "data", tmp_path / "copy", tmp_path / "elsewhere"
    filled(data, MASTER)
    backups(data).take(copy)
    elsewhere.mkdir()
    for masters in ((), (MASTER,)):
        with pytest.raises(ConfigurationError):
            backups(elsewhere, *masters).restore(copy, new_log_id=False, advance=told)
        assert not (elsewhere / "events.db").exists()
