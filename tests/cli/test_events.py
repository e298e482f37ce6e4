"""`dabir events`, in processes of its own."""

import gzip
import json
import signal
import sqlite3
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from application.ports import Meta
from domain.chat import Chat
from infrastructure.database import outside_cause
from tests.ledger.given import Conversation, edit, write
from tests.ledger.process import COMMAND, dabir, environ, objects
from tests.projections.given import NOW


@pytest.fixture
def held(tmp_path: Path) -> Conversation:
    return Conversation(tmp_path / "events.db")


@pytest.fixture
def folder(held: Conversation) -> Path:
    return held.path.parent


def test_events_are_listed_by_filters(folder: Path, held: Conversation) -> None:
    events = objects(folder, "events", "--principal", "user:alice", "--type", "chat.message-")
    assert [event["position"] for event in events] == [4, 7, 12]
    assert events[0]["actor_name"] == "user:alice"
    assert events[0]["recorded_at"] == "2026-11-01T12:00:00Z"
    newest = objects(folder, "events", "--newest", "--stream", str(held.chat_id))
    assert [event["position"] for event in newest] == [14, 12, 11, 9, 7, 5, 4, 1]
    by_time = objects(folder, "events", "--since", "2026-11-01", "--before", "2026-11-01T13:00:00Z")
    assert len(by_time) == 14
    correlated = objects(folder, "events", "--correlation", newest[4]["correlation"])
    assert [event["position"] for event in correlated] == [7, 8]


def test_a_limit_says_that_there_is_more(folder: Path) -> None:
    done = dabir(folder, "events", "--limit", "3", "--json")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == b"There are more: --limit 0 shows all.\n"
    assert len(objects(folder, "events", "--limit", "0")) == 14
    assert len(objects(folder, "events", "--limit", "14")) == 14


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_contents_are_shown_only_when_they_are_wanted(folder: Path, form: tuple[str, ...]) -> None:
    without = dabir(folder, "events", *form)
    assert b"secret" not in without.stdout
    assert b"chat.message-sent" in without.stdout
    assert b"A secret question" in dabir(folder, "events", "--contents", *form).stdout


def test_what_people_wrote_commands_no_terminal(folder: Path) -> None:
    chat = Chat.start(uuid4(), uuid4(), "\x1b[31mred\u202e می\u200cخواهم", None, NOW)
    write(folder / "events.db", [([chat], Meta(uuid4()))])
    for arguments in (("events", "--contents"), ("events", "show", "15")):
        shown = dabir(folder, *arguments).stdout.decode()
        assert "\ufffd[31mred\ufffd می\u200cخواهم" in shown


def test_one_event_is_shown_whole(folder: Path) -> None:
    (shown,) = objects(folder, "events", "show", "4")
    assert shown["event"]["personal"] == {
        "content": "A secret question",
        "client_message_id": "c-1",
    }
    assert shown["payload_digest"]["matches"] is shown["personal_digest"]["matches"] is True
    edit(folder / "events.db", "UPDATE events SET personal = NULL WHERE position = 4")
    edit(folder / "events.db", "UPDATE events SET payload_digest = x'00' WHERE position = 4")
    (shown,) = objects(folder, "events", "show", "4")
    assert shown["event"]["erased"] is True
    assert "personal" not in shown["event"]
    assert shown["payload_digest"] == {"stored": "00", "matches": False}
    assert shown["personal_digest"]["matches"] is None
    assert b"DOES NOT MATCH" in dabir(folder, "events", "show", "4").stdout


