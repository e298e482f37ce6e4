"""An export is the log byte for byte; an import takes all of it or nothing."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.ledger.archive import BrokenArchive, Export, principal_lines
from application.ledger.ports import Imported, LogNotEmpty, LogServed, NotInLog
from application.ledger.replay import Replay
from infrastructure.database import sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.importing import SqlLogImport
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import SetClock
from tests.ledger.given import Conversation, checked, edit, ledger, write_history

Lines = list[bytes]


def exported(path: Path, **options: Any) -> Lines:
    with ledger(path) as opened:
        parts = [lines for _, lines in Export(opened.log, **options).parts()]
    return b"".join(parts).splitlines(keepends=True)


def imported(
    path: Path | str, lines: Lines, people: Sequence[bytes] = (), new_log_id: bool = False
) -> Imported:
    """Into a file, or a database by its address."""
    writing = sync_writer_engine(path if isinstance(path, str) else f"sqlite:///{path}")
    try:
        return SqlLogImport(writing, codec, PlainNames()).load(lines, people, new_log_id=new_log_id)
    finally:
        writing.dispose()


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other.db"


def test_an_import_holds_what_the_export_held(path: Path, other: Path) -> None:
    write_history(path, 1, 600)
    lines = exported(path)
    done = imported(other, lines)
    assert exported(other) == lines
    everything = "SELECT * FROM events ORDER BY position"
    assert rows(other, everything) == rows(path, everything)
    assert done.events == len(lines) - 1
    assert checked(other) == checked(path)


def test_what_serves_beside_the_events_is_made_again_from_them(path: Path, other: Path) -> None:
    write_history(path, 2, 600)
    done = imported(other, exported(path))
    owners = "SELECT stream_id, kind, owner FROM streams ORDER BY stream_id"
    assert rows(other, owners) == rows(path, owners)
    assert done.streams == len(rows(path, owners))
    open_replies = set()
    with ledger(path) as opened:
        for (stream_id,) in rows(path, "SELECT stream_id FROM streams WHERE kind = 'chat'"):
            replay = Replay(opened.log, str, opened.log.head())
            list(replay.of_chat(UUID(stream_id)))
            open_replies |= {chat.open_reply for chat in replay.chats() if chat.open_reply}
    orphans = {reply_id for (reply_id,) in rows(other, "SELECT reply_id FROM open_replies")}
    assert orphans == {reply_id.hex for reply_id in open_replies}
    assert done.open_replies == len(orphans) > 0


def test_the_log_keeps_its_id_unless_a_new_one_is_wanted(path: Path, tmp_path: Path) -> None:
    Conversation(path)
    lines = exported(path)
    header = json.loads(lines[0])
    kept = imported(tmp_path / "kept.db", lines)
    forked = imported(tmp_path / "forked.db", lines, new_log_id=True)
    assert kept.log_id == header["log_id"] != forked.log_id


def test_who_the_ids_stand_for_is_a_file_of_its_own(path: Path, other: Path) -> None:
    Conversation(path, "alice")
    with ledger(path) as opened:
        people = list(principal_lines(opened.people.all()))
    assert json.loads(people[0])["name"] == "alice"
    assert b"alice" not in b"".join(exported(path))
    assert imported(other, exported(path), people).principals == 1
    everybody = "SELECT * FROM principals"
    assert rows(other, everybody) == rows(path, everybody)


def test_a_part_is_exported_without_what_people_wrote(path: Path) -> None:
    Conversation(path)
    lines = exported(path, after=2, until=5, personal=False)
    header, *events = map(json.loads, lines)
    assert (header["after"], header["head"], header["personal"]) == (2, 5, False)
    assert [event["position"] for event in events] == [3, 4, 5]
    assert {event["personal"] for event in events} == {None}
    # The digests stay: they are part of what was sealed.
    assert any(event["personal_digest"] for event in events)


def test_the_fields_of_an_export_stand_in_their_order(path: Path) -> None:
    Conversation(path)
    header, event, *_ = exported(path)
    assert list(json.loads(header)) == ["format", "log_id", "after", "head", "personal"]
    assert list(json.loads(event)) == [
        "position",
        "stream_id",
        "version",
        "topic",
        "schema_version",
        "recorded_at",
        "meta",
        "payload",
        "payload_digest",
        "personal",
        "personal_digest",
    ]


def test_an_export_cannot_begin_beyond_the_log(path: Path) -> None:
    Conversation(path)
    with ledger(path) as opened, pytest.raises(NotInLog):
        Export(opened.log, after=15)


def test_a_log_with_text_that_is_none_is_not_exported(path: Path) -> None:
    Conversation(path)
    edit(path, "UPDATE events SET payload = x'ff' WHERE position = 3")
    with pytest.raises(NotInLog, match="position 3"):
        exported(path)


# What is refused


def changed(number: int, **fields: Any) -> Callable[[Lines], Lines]:
    """Line `number` (1 is the first) with other fields."""

    def change(lines: Lines) -> Lines:
        line = json.dumps({**json.loads(lines[number - 1]), **fields}).encode() + b"\n"
        return [*lines[: number - 1], line, *lines[number:]]

    return change


OTHER = json.dumps({"title": "x"})

BROKEN: dict[str, tuple[int, Callable[[Lines], Lines]]] = {
    "nothing at all": (1, lambda lines: []),
    "no header": (1, lambda lines: lines[1:]),
    "another format": (1, changed(1, format="dabir-export/2")),
    "a part": (1, changed(1, after=3)),
    "without what people wrote": (1, changed(1, personal=False)),
    "no JSON": (5, lambda lines: [*lines[:4], b"{\n", *lines[5:]]),
    "an empty line": (5, lambda lines: [*lines[:4], b"\n", *lines[4:]]),
    "an unknown field": (4, changed(4, more=1)),
    "a line that is missing": (5, lambda lines: lines[:4] + lines[5:]),
    "two lines in the wrong order": (5, lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]]),
    "a line twice": (6, lambda lines: lines[:5] + lines[4:]),
    "another position": (5, changed(5, position=99)),
    "another version": (5, changed(5, version=7)),
    "another stream": (6, changed(6, stream_id=str(uuid4()))),
    "another payload": (4, changed(4, payload="{}")),
    "another digest": (4, changed(4, payload_digest="00" * 32)),
    "other words": (5, changed(5, personal="AAAA")),
    "another digest of the words": (5, changed(5, personal_digest="00" * 32)),
    "words without a digest": (5, changed(5, personal_digest=None)),
    "a digest that is none": (5, changed(5, personal=None, personal_digest="Z" * 64)),
    "an unknown topic": (15, changed(15, topic="chat.unheard-of")),
    "a later schema": (15, changed(15, schema_version=9)),
    "broken meta": (15, changed(15, meta="{}")),
    "a stream that begins in its middle": (
        2,
        changed(2, topic="chat.renamed", payload="{}", payload_digest=sha256(b"{}").hexdigest()),
    ),
    "an end that is cut off": (15, lambda lines: lines[:14]),
    "more than was promised": (15, changed(1, head=13)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_export_is_refused_by_line_and_nothing_is_written(
    path: Path, other: Path, name: str
) -> None:
    line, broken = BROKEN[name]
    Conversation(path)
    with pytest.raises(BrokenArchive) as refused:
        imported(other, broken(exported(path)))
    assert refused.value.line == line
    # Nothing stands in the way of the whole one.
    assert imported(other, exported(path)).events == 14


@pytest.mark.parametrize(
    "people",
    [
        [b"{}\n"],
        [b'{"id":"%s","kind":"user","name":"a","created_at":1}\n' % str(uuid4()).encode()] * 2,
    ],
)
def test_broken_principals_are_refused_and_nothing_is_written(
    path: Path, other: Path, people: Lines
) -> None:
    Conversation(path)
    with pytest.raises(BrokenArchive) as refused:
        imported(other, exported(path), people)
    assert refused.value.line == len(people)
    assert imported(other, exported(path)).events == 14


def test_a_log_in_use_takes_no_import(path: Path) -> None:
    Conversation(path)
    with pytest.raises(LogNotEmpty):
        imported(path, exported(path))


def test_an_import_keeps_off_nodes_that_run_on_the_database(path: Path, database_url: str) -> None:
    """They would go on under the id that the log had before."""
    write_history(path, 1, 10)
    lines = exported(path)

    async def scenario() -> None:
        store = await SqlEventStore.open(database_url, clock=SetClock())
        lease = await store.leases.acquire(uuid4(), timedelta(minutes=1))
        with pytest.raises(LogServed):
            await asyncio.to_thread(imported, database_url, lines)
        assert await store.head() == 0
        await store.leases.release(lease)
        await store.close()

    asyncio.run(scenario())
    assert imported(database_url, lines).events == len(lines) - 1
