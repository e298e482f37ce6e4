"""A search of the log finds what is there, in bounded steps, on both engines."""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.console import event_search
from application.console.chat_history import chat_at, timeline
from application.console.event_search import find_events
from application.console.requests import FindEvents
from application.ledger.event_view import view_of
from application.ledger.known import Known
from application.ledger.ports import EventFilter
from application.ledger.replay import Replay
from application.ports import Append, Meta
from domain.chat import Chat, ChatNotFound
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.codec import codec_of
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.log_pages import PagedLog
from infrastructure.event_store.people import StoredPeople
from interfaces.principals import written_principal
from tests.event_store.given import opened
from tests.projections.history import History


class Searched:
    """A log with a random history, and who is in it."""

    def __init__(self, url: str) -> None:
        self.history = History(seed=11)
        asyncio.run(self._write(url))
        engine = sync_reader_engine(url)
        self.close = engine.dispose
        self.log = PagedLog(engine, codec_of())
        self.known = Known(StoredPeople(engine, PlainNames()), written_principal)
        self.events = [
            view_of(stored, self.log, str) for batch in self.log.batches() for stored in batch
        ]

    async def _write(self, url: str) -> None:
        async with opened(url) as store:
            for _ in range(250):
                if changed := self.history.step():
                    actor = self.history.random.choice([None, *self.history.principals])
                    meta = Meta(uuid4(), actor=actor)
                    await store.append(Append(aggregates=changed, meta=meta))

    def pages(self, request: FindEvents, principal: UUID | None = None) -> list[int]:
        """The positions on all pages; each page is checked by itself."""
        found: list[int] = []
        before, pages = request.before, 0
        while True:
            wanted = FindEvents(
                before=before,
                after=request.after,
                stream=request.stream,
                type=request.type,
                since=request.since,
                until=request.until,
                limit=request.limit,
            )
            page = find_events(self.log, self.known, wanted, principal)
            positions = [event.position for event in page.events]
            assert len(positions) <= request.limit
            found += positions
            pages += 1
            if page.next_before is None:
                return found
            assert before is None or page.next_before < before
            before = page.next_before


@pytest.fixture(params=["sqlite", "postgresql"])
def searched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Searched]:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("database_url")
    searched = Searched(url)
    yield searched
    searched.close()


def test_pages_hold_what_the_log_does(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_search, "LOOKED_AT", 90)
    monkeypatch.setattr(event_search, "FIRST_STEP", 7)
    events, choose = searched.events, random.Random(7)
    owners = {each.stream_id: searched.log.owner_of(each.stream_id) for each in events}
    for _ in range(40):
        one, other = sorted(choose.sample(range(len(events)), 2))
        early, late = events[one], events[other]
        principal = choose.choice([None, None, *searched.history.principals])
        request = FindEvents(
            before=choose.choice([None, late.position]),
            after=choose.choice([0, early.position]),
            stream=choose.choice([None, None, None, early.stream_id]),
            type=choose.choice([None, None, "chat.", "usage.hold-settled"]),
            since=choose.choice([None, early.recorded_at]),
            until=choose.choice([None, late.recorded_at]),
            limit=choose.choice([1, 5, 200]),
        )
        wanted = [
            each.position
            for each in reversed(events)
            if each.position > request.after
            and (request.before is None or each.position < request.before)
            and request.stream in (None, each.stream_id)
            and each.topic.startswith(request.type or "")
            and (request.since is None or each.recorded_at >= request.since)
            and (request.until is None or each.recorded_at < request.until)
            and principal in (None, each.actor, owners[each.stream_id])
        ]
        assert searched.pages(request, principal) == wanted, request


def test_one_request_looks_at_a_bounded_part(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_search, "LOOKED_AT", 90)
    head = len(searched.events)
    page = find_events(searched.log, searched.known, FindEvents(type="none."), None)
    assert (page.events, page.next_before, page.head) == ([], head - 89, head)


def test_times_at_the_ends_of_the_calendar_are_times(searched: Searched) -> None:
    west, east = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))
    ever = FindEvents(
        since=datetime.min.replace(tzinfo=east), until=datetime.max.replace(tzinfo=west), limit=200
    )
    assert len(find_events(searched.log, searched.known, ever, None).events) == 200
    never = FindEvents(
        since=datetime.max.replace(tzinfo=UTC), until=datetime.min.replace(tzinfo=UTC)
    )
    assert find_events(searched.log, searched.known, never, None).events == []


def test_the_past_of_chats_is_what_a_replay_says(searched: Searched) -> None:
    named = searched.known
    chats = [chat.id for chat in searched.history.chats[:12]]
    for chat_id in chats:
        steps = timeline(searched.log, named, chat_id).steps
        mine = [each for each in searched.events if each.stream_id == chat_id]
        assert [step.position for step in steps] == [each.position for each in mine]
        for step in steps[:: max(1, len(steps) // 6)]:
            replay = Replay(searched.log, named, step.position, contents=True)
            list(replay.of_chat(chat_id))
            (then,) = replay.chats()
            seen = chat_at(searched.log, named, chat_id, step.position)
            assert (seen.position, seen.version) == (step.position, step.version)
            assert (seen.title, seen.model) == (then.title, then.model)
            assert (seen.owner, seen.archived) == (then.owner_name, then.archived)
            assert (seen.deleted, seen.active_reply_id) == (then.deleted, then.open_reply)
            active = [each for each in then.messages if each.active]
            assert [
                (m.id, m.role, m.status, m.version, m.versions, m.content) for m in seen.messages
            ] == [(m.id, m.role, m.status, m.version, m.versions, m.content) for m in active]
    account = next(iter(searched.history.accounts))
    for what in (account, uuid4()):
        with pytest.raises(ChatNotFound):
            timeline(searched.log, named, what)
        with pytest.raises(ChatNotFound):
            chat_at(searched.log, named, what, 2**40)


def test_of_a_long_chat_the_last_messages_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.console.chat_history.SHOWN_MESSAGES", 2)
    monkeypatch.setattr("application.console.chat_history.SHOWN_STEPS", 3)
    monkeypatch.setattr("application.console.chat_history.AT_ONCE", 2)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    history = History(seed=1)
    chat = Chat.start(uuid4(), uuid4(), None, None, history.later())
    for number in range(5):
        chat.send(uuid4(), f"message {number}", history.later())

    async def write() -> None:
        async with opened(url) as store:
            await store.append(Append(aggregates=[chat], meta=Meta(uuid4())))

    asyncio.run(write())
    engine = sync_reader_engine(url)
    log, known = (
        PagedLog(engine, codec_of()),
        Known(StoredPeople(engine, PlainNames()), written_principal),
    )
    seen = chat_at(log, known, chat.id, 6)
    assert (seen.earlier, [m.content for m in seen.messages]) == (3, ["message 3", "message 4"])
    told = timeline(log, known, chat.id)
    assert (len(told.steps), told.truncated) == (3, True)
    outlines = log.outlines(EventFilter(stream=chat.id), 10)
    assert {each.personal for each in outlines} == {b""}
    engine.dispose()
