"""What one append promises: all or nothing, in order, once, whatever happens to the caller."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import msgspec
import pytest

from application.errors import CommandRepeated, StreamNotFound, VersionConflict
from application.ports import Append, CommandKey, Recorded
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import (
    META,
    NOW,
    SetClock,
    append_of,
    complete_and_settle,
    new_account,
    new_chat,
    opened,
    record_of,
    run,
    send_and_hold,
    topics,
)


def test_one_append_spans_several_streams(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, account = new_chat(), new_account()
        send_and_hold(chat, account)
        position = await store.append(append_of(chat, account))

        recorded = await store.read_all(0, 100)
        assert position == len(recorded) == await store.head() == 6
        assert [each.position for each in recorded] == [1, 2, 3, 4, 5, 6]
        assert {each.stream_id for each in recorded} == {chat.id, account.id}
        assert all(each.meta == META for each in recorded)

    run(url, scenario)


def test_a_loaded_aggregate_equals_the_appended_one(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, account = new_chat(), new_account()
        reply_id = send_and_hold(chat, account)
        complete_and_settle(chat, account, reply_id)
        await store.append(append_of(chat, account))

        assert await store.load(Chat, chat.id, fresh=True) == chat
        assert await store.load(Usage, account.id, fresh=True) == account

    run(url, scenario)


def test_a_conflict_on_one_stream_leaves_nothing_of_the_others(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, account = new_chat(), new_account()
        await store.append(append_of(chat, account))
        stale = await store.load(Usage, account.id, fresh=True)
        account.top_up(5, "operator", None, NOW)
        await store.append(append_of(account))
        head = await store.head()

        send_and_hold(chat, stale)
        with pytest.raises(VersionConflict):
            await store.append(
                Append(aggregates=[chat, stale], meta=META, command=record_of("a key"))
            )

        assert await store.head() == head
        assert await store.recall(record_of("a key").key) is None
        assert (await store.load(Chat, chat.id)).state.reply is None

    run(url, scenario)


def test_an_aggregate_that_was_not_written_conflicts_when_it_comes_again(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        stale = await store.load(Chat, chat.id, fresh=True)
        chat.rename("Another", NOW)
        await store.append(append_of(chat))
        stale.rename("Lost", NOW)
        for _ in range(2):
            with pytest.raises(VersionConflict):
                await store.append(append_of(stale))
        assert (await store.load(Chat, chat.id)).version == 2

    run(url, scenario)


def test_a_stream_that_the_append_only_relied_on_must_not_have_moved(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, account = new_chat(), new_account()
        await store.append(append_of(chat, account))
        stale = await store.load(Usage, account.id, fresh=True)
        account.top_up(5, "operator", None, NOW)
        await store.append(append_of(account))

        chat.rename("Renamed", NOW)
        with pytest.raises(VersionConflict):
            await store.append(append_of(chat, stale))

    run(url, scenario)


def test_of_two_creations_of_a_stream_the_second_conflicts(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        principal = uuid4()
        twins = [append_of(new_account(principal)) for _ in range(2)]
        outcomes = await asyncio.gather(*map(store.append, twins), return_exceptions=True)
        assert outcomes[0] == 2
        assert isinstance(outcomes[1], VersionConflict)

    run(url, scenario)


def test_nothing_pending_and_no_command_changes_nothing(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        assert await store.append(append_of(chat)) == 1
        assert await store.append(append_of()) == 1

    run(url, scenario)


def test_a_command_without_events_is_remembered(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        record = record_of("no-op", result=b"nothing to do")
        assert await store.append(Append(aggregates=[chat], meta=META, command=record)) == 1
        assert await store.recall(record.key) == record

    run(url, scenario)


def test_a_repeated_key_writes_nothing_and_is_recalled(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        record = record_of("key")
        await store.append(Append(aggregates=[new_chat()], meta=META, command=record))
        with pytest.raises(CommandRepeated):
            await store.append(Append(aggregates=[new_chat()], meta=META, command=record))
        assert await store.head() == 1
        assert await store.recall(record.key) == record

    run(url, scenario)


def test_a_repeated_key_is_told_before_a_conflict(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, record = new_chat(), record_of("key")
        await store.append(Append(aggregates=[chat], meta=META, command=record))
        stale = await store.load(Chat, chat.id, fresh=True)
        chat.rename("Renamed", NOW)
        await store.append(append_of(chat))
        stale.rename("Lost", NOW)
        with pytest.raises(CommandRepeated):
            await store.append(Append(aggregates=[stale], meta=META, command=record))

    run(url, scenario)


@pytest.mark.parametrize(
    "other",
    [
        CommandKey("regenerate", UUID(int=7), "key"),
        CommandKey("send", UUID(int=8), "key"),
        CommandKey("send", UUID(int=7), "kez"),
    ],
)
def test_a_key_is_of_one_route_and_one_principal(url: str, other: CommandKey) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        record = record_of("key")
        await store.append(Append(aggregates=[new_chat()], meta=META, command=record))
        assert await store.recall(other) is None
        again = msgspec.structs.replace(record, key=other)
        assert await store.append(Append(aggregates=[new_chat()], meta=META, command=again)) == 2

    run(url, scenario)


def test_of_concurrent_twins_one_is_written(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        twins = [
            Append(aggregates=[new_chat()], meta=META, command=record_of("twin")) for _ in range(20)
        ]
        outcomes = await asyncio.gather(*map(store.append, twins), return_exceptions=True)
        assert outcomes[0] == await store.head() == 1
        assert all(isinstance(each, CommandRepeated) for each in outcomes[1:])

    run(url, scenario)


def test_a_cancelled_caller_does_not_cancel_the_write(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        owner = uuid4()
        chat, record = new_chat(owner), record_of("key")
        caller = asyncio.create_task(
            store.append(Append(aggregates=[chat], meta=META, command=record))
        )
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

        assert await store.wait(0, 10) == 1
        assert await store.recall(record.key) == record
        assert (await store.load(Chat, chat.id)).state.owner == owner
        assert store.last_append_of(owner) == 1

    run(url, scenario)


def test_closing_finishes_what_was_handed_in(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            handed_in = [asyncio.create_task(store.append(append_of(new_chat()))) for _ in range(9)]
            await asyncio.sleep(0)
        assert [await each for each in handed_in] == list(range(1, 10))
        with pytest.raises(RuntimeError, match="closed"):
            await store.append(append_of(new_chat()))

    asyncio.run(scenario())


def test_positions_have_no_gaps_under_many_committers(url: str) -> None:
    async def commit(store: SqlEventStore, shared: list[Chat]) -> None:
        mine = new_chat()
        await store.append(append_of(mine))
        for turn in range(5):
            mine.rename(f"Title {turn}", NOW)
            await store.append(append_of(mine))
            contended = await store.load(Chat, shared[0].id, fresh=True)
            contended.rename("Contended", NOW)
            try:
                await store.append(append_of(contended))
            except VersionConflict:
                continue

    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        shared = [new_chat()]
        await store.append(append_of(shared[0]))
        await asyncio.gather(*(commit(store, shared) for _ in range(64)))
        recorded = await store.read_all(0, 10_000)
        assert [each.position for each in recorded] == list(range(1, len(recorded) + 1))
        assert _versions_have_no_gaps(recorded)
        assert len(recorded) > 1 + 64 * 6

    run(url, scenario)


def _versions_have_no_gaps(recorded: list[Recorded]) -> bool:
    seen: dict[UUID, int] = {}
    for each in recorded:
        if each.version != seen.get(each.stream_id, 0) + 1:
            return False
        seen[each.stream_id] = each.version
    return True


def test_a_refused_append_fails_alone(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        taken = new_account()
        await store.append(append_of(taken))
        appends = [append_of(new_chat()) for _ in range(10)]
        appends.insert(5, append_of(new_account(taken.id)))
        outcomes = await asyncio.gather(*map(store.append, appends), return_exceptions=True)
        assert isinstance(outcomes.pop(5), VersionConflict)
        assert outcomes == list(range(3, 13))

    run(url, scenario)


def test_an_event_whose_field_is_of_a_wrong_type_is_never_written(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        chat.pending_events[0] = replace(chat.pending_events[0], owner="nobody")  # type: ignore[type-var]
        with pytest.raises(msgspec.ValidationError):
            await store.append(append_of(chat))
        assert await topics(store) == []

    run(url, scenario)


def test_a_stream_of_another_kind_is_not_found(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        account = new_account()
        await store.append(append_of(account))
        for fresh in (False, True):
            with pytest.raises(StreamNotFound):
                await store.load(Chat, account.id, fresh=fresh)
        with pytest.raises(StreamNotFound):
            await store.load(Chat, uuid4())

    run(url, scenario)


def test_a_loaded_aggregate_is_its_callers_alone(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        mine = await store.load(Chat, chat.id)
        theirs = await store.load(Chat, chat.id)
        assert mine is chat and theirs is not mine
        mine.rename("Dropped", NOW)
        assert (await store.load(Chat, chat.id)).version == 1

    run(url, scenario)
