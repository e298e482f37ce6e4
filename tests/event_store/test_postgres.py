"""What only PostgreSQL can do to a log: many writers, and a server that goes away."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError, InvalidRequestError

from application.errors import LeaseLost
from application.ports import Append, Recorded
from domain.chat import Chat
from infrastructure import impatience
from infrastructure import postgres as engines
from infrastructure.database import is_gone
from infrastructure.event_store.lease_time import DatabaseTime
from infrastructure.event_store.schema import events
from infrastructure.event_store.store import SqlEventStore
from tests.engines import Postgres
from tests.event_store.given import META, NOW, SetClock, append_of, new_chat, opened
from tests.wire import Wire

WRITERS = 12
APPENDS = 40


@pytest.fixture
def wire(postgres: Postgres) -> Iterator[Wire]:
    with Wire(postgres.target) as wire:
        yield wire


def by(wire: Wire, url: str) -> str:
    """The address of the same database at the other end of a wire."""
    plain = make_url(url)
    through = plain.set(host="127.0.0.1", port=wire.port, query={})
    return through.render_as_string(hide_password=False)


def test_tables_may_take_longer_to_make_than_an_append(database_url: str) -> None:
    seconds = engines.DURABLE_WITHIN / 1000 + 0.2

    def dawdle(_table: object, connection: Connection, **_: object) -> None:
        connection.exec_driver_sql(f"SELECT pg_sleep({seconds})")

    async def open_and_append() -> int:
        async with opened(database_url) as store:
            return await store.append(append_of(new_chat()))

    event.listen(events, "before_create", dawdle)
    try:
        assert asyncio.run(open_and_append()) == 1
    finally:
        event.remove(events, "before_create", dawdle)


def test_a_tailing_reader_misses_nothing_of_twelve_writers(database_url: str) -> None:
    def writing() -> list[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "tests.event_store.many_writes", database_url]
        return [subprocess.Popen([*command, str(APPENDS)]) for _ in range(WRITERS)]

    async def read() -> list[Recorded]:
        async with opened(database_url) as store:
            await store.append(append_of(new_chat()))
            writers = await asyncio.to_thread(writing)
            seen = await store.read_all(0, 1)
            while len(seen) < 1 + WRITERS * APPENDS:
                await store.wait(seen[-1].position, 30)
                seen += await store.read_all(seen[-1].position, 1000)
            for writer in writers:
                assert await asyncio.to_thread(writer.wait, 60) == 0
            assert await store.head() == len(seen)
            return seen

    seen = asyncio.run(read())
    # Read while it grew, each position once and in order: none became visible after a later one.
    assert [each.position for each in seen] == list(range(1, 2 + WRITERS * APPENDS))


def test_a_commit_whose_answer_is_lost_is_found_and_not_done_twice(
    postgres: Postgres, database_url: str
) -> None:
    def watch(sent: bytes) -> None:
        if armed and b"COMMIT" in sent:
            armed.clear()
            wire.drop_answers()

    armed: list[bool] = []

    async def scenario() -> None:
        async with opened(by(wire, database_url)) as store:
            chat = new_chat()
            assert await store.append(append_of(chat)) == 1
            armed.append(True)
            chat.rename("Renamed", NOW)
            assert await store.append(append_of(chat)) == 2
            assert not armed
            assert await store.append(append_of(new_chat())) == 3

    with Wire(postgres.target, watch) as wire:
        asyncio.run(scenario())


def test_a_batch_that_is_broken_before_its_commit_is_run_again(
    postgres: Postgres, database_url: str
) -> None:
    def watch(sent: bytes) -> None:
        if armed and b'INSERT INTO "events"' in sent:
            armed.clear()
            wire.cut()

    armed: list[bool] = []

    async def scenario() -> None:
        async with opened(by(wire, database_url)) as store:
            assert await store.append(append_of(new_chat())) == 1
            armed.append(True)
            chats = [new_chat() for _ in range(5)]
            positions = await asyncio.gather(*(store.append(append_of(chat)) for chat in chats))
            assert sorted(positions) == [2, 3, 4, 5, 6]
            assert not armed

    with Wire(postgres.target, watch) as wire:
        asyncio.run(scenario())


def test_every_connection_broken_again_and_again_loses_and_doubles_nothing(
    postgres: Postgres, database_url: str
) -> None:
    async def scenario() -> None:
        async with opened(database_url) as store:
            done = asyncio.Event()

            async def write() -> list[int]:
                return [await store.append(append_of(new_chat())) for _ in range(100)]

            async def disturb() -> None:
                while not done.is_set():
                    await asyncio.to_thread(postgres.disconnect, database_url)
                    await asyncio.sleep(0.05)

            disturbing = asyncio.create_task(disturb())
            written = await asyncio.gather(*(write() for _ in range(5)))
            done.set()
            await disturbing
            positions = sorted(position for each in written for position in each)
            assert positions == list(range(1, 501))

    asyncio.run(scenario())


def test_a_pool_that_gives_up_is_a_database_that_is_gone() -> None:
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "checkout")
    def refuse(*_: object) -> None:
        raise DisconnectionError  # as for a connection that broke as soon as it was made

    with pytest.raises(InvalidRequestError) as given_up:
        engine.connect()
    assert is_gone(given_up.value)


def test_a_wire_that_goes_dead_is_cut_and_the_writer_goes_on(
    wire: Wire, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impatience, "PATIENCE_SECONDS", 1.0)

    async def scenario() -> None:
        async with opened(by(wire, database_url)) as store:
            await store.append(append_of(new_chat()))
            wire.freeze()
            stuck = asyncio.create_task(store.append(append_of(new_chat())))
            await asyncio.wait({stuck}, timeout=3.0)
            wire.thaw()
            assert await stuck == 2

    asyncio.run(scenario())


def test_nodes_hear_of_a_commit_sooner_than_they_would_look(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.event_store.log.POLL_SECONDS", 60.0)

    async def scenario() -> None:
        async with opened(database_url) as here, opened(database_url) as there:
            listening = asyncio.create_task(there.others.listen())
            telling = asyncio.create_task(here.others.listen())
            waiting = asyncio.create_task(there.wait(0, 20))
            while not waiting.done():
                await here.append(append_of(new_chat()))
                await asyncio.wait({waiting}, timeout=0.2)
            assert await waiting >= 1
            for task in (listening, telling):
                task.cancel()

    asyncio.run(scenario())


def test_what_another_node_does_is_heeded(database_url: str) -> None:
    async def scenario() -> None:
        async with opened(database_url) as here, opened(database_url) as there:
            owner, thief, stopped, gone = uuid4(), uuid4(), list[UUID](), list[UUID]()
            here.others.when_stopped(stopped.append)
            here.others.when_gone(gone.append)
            chat = new_chat(owner)
            await there.append(append_of(chat))
            assert await here.principals.owner_of(chat.id) == owner
            heeding = asyncio.create_task(here.others.heed())
            chat.claim(thief, NOW)
            await there.append(append_of(chat))
            async with asyncio.timeout(10):
                await here.wait(1, 10)
                while await here.principals.owner_of(chat.id) != thief:
                    await asyncio.wait({heeding}, timeout=0.01)
                chat.delete(NOW)
                await there.append(append_of(chat))
                while not gone:
                    await asyncio.wait({heeding}, timeout=0.01)
            assert gone == [chat.id]
            heeding.cancel()

    asyncio.run(scenario())


def test_leases_go_by_the_databases_clock(database_url: str) -> None:
    """A node whose own clock is a day late neither keeps a lease longer nor loses it sooner."""

    async def scenario() -> None:
        late = SetClock()
        store = await SqlEventStore.open(database_url, clock=late, lease_time=DatabaseTime())
        lease = await store.leases.acquire(uuid4(), timedelta(seconds=30))
        await store.append(Append(aggregates=(new_chat(),), meta=META, lease=lease))
        short = await store.leases.acquire(uuid4(), timedelta(seconds=0.2))
        late.advance(days=-1)
        async with asyncio.timeout(10):
            while True:
                try:
                    await store.append(Append(aggregates=(new_chat(),), meta=META, lease=short))
                except LeaseLost:
                    break
        late.advance(days=2)
        await store.append(Append(aggregates=(new_chat(),), meta=META, lease=lease))
        await store.close()

    asyncio.run(scenario())


def test_a_writer_that_stops_in_its_transaction_does_not_keep_the_others(
    database_url: str,
) -> None:
    """As a process does that is paused there: its session is ended by the server."""

    async def scenario() -> None:
        async with opened(database_url) as store:
            paused = engines.writer_engine(make_url(database_url), lock="log", lock_timeout=5)
            with paused.connect() as connection:
                connection.begin()
                assert await store.append(append_of(new_chat())) == 1
                connection.invalidate()
            paused.dispose()

    asyncio.run(scenario())


def test_two_nodes_that_start_at_once_set_one_log_up(database_url: str) -> None:
    async def scenario() -> None:
        stores = await asyncio.gather(
            *(SqlEventStore.open(database_url, clock=SetClock()) for _ in range(4))
        )
        assert len({store.log_id for store in stores}) == 1
        for store in stores:
            await store.close()

    asyncio.run(scenario())


def test_a_stale_no_op_is_no_answer(database_url: str) -> None:
    """What one node remembers of a stream is told apart from what it is."""

    async def scenario() -> None:
        async with opened(database_url) as here, opened(database_url) as there:
            chat = new_chat()
            await here.append(append_of(chat))
            elsewhere = await there.load(Chat, chat.id)
            elsewhere.set_archived(True, NOW)
            await there.append(append_of(elsewhere))
            remembered = await here.load(Chat, chat.id)
            remembered.set_archived(False, NOW)
            assert append_of(remembered).changes_nothing
            fresh = await here.load(Chat, chat.id, fresh=True)
            fresh.set_archived(False, NOW)
            assert not append_of(fresh).changes_nothing

    asyncio.run(scenario())
