"""Batches: all or nothing, each event once, and what happens to an event no view can apply."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from eventsourcing.domain import Aggregate
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from application.ports import Recorded
from application.queries import ListChats, ListMessages
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.projections import chat_list, message_queries, search
from infrastructure.projections.all_views import VIEWS
from infrastructure.projections.checkpoint import PositionMoved
from infrastructure.projections.projector import PoisonEvent, Projector
from infrastructure.projections.search_words import Entry
from infrastructure.projections.view import Handlers, Storage
from tests.projections.given import Given, given_views
from tests.projections.history import History
from tests.projections.places import Place, beside, differing_tables

EVENTS = [
    event
    for aggregate in (Chat, Usage)
    for event in vars(aggregate).values()
    if isinstance(event, type) and issubclass(event, Aggregate.Event)
]


def poisoned(given: Given, chat: Chat) -> list[Recorded]:
    """A message below one that the log has never heard of."""
    chat.send(uuid4(), "who is my parent?", given.later())
    recorded = given.record(chat)
    recorded[-1].event.__dict__["parent_id"] = uuid4()
    return recorded


def titles(given: Given, chat: Chat) -> list[str | None]:
    page = given.read(chat_list.list_chats, chat.state.owner, ListChats())
    return [each.title for each in page.chats]


def contents(given: Given, chat: Chat) -> list[str | None]:
    page = given.read(
        message_queries.list_messages, chat.state.owner, ListMessages(chat_id=chat.id)
    )
    return [message.content for message in page.messages]


def test_a_poison_event_sets_aside_only_its_stream_and_only_in_its_view(given: Given) -> None:
    before, bad, after = given.chat(), given.chat(), given.chat()
    before.send(uuid4(), "before", given.later())
    batch = [*given.record(before), *poisoned(given, bad)]
    after.send(uuid4(), "after", given.later())
    bad.rename("still listed", given.later())
    batch += given.record(after, bad)
    assert given.projector.apply(batch) == len(given.log)
    assert given.projector.set_aside == 1
    assert (contents(given, before), contents(given, after)) == (["before"], ["after"])
    assert titles(given, bad) == ["still listed"]
    assert contents(given, bad) == []


def test_a_stream_that_was_set_aside_stays_so_after_a_restart(given: Given) -> None:
    bad = given.chat()
    given.projector.apply(poisoned(given, bad))
    again = Projector(given.generation.writing)
    again.load()
    assert (again.set_aside, again.position) == (1, len(given.log))
    bad.send(uuid4(), "more", given.later())
    again.apply(given.record(bad))
    assert again.set_aside == 1
    assert contents(given, bad) == []
    assert given.read(
        lambda c: tuple(c.execute(text("SELECT view, position, error FROM set_aside")).one())
    ) == ("messages", 2, "KeyError")


def test_an_event_that_only_the_engine_refuses_is_found_too(given: Given) -> None:
    good, bad = given.chat(), given.chat()
    message_id = given.sent(good, "the first with this id")
    given.sent(bad, "fine")
    bad.send(uuid4(), "the second with this id", given.later())
    batch = given.record(bad)
    batch[-1].event.__dict__["message_id"] = message_id
    good.send(uuid4(), "after it", given.later())
    given.projector.apply([*batch, *given.record(good)])
    assert given.projector.set_aside == 1
    assert contents(given, good) == ["the first with this id", "after it"]
    assert contents(given, bad) == ["fine"]


def test_a_poison_event_stops_a_strict_projector(given: Given) -> None:
    strict = Projector(given.generation.writing, strict=True)
    strict.load()
    chat = Chat.start(uuid4(), uuid4(), None, None, given.later())
    with pytest.raises(PoisonEvent):
        strict.apply([*given.record(chat), *poisoned(given, chat)])
    assert given.rows("chats") == given.rows("set_aside") == 0


def test_what_is_told_of_a_poison_event_never_quotes_it(given: Given) -> None:
    strict = Projector(given.generation.writing, strict=True)
    strict.load()
    with pytest.raises(PoisonEvent) as raised:
        strict.apply(poisoned(given, Chat.start(uuid4(), uuid4(), None, None, given.later())))
    assert str(raised.value) == "messages: KeyError"
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_an_engine_that_fails_skips_nothing(given: Given) -> None:
    chat = given.chat()
    chat.send(uuid4(), "not lost", given.later())
    batch = given.record(chat)
    with given.generation.writing.begin() as connection:
        connection.execute(text("ALTER TABLE texts RENAME TO away"))
    with pytest.raises(DBAPIError):
        given.projector.apply(batch)
    assert given.rows("messages") == 0
    with given.generation.writing.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO texts"))
    given.projector.apply(batch)
    assert contents(given, chat) == ["not lost"]
    assert given.projector.set_aside == 0


def test_a_second_projector_never_applies_what_the_first_has(given: Given) -> None:
    chat = given.chat()
    second = Projector(given.generation.writing)
    second.load()
    chat.send(uuid4(), "once", given.later())
    batch = given.record(chat)
    given.projector.apply(batch)
    with pytest.raises(PositionMoved):
        second.apply(batch)
    assert contents(given, chat) == ["once"]
    second.load()
    assert second.position == given.projector.position


class Crashing:
    """The last view to write, which ends the process instead."""

    name = "crashing"

    def __init__(self, _storage: Storage) -> None:
        self.handlers: Handlers = dict.fromkeys(EVENTS, lambda _event, _recorded: None)

    def prefetch(self, batch: Sequence[Recorded]) -> None: ...

    def flush(self) -> None:
        raise SystemExit


def test_a_crash_between_or_within_batches_loses_and_repeats_nothing(
    given: Given, place: Place
) -> None:
    log = recorded_history(given, seed=1, steps=40)
    for cut in range(1, len(log) - 8, 10):
        other = beside(place, str(cut + 1))
        with given_views(other) as first:
            first.projector.apply(log[:cut])
            crashing = Projector(first.generation.writing, (*VIEWS, Crashing))
            crashing.load()
            with pytest.raises(SystemExit):
                crashing.apply(log[cut : cut + 8])
        with given_views(other) as second:
            assert second.projector.position == cut
            second.projector.apply(log[cut:])
        assert differing_tables(place, other) == []


def recorded_history(given: Given, seed: int, steps: int) -> list[Recorded]:
    """A random history, projected step by step."""
    history = History(seed)
    for _ in range(steps):
        given.happened(*history.step())
    return given.log


def test_sets_that_differ_are_told_apart_by_table(given: Given, place: Place) -> None:
    log = recorded_history(given, seed=3, steps=20)
    other = beside(place, "2")
    with given_views(other) as again:
        again.projector.apply(log)
        assert differing_tables(place, other) == []
        with again.generation.writing.begin() as connection:
            connection.execute(text("UPDATE chats SET title = 'another'"))
            search.add(connection, [Entry(99, uuid4().hex, "another")])
    assert differing_tables(place, other) == ["chats", "search"]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_size_of_the_batches_does_not_matter(given: Given, place: Place, batch: int) -> None:
    log = recorded_history(given, seed=batch, steps=300)
    other = beside(place, "2")
    with given_views(other) as again:
        for start in range(0, len(log), batch):
            again.projector.apply(log[start : start + batch])
        assert again.projector.set_aside == given.projector.set_aside == 0
    assert differing_tables(place, other) == []
