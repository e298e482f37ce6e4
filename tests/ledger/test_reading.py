"""Which events a filter lets through."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.ledger.ports import EventFilter, Ledger
from application.ports import Append, Meta
from domain.chat import Chat
from infrastructure.event_store import people, stored
from tests.event_store.given import opened
from tests.ledger.given import Conversation, ledger, write
from tests.projections.given import NOW


@pytest.fixture
def held(tmp_path: Path) -> Conversation:
    return Conversation(tmp_path / "events.db")


@pytest.fixture
def reading(held: Conversation) -> Iterator[Ledger]:
    with ledger(held.path) as reading:
        yield reading


def found(reading: Ledger, *, newest_first: bool = False, **wanted: Any) -> list[int]:
    batches = reading.log.found(EventFilter(**wanted), newest_first=newest_first)
    return [event.position for batch in batches for event in batch]


def test_positions(reading: Ledger) -> None:
    assert found(reading) == list(range(1, 15))
    assert found(reading, after=12) == [13, 14]
    assert found(reading, until=2) == [1, 2]
    assert found(reading, after=3, until=5, newest_first=True) == [5, 4]


def test_streams(reading: Ledger, held: Conversation) -> None:
    assert found(reading, stream=held.principal.id) == [2, 3, 6, 8, 10, 13]
    assert found(reading, stream=held.chat_id) == [1, 4, 5, 7, 9, 11, 12, 14]
    assert found(reading, stream=uuid4()) == []


def test_topics_and_their_beginnings(reading: Ledger) -> None:
    assert found(reading, types=("chat.message-sent",)) == [4]
    assert found(reading, types=("usage.",)) == [2, 3, 6, 8, 10, 13]
    assert found(reading, types=("chat.message-", "usage.hold-released")) == [4, 7, 12, 13]
    assert found(reading, types=("chat_",)) == []


def test_correlation(reading: Ledger) -> None:
    (first,) = next(reading.log.found(EventFilter(after=6, until=7)))
    correlation = reading.log.decoded(first).meta.correlation
    assert found(reading, correlation=correlation) == [7, 8]


def test_times(held: Conversation) -> None:
    chat = Chat.start(uuid4(), uuid4(), None, None, NOW + timedelta(hours=1))
    write(held.path, [([chat], Meta(uuid4()))])
    with ledger(held.path) as reading:
        later = NOW + timedelta(hours=1)
        assert found(reading, since=later) == [15]
        assert found(reading, before=later) == list(range(1, 15))
        assert reading.log.position_at(later) == 15
        assert reading.log.position_at(later - timedelta(microseconds=1)) == 14
        assert reading.log.position_at(NOW - timedelta(microseconds=1)) == 0


def test_a_principal_is_who_owns_the_stream_or_did_it(held: Conversation) -> None:
    stranger = uuid4()
    chat = Chat.start(uuid4(), stranger, None, None, NOW)
    write(held.path, [([chat], Meta(uuid4(), actor=held.principal.id))])
    chat.rename("By somebody else", NOW)
    write(held.path, [([chat], Meta(uuid4(), actor=stranger))])
    with ledger(held.path) as reading:
        assert found(reading, principal=held.principal.id) == list(range(1, 16))
        assert found(reading, principal=stranger) == [15, 16]


def test_chats_that_were_given_away_are_known_until_then(held: Conversation) -> None:
    claimer = uuid4()

    async def claim() -> None:
        async with opened(f"sqlite:///{held.path}") as store:
            chat = await store.load(Chat, held.chat_id)
            chat.claim(claimer, NOW)
            await store.append(Append(aggregates=[chat], meta=Meta(uuid4())))

    asyncio.run(claim())
    with ledger(held.path) as reading:
        assert reading.log.chats_ever_of(held.principal.id, 15) == [held.chat_id]
        assert reading.log.chats_ever_of(claimer, 15) == [held.chat_id]
        assert reading.log.chats_ever_of(claimer, 14) == []


@pytest.mark.parametrize("newest_first", [False, True])
def test_long_answers_come_in_batches(
    held: Conversation, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    monkeypatch.setattr(stored, "BATCH", 4)
    with ledger(held.path) as reading:
        batches = list(reading.log.found(EventFilter(after=1), newest_first=newest_first))
        assert [len(batch) for batch in batches] == [4, 4, 4, 1]
        positions = [event.position for batch in batches for event in batch]
        assert positions == sorted(range(2, 15), reverse=newest_first)


def test_people_are_found_by_name_and_by_id(reading: Ledger, held: Conversation) -> None:
    assert reading.people.find("user", "alice") == held.principal
    assert reading.people.find("anonymous", "alice") is None
    assert reading.people.name_of(held.principal.id) == held.principal
    assert reading.people.name_of(UUID(int=5)) is None


def test_all_people_come_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.db"

    async def enrol() -> None:
        async with opened(f"sqlite:///{path}") as store:
            for number in range(7):
                await store.principals.resolve("user", str(number))

    asyncio.run(enrol())
    monkeypatch.setattr(people, "BATCH", 3)
    with ledger(path) as reading:
        assert sorted(known.name for known in reading.people.all()) == list("0123456")
