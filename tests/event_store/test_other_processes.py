"""An operator's command appends while the service runs: two processes, one file."""

import asyncio
import subprocess
import sys
from uuid import UUID

import pytest

from application.errors import VersionConflict
from domain.chat import Chat
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import NOW, SetClock, append_of, new_chat, run


def other_process(url: str, chat_id: UUID, count: int) -> subprocess.Popen[bytes]:
    module = "tests.event_store.other_process"
    return subprocess.Popen(
        [sys.executable, "-m", module, url, str(chat_id), str(count)], stdout=subprocess.PIPE
    )


def test_another_process_makes_a_conflict_and_is_seen_afterwards(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        with other_process(url, chat.id, 0) as other:
            assert await store.wait(1, 30) == 2
            assert await asyncio.to_thread(other.wait, 30) == 0
        stale = await store.load(Chat, chat.id)
        stale.set_archived(True, NOW)
        with pytest.raises(VersionConflict):
            await store.append(append_of(stale))
        fresh = await store.load(Chat, chat.id, fresh=True)
        fresh.set_archived(True, NOW)
        assert await store.append(append_of(fresh)) == 3

    run(url, scenario)


def test_two_processes_leave_no_gap(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        with other_process(url, chat.id, 100) as other:
            mine = 0
            while other.poll() is None:
                await store.append(append_of(new_chat()))
                mine += 1
            assert other.returncode == 0
        recorded = await store.read_all(0, 100_000)
        assert [each.position for each in recorded] == list(range(1, 1 + mine + 101 + 1))

    run(url, scenario)


def test_what_was_answered_survives_a_kill(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        await store.append(append_of(chat))
        with other_process(url, chat.id, 1_000_000) as other:
            assert other.stdout is not None
            answered = [int(await asyncio.to_thread(other.stdout.readline)) for _ in range(50)]
            other.kill()
        recorded = await store.read_all(0, 100_000)
        assert answered == list(range(3, 53))
        assert [each.position for each in recorded] == list(range(1, len(recorded) + 1))
        assert len(recorded) >= answered[-1]
        assert await store.append(append_of(new_chat())) == len(recorded) + 1

    run(url, scenario)
