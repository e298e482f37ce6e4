"""With a master key, nothing that a person wrote or is called lies in the log's files."""

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from application.errors import ConfigurationError, PrincipalErased
from application.ports import Append, CommandKey
from domain.chat import Chat
from infrastructure.event_store.encryption import LockedForm, SealedForm
from infrastructure.event_store.keyring import FILE_NAME, Keyring, MasterKeyMissing
from infrastructure.event_store.master_key import MasterKey
from infrastructure.event_store.personal import UnreadablePersonal
from tests.erasure.given import ANOTHER, MASTER, conversation, opened, words_in
from tests.event_store.given import META, NOW

WORDS = "نامه‌ای به دبیر, a letter"
SECRETS = (WORDS, "alice-of-the-tests")


async def write(path: Path, *masters: str) -> None:
    async with opened(path, *masters) as folder:
        alice = await folder.store.principals.resolve("user", "alice-of-the-tests")
        lease = await folder.store.leases.acquire(uuid4(), timedelta(hours=1))
        await conversation(folder.store, alice.id, alice.id, WORDS, open_reply=lease)


def test_without_a_master_key_everything_lies_there_as_it_is(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path))
    assert set(words_in(tmp_path, *SECRETS)) == set(SECRETS)


def test_with_a_master_key_no_file_has_a_word_or_a_name(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, MASTER))
    assert words_in(tmp_path, *SECRETS) == {}


def test_what_was_sealed_reads_as_it_was_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        await write(tmp_path, MASTER)
        async with opened(tmp_path, MASTER) as folder:
            alice = await folder.store.principals.find("user", "alice-of-the-tests")
            assert alice is not None and alice.name == "alice-of-the-tests"
            texts = [
                each.event.content
                for each in await folder.store.read_all(0, 100)
                if isinstance(each.event, Chat.MessageSent | Chat.MessageCompleted)
            ]
            assert texts == [f"question {WORDS}", f"answer {WORDS}", f"question {WORDS}"]
            (chat_id,) = await folder.log.chats_of(alice.id)
            chat = await folder.store.load(Chat, chat_id)
            assert chat.state.reply is not None
            row = await folder.store.find_open_reply(chat.state.reply.reply_id)
            assert row is not None
            assert (row.text.decode(), row.reasoning.decode()) == (
                f"draft {WORDS}",
                f"drafted {WORDS}",
            )

    asyncio.run(scenario())


def test_a_commands_result_is_found_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            who = uuid4()
            await conversation(folder.store, who, who, WORDS)
            row = sqlite3.connect(tmp_path / "events.db").execute("SELECT result FROM commands")
            assert row.fetchone()[0][:1] == b"\x01"
            assert await folder.store.recall(CommandKey("top-up", who, "never")) is None

    asyncio.run(scenario())


def test_what_was_written_before_there_was_a_master_key_stays_readable(tmp_path: Path) -> None:
    async def scenario() -> None:
        await write(tmp_path)
        async with opened(tmp_path, MASTER) as folder:
            alice = await folder.store.principals.resolve("user", "alice-of-the-tests")
            assert len(await folder.log.chats_of(alice.id)) == 1
            (chat_id,) = await folder.log.chats_of(alice.id)
            chat = await folder.store.load(Chat, chat_id)
            chat.rename("a sealed title", NOW)
            await folder.store.append(Append(aggregates=[chat], meta=META))
            last = (await folder.store.read_stream(chat_id))[-1]
            assert isinstance(last.event, Chat.Renamed) and last.event.title == "a sealed title"

    asyncio.run(scenario())
    assert words_in(tmp_path, "a sealed title") == {}


def test_sealed_bytes_open_only_at_their_own_place(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / FILE_NAME, [MasterKey(MASTER)])
    mine, other = uuid4(), uuid4()
    keyring.ensure([mine, other])
    form = SealedForm(keyring)
    sealed = form.seal(b"{}", mine, 1, "chat.renamed")
    assert form.open(sealed, mine, 1, "chat.renamed") == b"{}"
    for place in ((other, 1, "chat.renamed"), (mine, 2, "chat.renamed"), (mine, 1, "chat.created")):
        with pytest.raises(UnreadablePersonal):
            form.open(sealed, *place)
    with pytest.raises(UnreadablePersonal):
        form.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), mine, 1, "chat.renamed")
    with pytest.raises(UnreadablePersonal):
        form.open(b"\x01short", mine, 1, "chat.renamed")
    with pytest.raises(UnreadablePersonal, match="no key"):
        form.open(sealed, uuid4(), 1, "chat.renamed")
    keyring.close()


