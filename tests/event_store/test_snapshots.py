"""Snapshots: the same as a replay, taken seldom, and never misread."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import select, update

from application.errors import VersionConflict
from domain.chat import Chat, ChatState
from domain.usage import Usage
from infrastructure.database import sync_writer_engine
from infrastructure.event_store import aggregate_cache
from infrastructure.event_store.aggregate_cache import AGGREGATE_WEIGHT, AggregateCache
from infrastructure.event_store.schema import events, snapshots
from infrastructure.event_store.snapshots import MIN_EVENTS, Snapshots, fingerprint
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import (
    NOW,
    append_of,
    complete_and_settle,
    new_account,
    new_chat,
    opened,
    send_and_hold,
)


async def converse(store: SqlEventStore, chat: Chat, account: Usage, turns: int) -> None:
    for _ in range(turns):
        reply_id = send_and_hold(chat, account)
        complete_and_settle(chat, account, reply_id)
        await store.append(append_of(chat, account))


def stored(url: str, stream_id: UUID) -> Any:
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        query = select(snapshots).where(snapshots.c.stream_id == stream_id)
        row = connection.execute(query).one_or_none()
    engine.dispose()
    return row


def talk(url: str, turns: int = MIN_EVENTS) -> tuple[Chat, Usage]:
    async def scenario() -> tuple[Chat, Usage]:
        async with opened(url) as store:
            chat, account = new_chat(), new_account()
            await converse(store, chat, account, turns)
        return chat, account

    return asyncio.run(scenario())


def load(url: str, chat_id: UUID) -> Chat:
    async def scenario() -> Chat:
        async with opened(url) as store:
            return await store.load(Chat, chat_id)

    return asyncio.run(scenario())


def test_a_snapshot_and_what_follows_equal_a_replay(url: str) -> None:
    chat, account = talk(url)
    assert MIN_EVENTS <= stored(url, chat.id).version < chat.version
    assert MIN_EVENTS <= stored(url, account.id).version < account.version
    assert load(url, chat.id) == chat

    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        connection.execute(snapshots.delete())
    engine.dispose()
    assert load(url, chat.id) == chat


def test_a_snapshot_is_really_used(url: str) -> None:
    chat, _ = talk(url)
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        replaced = events.c.version <= stored_version(connection, chat.id)
        connection.execute(events.delete().where(events.c.stream_id == chat.id, replaced))
    engine.dispose()
    assert load(url, chat.id) == chat


def stored_version(connection: Any, stream_id: UUID) -> int:
    query = select(snapshots.c.version).where(snapshots.c.stream_id == stream_id)
    version: int = connection.scalar(query)
    return version


def test_a_short_stream_has_no_snapshot(url: str) -> None:
    chat, _ = talk(url, turns=2)
    assert stored(url, chat.id) is None


def test_a_snapshot_of_another_shape_is_ignored_and_replaced(url: str) -> None:
    chat, account = talk(url)
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        connection.execute(update(snapshots).values(schema=b"another", state=b"\xc1"))
    engine.dispose()
    assert load(url, chat.id) == chat

    async def go_on() -> None:
        async with opened(url) as store:
            again = await store.load(Chat, chat.id)
            payer = await store.load(Usage, account.id)
            await converse(store, again, payer, 1)

    asyncio.run(go_on())
    assert stored(url, chat.id).version == chat.version + 3


def test_a_shape_is_told_by_its_fields_and_its_version() -> None:
    class State(msgspec.Struct):
        owner: UUID
        titled: bool

    class Grown(State):
        model: str | None

    marks = {fingerprint(State), fingerprint(Grown), fingerprint(ChatState), fingerprint(State, 2)}
    assert len(marks) == 4
    assert fingerprint(State) == fingerprint(State)


def test_the_larger_the_state_the_seldomer_a_snapshot() -> None:
    taken = Snapshots()
    chat = new_chat()
    due = 0
    for _ in range(3000):
        chat.send(uuid4(), "text", NOW)
        due += taken.due(chat) is not None
    assert 3 < due < 3000 / MIN_EVENTS


def test_a_failed_snapshot_fails_no_append(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            chat, account = new_chat(), new_account()
            engine = sync_writer_engine(url)
            with engine.begin() as connection:
                snapshots.drop(connection)
            engine.dispose()
            await converse(store, chat, account, MIN_EVENTS)
            assert await store.head() == chat.version + account.version

    asyncio.run(scenario())


def test_the_cache_is_bounded_by_messages() -> None:
    cache = AggregateCache(capacity=3 * AGGREGATE_WEIGHT)
    chats = [new_chat() for _ in range(4)]
    for chat in chats:
        chat.pending_events.clear()
        cache.put(chat)
    assert cache.take(chats[0].id) is None
    assert cache.take(chats[1].id) is chats[1]

    large = new_chat()
    for _ in range(3 * AGGREGATE_WEIGHT):
        large.send(uuid4(), "text", NOW)
    large.pending_events.clear()
    cache.put(large)
    assert cache.take(large.id) is None


def test_the_cache_keeps_the_later_of_two() -> None:
    cache = aggregate_cache.AggregateCache()
    chat = new_chat()
    chat.pending_events.clear()
    later = Chat.start(chat.id, chat.state.owner, "A title", None, NOW)
    later.rename("Later", NOW)
    later.pending_events.clear()
    cache.put(later)
    cache.put(chat)
    assert cache.take(chat.id) is later


@pytest.mark.parametrize("appended", [0, MIN_EVENTS])
def test_a_stale_aggregate_conflicts_whether_it_was_cached_or_not(url: str, appended: int) -> None:
    async def scenario() -> None:
        async with opened(url) as store, opened(url) as other:
            chat, account = new_chat(), new_account()
            await store.append(append_of(chat, account))
            await converse(store, chat, account, appended)
            theirs = await other.load(Chat, chat.id)
            theirs.rename("Theirs", NOW)
            await other.append(append_of(theirs))

            cached = await store.load(Chat, chat.id)
            cached.rename("Mine", NOW)
            with pytest.raises(VersionConflict):
                await store.append(append_of(cached))
            again = await store.load(Chat, chat.id)
            again.rename("Mine", NOW)
            assert again.version == theirs.version + 1
            await store.append(append_of(again))

    asyncio.run(scenario())
