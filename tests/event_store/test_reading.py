"""Reading the log, waiting for it, and being fresh after one's own appends."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from domain.chat import Chat
from infrastructure.database import reader_engine, sync_reader_engine, sync_writer_engine
from infrastructure.event_store import store as event_store
from infrastructure.event_store.log import POLL_SECONDS
from infrastructure.event_store.one_hop import read_rows
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import (
    NOW,
    SetClock,
    append_of,
    event_topic,
    new_account,
    new_chat,
    opened,
    run,
)


def test_an_empty_log_has_no_head(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        assert await store.head() == 0
        assert await store.read_all(0, 10) == []
        assert await store.wait(0, 0) == 0

    run(url, scenario)


def test_all_is_read_in_pages(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        for _ in range(5):
            await store.append(append_of(new_chat()))
        assert [each.position for each in await store.read_all(0, 2)] == [1, 2]
        assert [each.position for each in await store.read_all(2, 2)] == [3, 4]
        assert [each.position for each in await store.read_all(4, 2)] == [5]

    run(url, scenario)


def test_a_stream_is_read_from_a_version_on(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        chat.rename("Renamed", NOW)
        chat.set_archived(True, NOW)
        await store.append(append_of(new_chat(), chat))
        whole = await store.read_stream(chat.id)
        assert [each.version for each in whole] == [1, 2, 3]
        assert [event_topic(each.event) for each in await store.read_stream(chat.id, 2)] == [
            "chat.archive-changed"
        ]
        assert all(each.recorded_at == NOW for each in whole)

    run(url, scenario)


def test_waiting_ends_with_the_commit(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        waiting = [asyncio.create_task(store.wait(1, 30)) for _ in range(3)]
        await store.append(append_of(new_chat()))
        done, _ = await asyncio.wait(waiting, timeout=2 * POLL_SECONDS)
        assert not done
        await store.append(append_of(new_chat()))
        assert await asyncio.gather(*waiting) == [2, 2, 2]

    run(url, scenario)


def test_waiting_is_bounded(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        assert await store.wait(5, 0.01) == 0

    run(url, scenario)


def test_waiting_notices_another_stores_commit(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        waiting = asyncio.create_task(store.wait(0, 30))
        async with opened(url) as other:
            await other.append(append_of(new_chat()))
            assert await waiting == 1

    run(url, scenario)


def test_both_owners_of_a_claimed_chat_have_appended(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        anonymous, user = uuid4(), uuid4()
        chat, account = new_chat(anonymous), new_account(user)
        assert await store.append(append_of(chat)) == 1
        assert store.last_append_of(anonymous) == 1 and store.last_append_of(user) == 0
        assert await store.append(append_of(account)) == 3
        assert store.last_append_of(user) == 3
        chat.claim(user, NOW)
        assert await store.append(append_of(chat)) == 4
        assert store.last_append_of(anonymous) == store.last_append_of(user) == 4
        chat.rename("Theirs", NOW)
        assert await store.append(append_of(chat)) == 5
        assert (store.last_append_of(anonymous), store.last_append_of(user)) == (4, 5)

    run(url, scenario)


def test_a_last_append_that_was_forgotten_is_never_reported_as_earlier(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "REMEMBERED", 2)

    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        owners = [uuid4() for _ in range(4)]
        for owner in owners:
            await store.append(append_of(new_chat(owner)))
        assert [store.last_append_of(owner) for owner in owners] == [2, 2, 3, 4]

    run(url, scenario)


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    gone: list[int] = []
    recent: Recent[str, int] = Recent(2, gone.append)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c"), gone) == (1, None, 3, [2])
    recent.drop("a")
    assert recent.get("a") is None


def test_a_log_keeps_its_id(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            first = store.log_id
        async with opened(url) as store:
            assert store.log_id == first

    asyncio.run(scenario())


def test_readers_cannot_write(url: str) -> None:
    async def scenario(_store: SqlEventStore, _clock: SetClock) -> None:
        readers = reader_engine(url)
        async with readers.connect() as connection:
            with pytest.raises(DBAPIError, match=r"readonly|read-only"):
                await connection.execute(text("DELETE FROM events"))
        await readers.dispose()

    run(url, scenario)


def test_a_read_in_one_hop_sees_what_was_committed_and_fails_as_others_do(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        readers = reader_engine(url)
        count = "SELECT count(*) FROM events WHERE position > :after"
        for committed in range(3):
            assert [tuple(row) for row in await read_rows(readers, count, {"after": 0})] == [
                (committed,)
            ]
            with pytest.raises(DBAPIError):
                await read_rows(readers, "SELECT nothing FROM nowhere")
            await store.append(append_of(new_chat()))
        await readers.dispose()

    run(url, scenario)


def test_one_transaction_of_a_reader_sees_one_snapshot(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        readers = sync_reader_engine(url)
        with readers.connect() as connection:
            count = text("SELECT count(*) FROM events")
            assert connection.scalar(count) == 0
            await store.append(append_of(new_chat()))
            assert connection.scalar(count) == 0
        with readers.connect() as connection:
            assert connection.scalar(count) == 1
        readers.dispose()

    run(url, scenario)


def test_a_writers_transaction_holds_the_lock_from_its_start(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.database.BUSY_TIMEOUT_SECONDS", 0.05)
    first, second = sync_writer_engine(url), sync_writer_engine(url)
    with (
        first.begin(),
        pytest.raises(OperationalError, match=r"locked|lock timeout"),
        second.begin(),
    ):
        pass
    first.dispose()
    second.dispose()


def test_a_refused_read_of_an_aggregate_costs_only_another_read(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        (await store.load(Chat, chat.id)).rename("Never appended", NOW)
        assert (await store.load(Chat, chat.id)).version == 1

    run(url, scenario)