def test_without_the_master_key_sealed_bytes_read_as_erased() -> None:
    assert LockedForm().open(b"\x01anything", uuid4(), 1, "chat.renamed") is None


@pytest.mark.parametrize("masters", [(), (ANOTHER,)])
def test_a_sealed_log_is_not_opened_without_its_master_key(
    masters: tuple[str, ...], tmp_path: Path
) -> None:
    asyncio.run(write(tmp_path, MASTER))
    with pytest.raises(ConfigurationError, match="DABIR_MASTER_KEY"):
        asyncio.run(write(tmp_path, *masters))


@pytest.mark.parametrize("masters", [(), (MASTER,)])
def test_a_sealed_log_is_not_opened_without_its_keys(
    masters: tuple[str, ...], tmp_path: Path
) -> None:
    asyncio.run(write(tmp_path, MASTER))
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(ConfigurationError, match=r"keys\.db|DABIR_MASTER_KEY"):
        asyncio.run(write(tmp_path, *masters))


def test_rotating_wraps_keys_anew_and_leaves_contents_alone(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, MASTER))
    before = sqlite3.connect(tmp_path / "events.db").execute("SELECT * FROM events").fetchall()
    keyring = Keyring(tmp_path / FILE_NAME, [MasterKey(ANOTHER), MasterKey(MASTER)])
    steps: list[int] = []
    old = keyring.counts()["old"]
    assert keyring.rotate(lambda done, total: steps.append(done)) == old == steps[-1] > 0
    assert keyring.rotate(lambda done, total: None) == 0
    keyring.close()
    after = sqlite3.connect(tmp_path / "events.db").execute("SELECT * FROM events").fetchall()
    assert after == before
    with pytest.raises(ConfigurationError, match="master key"):
        Keyring(tmp_path / FILE_NAME, [MasterKey(MASTER)])

    async def read() -> None:
        async with opened(tmp_path, ANOTHER) as folder:
            assert await folder.store.principals.find("user", "alice-of-the-tests")
            assert await folder.store.read_all(0, 100)

    asyncio.run(read())


def test_two_processes_that_need_a_key_make_one(tmp_path: Path) -> None:
    one = Keyring(tmp_path / FILE_NAME, [MasterKey(MASTER)])
    two = Keyring(tmp_path / FILE_NAME, [MasterKey(MASTER)])
    stream = uuid4()
    one.ensure([stream])
    two.ensure([stream])
    sealed = SealedForm(one).seal(b"{}", stream, 1, "a topic")
    assert SealedForm(two).open(sealed, stream, 1, "a topic") == b"{}"
    one.close()
    two.close()


def test_a_key_under_a_master_that_is_not_given_is_no_key_that_is_not_there(
    tmp_path: Path,
) -> None:
    """As where one node has the new master key already, and another has not."""
    old = Keyring(tmp_path / FILE_NAME, [MasterKey(MASTER)])
    new = Keyring(tmp_path / FILE_NAME, [MasterKey(ANOTHER), MasterKey(MASTER)])
    stream = uuid4()
    new.ensure([stream])
    sealed = SealedForm(new).seal(b"{}", stream, 1, "a topic")
    with pytest.raises(MasterKeyMissing):
        old.fetch([stream])
    with pytest.raises(MasterKeyMissing):
        SealedForm(old).open(sealed, stream, 1, "a topic")
    old.close()
    new.close()


def test_nothing_is_sealed_for_a_stream_whose_key_was_dropped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, MASTER) as folder:
            who = uuid4()
            chat = await conversation(folder.store, who, who, WORDS)
            folder.keyring.drop([chat.id], NOW)
            chat = await folder.store.load(Chat, chat.id)
            chat.rename("too late", NOW)
            with pytest.raises(PrincipalErased):
                await folder.store.append(Append(aggregates=[chat], meta=META))

    asyncio.run(scenario())