def test_a_row_that_cannot_be_read_is_listed_all_the_same(folder: Path) -> None:
    edit(folder / "events.db", "UPDATE events SET topic = 'chat.unheard-of' WHERE position = 4")
    listed = objects(folder, "events")
    assert len(listed) == 14
    assert "chat.unheard-of" in listed[3]["unreadable"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--principal", "alice"), 3, "user:SUB or anon:ID"),
        (("--principal", "user:nobody"), 3, "user:nobody is not known here."),
        (("--stream", "x"), 2, "--stream must be an id"),
        (("--since", "yesterday"), 2, "--since must be a time such as"),
        (("--since", "2026-11-01T12:00:00"), 2, "--since must be a time such as"),
        (("show", "15"), 3, "the log has no position 15."),
        (("--data-dir", "nowhere"), 2, "nowhere holds no log."),
        (("--data-dir", "broken"), 2, "events.db holds no log."),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "events.db").write_text("This is no database. " * 100)
    done = dabir(folder, "events", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


def test_following_prints_what_comes_until_it_is_interrupted(folder: Path) -> None:
    following = subprocess.Popen(
        [*COMMAND, "events", "follow", "--after", "13", "--type", "chat.", "--json"],
        cwd=folder,
        env=environ(folder, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["position"] == 14
        chat = Chat.start(uuid4(), uuid4(), None, None, NOW)
        write(folder / "events.db", [([chat], Meta(uuid4()))])
        assert json.loads(following.stdout.readline())["position"] == 15
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
        assert following.stderr is not None
        assert following.stderr.read() == b""
    finally:
        following.kill()
        following.communicate()


def test_a_reader_that_has_enough_ends_it(folder: Path) -> None:
    listing = subprocess.Popen(
        [*COMMAND, "events", "follow", "--after", "1", "--json"],
        cwd=folder,
        env=environ(folder, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.readline()
        listing.stdout.close()
        chat = Chat.start(uuid4(), uuid4(), None, None, NOW)
        write(folder / "events.db", [([chat], Meta(uuid4()))])
        assert listing.wait(20) == 0
        assert listing.stderr.read() == b""
    finally:
        listing.kill()
        listing.wait()


def test_an_export_is_imported_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    exported = dabir(folder, "events", "export", "log.jsonl.gz", "--principals", "people.jsonl")
    assert exported.returncode == 0
    assert exported.stderr == b"14 events, the last at position 14\n"
    other = tmp_path / "other"
    other.mkdir()
    done = dabir(
        other,
        *("events", "import", str(folder / "log.jsonl.gz"), "--json"),
        *("--principals", str(folder / "people.jsonl")),
    )
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout)
    assert (imported["events"], imported["streams"], imported["principals"]) == (14, 2, 1)
    again = dabir(other, "events", "export", "-")
    assert gzip.decompress((folder / "log.jsonl.gz").read_bytes()) == again.stdout
    assert len(objects(other, "events", "--principal", "user:alice")) == 14


def test_an_export_is_for_its_owner_and_leaves_no_draft(folder: Path) -> None:
    dabir(folder, "events", "export", "log.jsonl")
    (made,) = (each for each in folder.iterdir() if "log.jsonl" in each.name)
    assert made.stat().st_mode & 0o777 == 0o600


def test_an_export_that_fails_leaves_what_was_there(folder: Path) -> None:
    (folder / "log.jsonl").write_text("an earlier one")
    edit(folder / "events.db", "UPDATE events SET payload = x'ff' WHERE position = 9")
    done = dabir(folder, "events", "export", "log.jsonl")
    assert (done.returncode, done.stdout) == (3, b"")
    assert (folder / "log.jsonl").read_text() == "an earlier one"
    assert not [each for each in folder.iterdir() if each.name.startswith(".log.jsonl")]


def test_an_import_is_refused_whole(folder: Path, tmp_path: Path) -> None:
    lines = dabir(folder, "events", "export").stdout
    assert dabir(folder, "events", "import", "-", given=lines).returncode == 3
    other = tmp_path / "other"
    other.mkdir()
    cut = dabir(other, "events", "import", "-", given=b"".join(lines.splitlines(True)[:-1]))
    assert cut.returncode == 3
    assert b"line 15: the export ends before event 14; nothing was imported." in cut.stderr
    assert objects(other, "events") == []
    assert dabir(other, "events", "import", "nothing.jsonl").returncode == 2
    (other / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-20])
    assert dabir(other, "events", "import", "cut.jsonl.gz").returncode == 2
    assert objects(other, "events") == []
    assert dabir(other, "events", "import", "-", given=lines).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "9223372036854775808"),
        ("--limit", "-1"),
        ("--until", "99999999999999999999"),
        ("--since", "9999-12-31T23:59:59-14:00"),
        ("export", "-", "--after", "-1"),
    ],
)
def test_numbers_and_times_that_cannot_be_are_wrong_flags(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    answer = dabir(folder, "events", *arguments)
    assert answer.returncode == 2
    assert answer.stdout == b""
    assert answer.stderr.startswith(b"dabir: ") and answer.stderr.count(b"\n") == 1


def test_nothing_that_is_printed_is_a_command_to_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]0;title\x07 \x9b31m \u202e \u200c"
    Conversation(tmp_path / "events.db", words=hostile)
    for arguments in (("--contents",), ("--contents", "--json"), ("show", "4")):
        printed = dabir(tmp_path, "events", *arguments).stdout.decode()
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(printed)
    told = objects(tmp_path, "events", "--contents", "--after", "3", "--until", "4")
    assert told[0]["personal"]["content"] == hostile
    refused = dabir(tmp_path, "events", "--principal", f"user:{hostile}").stderr.decode()
    assert "is not known here" in refused
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(refused)


def test_a_log_that_cannot_be_opened_is_said_in_a_line(tmp_path: Path) -> None:
    Conversation(tmp_path / "events.db")
    (tmp_path / "keys.db").mkdir()
    answer = dabir(tmp_path, "events")
    assert answer.returncode == 3
    assert answer.stderr == b"dabir: the database cannot be opened here, or not be written.\n"


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    answer = dabir(folder, "events", "--principal", "user:\udcff")
    assert answer.returncode == 3
    assert answer.stderr == b"dabir: A principal is written user:SUB or anon:ID.\n"


def test_a_locked_database_is_nobodys_bug(folder: Path) -> None:
    path = folder / "events.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError) as locked:
        other.execute("BEGIN IMMEDIATE")
    assert outside_cause(locked.value) == "another process keeps the database locked. Try again."
    with pytest.raises(sqlite3.OperationalError) as wrong:
        other.execute("SELECT nonsense")
    assert outside_cause(wrong.value) is None


def modules_of(folder: Path, *arguments: str) -> set[str]:
    """What a command imports."""
    told = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], *arguments],
        cwd=folder,
        env=environ(folder, {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    lines = [line for line in told.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def test_help_imports_nothing_heavy(folder: Path) -> None:
    modules = modules_of(folder, "events", "--help")
    assert "interfaces.cli.events" in modules
    heavy = {"litellm", "litestar", "pydantic", "sqlalchemy", "eventsourcing", "structlog"}
    assert heavy.isdisjoint(modules)


@pytest.mark.parametrize(
    "arguments", [("events",), ("replay", "--check"), ("usage", "show", "user:alice")]
)
def test_reading_needs_no_event_loop_and_no_models(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    modules = modules_of(folder, *arguments)
    assert "infrastructure.event_store.stored" in modules
    assert {"litellm", "structlog", "sqlalchemy.ext.asyncio"}.isdisjoint(modules)
