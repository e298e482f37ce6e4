"""Who follows the log gets what was appended here without reading it, and misses nothing."""

import asyncio

from application.ports import Recorded
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import (
    SetClock,
    append_of,
    complete_and_settle,
    new_account,
    new_chat,
    run,
    send_and_hold,
)
from tests.event_store.test_other_processes import other_process


async def follow(store: SqlEventStore, after: int, limit: int) -> list[Recorded]:
    """All that follows, as many steps as it takes."""
    followed: list[Recorded] = []
    while step := await store.read_on(after, limit):
        followed += step
        after = followed[-1].position
    return followed


def told(recorded: list[Recorded]) -> list[object]:
    return [(r.position, r.stream_id, r.version, r.event.__dict__, r.meta) for r in recorded]


def test_what_was_just_appended_is_as_it_is_stored(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, account = new_chat(), new_account()
        reply_id = send_and_hold(chat, account)
        await store.append(append_of(chat, account))
        complete_and_settle(chat, account, reply_id)
        await store.append(append_of(chat, account))
        stored = await store.read_all(0, 100)
        assert told(await follow(store, 0, 100)) == told(stored)
        assert told(await follow(store, 2, 1)) == told(stored[2:])

    run(url, scenario)


def test_what_another_process_wrote_in_between_is_followed_too(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        with other_process(url, chat.id, 20) as other:
            while other.poll() is None:
                await store.append(append_of(new_chat()))
                await asyncio.sleep(0)
        await store.append(append_of(new_chat()))
        stored = await store.read_all(0, 100_000)
        assert told(await follow(store, 0, 1_000)) == told(stored)

    run(url, scenario)
