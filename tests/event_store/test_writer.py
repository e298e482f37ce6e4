"""The one writer: whoever fails, fails alone, and the writer goes on."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from application.ports import Append, Lease, ReplyOpened
from infrastructure import database
from infrastructure.database import sync_writer_engine
from infrastructure.event_store.lease_time import ClockTime
from infrastructure.event_store.schema import log_meta, set_up
from infrastructure.event_store.store import SqlEventStore
from infrastructure.event_store.writer import MAX_BATCH, Writer
from tests.event_store.given import META, SetClock, append_of, new_chat, opened, run


def opening(lease: Lease, opens: ReplyOpened) -> Append:
    return Append(aggregates=[new_chat()], meta=META, lease=lease, opens=opens)


def test_a_database_error_fails_only_the_append_that_caused_it(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), timedelta(minutes=1))
        same = ReplyOpened(uuid4(), uuid4(), uuid4())
        appends = [
            append_of(new_chat()),
            opening(lease, same),
            append_of(new_chat()),
            opening(lease, same),
            append_of(new_chat()),
        ]
        outcomes = await asyncio.gather(*map(store.append, appends), return_exceptions=True)
        assert isinstance(outcomes.pop(3), IntegrityError)
        assert outcomes == [1, 2, 3, 4] and await store.head() == 4
        assert await store.append(append_of(new_chat())) == 5

    run(url, scenario)


def test_what_failed_in_the_database_is_not_told_in_the_error(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), timedelta(minutes=1))
        same = ReplyOpened(uuid4(), uuid4(), uuid4())
        await store.append(opening(lease, same))
        with pytest.raises(IntegrityError) as error:
            await store.append(opening(lease, same))
        assert same.reply_id.hex not in str(error.value)

    run(url, scenario)


def test_without_the_lock_all_fail_and_the_writer_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)

    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        other = sync_writer_engine(url)
        with other.begin():
            outcomes = await asyncio.gather(
                *(store.append(append_of(new_chat())) for _ in range(3)), return_exceptions=True
            )
            assert all(isinstance(each, OperationalError) for each in outcomes)
        other.dispose()
        assert await store.append(append_of(new_chat())) == 1

    run(url, scenario)


def test_more_than_a_batch_is_written_in_order(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        appends = [append_of(new_chat()) for _ in range(2 * MAX_BATCH + 1)]
        positions = await asyncio.gather(*map(store.append, appends))
        assert positions == list(range(1, len(appends) + 1))

    run(url, scenario)


def test_a_jobs_failure_undoes_only_the_jobs_own_writes(url: str) -> None:
    def note(connection: Connection, key: str) -> str:
        connection.execute(insert(log_meta).values(key=key, value=""))
        return key

    def fail(connection: Connection) -> None:
        note(connection, "undone")
        raise LookupError

    async def scenario() -> None:
        engine = sync_writer_engine(url)
        with engine.begin() as connection:
            set_up(connection)
        heads: list[int] = []
        writer = Writer(
            engine, SetClock(), ClockTime(SetClock()), lambda head, _: heads.append(head)
        )
        first = writer.run(lambda connection: note(connection, "first"))
        failing = writer.run(fail)
        last = writer.run(lambda connection: note(connection, "last"))
        outcomes = await asyncio.gather(first, failing, last, return_exceptions=True)
        assert outcomes[0] == "first" and outcomes[2] == "last"
        assert isinstance(outcomes[1], LookupError)
        await writer.close()
        with engine.begin() as connection:
            kept = set(connection.scalars(select(log_meta.c.key)))
        engine.dispose()
        assert kept == {"log_id", "first", "last"} and heads == []

    asyncio.run(scenario())


def test_a_loop_that_is_gone_does_not_stop_the_thread(url: str) -> None:
    async def leave() -> SqlEventStore:
        store = await SqlEventStore.open(url, clock=SetClock())
        appending = asyncio.create_task(store.append(append_of(new_chat())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        appending.cancel()
        return store

    asyncio.run(leave())

    async def come_back() -> None:
        async with opened(url) as store:
            assert await store.wait(0, 10) == 1

    asyncio.run(come_back())


def test_the_log_survives_its_process_with_all_that_was_answered(url: str) -> None:
    """Every commit is flushed: nothing may be left to a later checkpoint or to closing."""
    if url.startswith("postgresql"):
        assert setting_of(sync_writer_engine(url), "synchronous_commit") == "on"
        weaker = sync_writer_engine(url, synchronous="NORMAL")
        assert setting_of(weaker, "synchronous_commit") == "off"
        return
    engine = sync_writer_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()
    weaker = sync_writer_engine(url, synchronous="NORMAL")
    with weaker.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    weaker.dispose()


def setting_of(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        value = connection.exec_driver_sql(f"SHOW {name}").scalar()
    engine.dispose()
    return value


def test_other_databases_are_refused_by_name() -> None:
    for url in ("mysql+pymysql://host/log", "sqlite://"):
        with pytest.raises(ValueError, match="sqlite"):
            sync_writer_engine(url)
