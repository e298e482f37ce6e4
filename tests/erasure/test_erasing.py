"""Who is erased is gone from every file; what happened, and what it cost, can still be proven."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.erasure import ErasureDesk, PaysForAnother
from application.errors import PrincipalErased
from application.ports import Append
from application.projections import Advance, BuildUnderWay, NoBuild, Projections, Rebuilt
from domain.chat import Chat
from domain.usage import AccountErased, Usage
from tests.erasure.given import MASTER, conversation, opened, words_in
from tests.event_store.given import META, NOW, QUOTE

WORDS = "words of alice"
NAME = "alice-of-the-tests"

with_and_without_a_master_key = pytest.mark.parametrize("masters", [(), (MASTER,)])


@with_and_without_a_master_key
def test_no_file_has_a_word_or_the_name_of_who_was_erased(
    masters: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, *masters) as folder:
            store = folder.store
            alice = await store.principals.resolve("user", NAME)
            bob = await store.principals.resolve("user", "bob-of-the-tests")
            lease = await store.leases.acquire(uuid4(), timedelta(hours=1))
            for n in range(30):
                await conversation(
                    store, alice.id, alice.id, f"{WORDS} {n}", open_reply=lease if n % 3 else None
                )
                await conversation(store, bob.id, bob.id, f"bob's {n}")
            await folder.erase(alice.id)
            assert words_in(tmp_path, WORDS, NAME) == {}
            assert await store.principals.resolve("user", "bob-of-the-tests") == bob
            texts = [
                each.event.content
                for each in await store.read_all(0, 10_000)
                if isinstance(each.event, Chat.MessageSent)
            ]
            assert sorted({text for text in texts if text}) == sorted(
                f"question bob's {n}" for n in range(30)
            )

    asyncio.run(scenario())


@with_and_without_a_master_key
def test_the_record_stays_whole(masters: tuple[str, ...], tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, *masters) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            chat = await conversation(folder.store, alice.id, alice.id, WORDS)
            before = _rows(tmp_path)
            await folder.erase(alice.id)
            after = _rows(tmp_path)
            assert [row[:8] for row in after[: len(before)]] == [row[:8] for row in before]
            assert all(row[8] is None for row in after)
            assert [row[1] for row in after[len(before) :]] == [
                "chat.erased",
                "usage.principal-erased",
            ]
            ended = await folder.store.load(Chat, chat.id)
            account = await folder.store.load(Usage, alice.id)
            assert ended.state.deleted and ended.state.erased
            assert account.state.erased and account.state.topped_up == 10**9

    asyncio.run(scenario())


def test_a_reply_under_way_ends_and_pays_for_what_it_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            lease = await folder.store.leases.acquire(uuid4(), timedelta(hours=1))
            await conversation(folder.store, alice.id, alice.id, WORDS, open_reply=lease)
            await folder.erase(alice.id)
            events = [each.event for each in await folder.store.read_stream(alice.id)]
            settled = [event for event in events if isinstance(event, Usage.HoldSettled)]
            assert [event.consumption.estimated for event in settled] == [True]
            assert isinstance(events[-1], Usage.PrincipalErased) and events[-1].chats == 1
            assert await folder.store.open_replies() == []

    asyncio.run(scenario())


def test_erasing_broken_off_goes_on_and_twice_is_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            for n in range(3):
                await conversation(folder.store, alice.id, alice.id, f"{WORDS} {n}")

            def break_off(done: int, total: int) -> None:
                if done == 2:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                await folder.erasure.erase(alice.id, break_off)
        async with opened(tmp_path, MASTER) as folder:
            assert list(await folder.erasure.unfinished()) == [alice.id]
            await folder.erase(alice.id)
            await folder.erase(alice.id)
            await folder.erasure.finish(alice.id)
            assert list(await folder.erasure.unfinished()) == []
            topics = [row[1] for row in _rows(tmp_path)]
            assert topics.count("chat.erased") == 3
            assert topics.count("usage.principal-erased") == 1
            assert words_in(tmp_path, WORDS, NAME) == {}

    asyncio.run(scenario())


def test_who_has_the_name_afterwards_is_somebody_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder, opened(tmp_path, MASTER) as server:
            alice = await folder.store.principals.resolve("user", NAME)
            assert await server.store.principals.resolve("user", NAME) == alice
            await conversation(folder.store, alice.id, alice.id, WORDS)
            await folder.erase(alice.id)
            await server.store.read_all(0, 1000)
            again = await server.store.principals.resolve("user", NAME)
            assert again.id != alice.id

    asyncio.run(scenario())


def test_another_process_that_has_not_heard_yet_writes_nothing_for_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as folder, opened(tmp_path) as server:
            alice = await server.store.principals.resolve("user", NAME)
            chat = await conversation(server.store, alice.id, alice.id, WORDS)
            account = await server.store.load(Usage, alice.id)
            await folder.erase(alice.id)
            late = Chat.start(uuid4(), alice.id, "late", None, NOW)
            with pytest.raises(PrincipalErased):
                await server.store.append(Append(aggregates=[late], meta=META))
            account = await server.store.load(Usage, alice.id, fresh=True)
            with pytest.raises(AccountErased):
                account.hold_amount(uuid4(), chat.id, 1, QUOTE, NOW)

    asyncio.run(scenario())


def test_who_pays_in_a_chat_that_was_given_away_is_not_erased_before_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            store = folder.store
            visitor = await store.principals.resolve("anonymous", "visitor-of-the-tests")
            lease = await store.leases.acquire(uuid4(), timedelta(hours=1))
            chat = await conversation(store, visitor.id, visitor.id, WORDS, open_reply=lease)
            chat = await store.load(Chat, chat.id)
            chat.claim(uuid4(), NOW)
            await store.append(Append(aggregates=[chat], meta=META))
            monkeypatch.setattr("application.erasure.PATIENCE", 0.0)
            with pytest.raises(PaysForAnother):
                await folder.erase(visitor.id)
            assert list(await folder.erasure.unfinished()) == [visitor.id]

    asyncio.run(scenario())


def test_a_chat_that_is_claimed_in_the_midst_of_it_is_left_to_its_new_owner(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as folder, opened(tmp_path) as server:
            visitor = await folder.store.principals.resolve("anonymous", "visitor-of-the-tests")
            for n in range(2):
                await conversation(folder.store, visitor.id, visitor.id, f"{WORDS} {n}")
            last = (await folder.log.chats_of(visitor.id))[-1]
            chats_of = folder.log.chats_of
            looks: list[Sequence[UUID]] = []

            async def claimed_after_the_first_look(principal: UUID) -> Sequence[UUID]:
                found = await chats_of(principal)
                if not looks:
                    chat = await server.store.load(Chat, last)
                    chat.claim(uuid4(), NOW)
                    await server.store.append(Append(aggregates=[chat], meta=META))
                looks.append(found)
                return found

            folder.log.chats_of = claimed_after_the_first_look  # type: ignore[method-assign]
            await folder.erase(visitor.id)
            kept = await folder.store.load(Chat, last, fresh=True)
            assert not kept.state.deleted
            contents = [
                each.event.content
                for each in await folder.store.read_stream(last)
                if isinstance(each.event, Chat.MessageSent)
            ]
            assert all(contents)

    asyncio.run(scenario())


def test_an_older_copy_of_the_log_is_erased_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            await conversation(folder.store, alice.id, alice.id, WORDS)
        copy = sqlite3.connect(tmp_path / "copy.db")
        sqlite3.connect(tmp_path / "events.db").backup(copy)
        copy.close()
        async with opened(tmp_path, MASTER) as folder:
            await folder.erase(alice.id)
        _put_back(tmp_path / "copy.db")
        async with opened(tmp_path, MASTER) as folder:
            listed = folder.keyring.erased_principals()
            assert await folder.erasure.repeat([*listed, uuid4()]) == [alice.id]
            assert await folder.erasure.repeat(listed) == []
            assert all(row[8] is None for row in _rows(tmp_path))

    asyncio.run(scenario())


def test_a_copy_from_the_midst_of_an_erasure_is_erased_to_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as folder:
            alice = await folder.store.principals.resolve("user", NAME)
            await conversation(folder.store, alice.id, alice.id, WORDS)

            async def die(*_: object) -> int:
                raise KeyboardInterrupt

            # All events are there that say so, and the words still are too.
            folder.log.wipe = die  # type: ignore[assignment, method-assign]
            with pytest.raises(KeyboardInterrupt):
                await folder.erase(alice.id)
        assert set(words_in(tmp_path, WORDS, NAME)) == {WORDS, NAME}
        async with opened(tmp_path) as folder:
            assert await folder.erasure.repeat(folder.keyring.erased_principals()) == [alice.id]
        assert words_in(tmp_path, WORDS, NAME) == {}

    asyncio.run(scenario())


class BuiltByAnother(Projections):
    """Views that another process builds, and has built by the time one looks again."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rebuild(self, advance: Advance) -> Rebuilt:
        self.asked.append("rebuild")
        if len(self.asked) == 1:
            raise BuildUnderWay
        return Rebuilt("3", 0, 0, 0.0)

    def cancel(self) -> str:
        self.asked.append("cancel")
        raise NoBuild


def test_two_erasures_at_once_both_come_to_an_end(tmp_path: Path) -> None:
    async def scenario() -> ErasureDesk:
        async with opened(tmp_path) as folder:
            return ErasureDesk(
                asyncio.run, folder.erasure, folder.log, folder.store.principals, views
            )

    views = BuiltByAnother()  # type: ignore[abstract]
    asyncio.run(scenario()).finish([], lambda done, total=None: None)
    assert views.asked == ["rebuild", "cancel", "rebuild"]


def _put_back(copy: Path) -> None:
    for file in copy.parent.glob("events.db*"):
        file.unlink()
    copy.rename(copy.with_name("events.db"))


def _rows(path: Path) -> list[tuple[object, ...]]:
    """All but positions of the events, with `personal` last; the stored bytes' digests checked."""
    columns = (
        "stream_id, topic, version, schema_version, payload, payload_digest, personal_digest, "
        "meta, personal"
    )
    rows = sqlite3.connect(path / "events.db").execute(
        f"SELECT {columns} FROM events ORDER BY position"
    )
    found = rows.fetchall()
    for row in found:
        assert sha256(row[4]).digest() == row[5]
        assert row[8] is None or sha256(row[8]).digest() == row[6]
    return found
