"""A log whose contents are sealed: read with the key, without it, and after an erasure."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

from application.ledger.event_view import EventView, view_of
from application.ledger.log_check import LogCheck
from application.ledger.ports import EventFilter
from application.ports import Append, Meta
from domain.usage import Usage
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.codec import codec_of
from infrastructure.event_store.encryption import LockedForm, vault_of
from infrastructure.event_store.keyring import FILE_NAME, Keyring
from infrastructure.event_store.master_key import MasterKey
from infrastructure.event_store.personal import PersonalForm
from infrastructure.event_store.stored import StoredLog
from tests.erasure.given import MASTER, opened
from tests.ledger.process import dabir
from tests.projections.given import NOW
from tests.projections.history import History


def fill(folder: Path) -> UUID:
    """A sealed history; returns one of its principals, who has an account."""
    history = History(5)

    async def play() -> None:
        async with opened(folder, MASTER) as sealed:
            for principal in history.principals:
                await sealed.store.append(
                    Append(aggregates=[history.account(principal)], meta=Meta(uuid4()))
                )
            for _ in range(300):
                if aggregates := history.step():
                    await sealed.store.append(Append(aggregates=aggregates, meta=Meta(uuid4())))
            for chat in history.chats:
                if chat.state.reply is not None:
                    ended = history.end_reply(chat)
                    await sealed.store.append(Append(aggregates=ended, meta=Meta(uuid4())))

    asyncio.run(play())
    return history.principals[0]


def read(folder: Path, form: PersonalForm) -> tuple[str, list[str], EventView]:
    """The states' hash, the rules that are broken, and the first message with its contents."""
    reading = sync_reader_engine(f"sqlite:///{folder / 'events.db'}")
    try:
        log = StoredLog(reading, codec_of(form))
        broken: list[str] = []
        result = LogCheck(log, lambda finding: broken.append(finding.rule)).run()
        sent = next(log.found(EventFilter(types=("chat.message-sent",))))[0]
        return result.state_hash, broken, view_of(sent, log, str, contents=True)
    finally:
        reading.dispose()


def read_with_key(folder: Path) -> tuple[str, list[str], EventView]:
    keyring = Keyring(folder / FILE_NAME, [MasterKey(MASTER)])
    try:
        return read(folder, vault_of(keyring).form)
    finally:
        keyring.close()


def test_a_log_is_checked_with_the_key_and_without_it_to_the_same_hash(tmp_path: Path) -> None:
    fill(tmp_path)
    with_key, broken, opened_view = read_with_key(tmp_path)
    without_key, broken_too, sealed_view = read(tmp_path, LockedForm())
    assert broken == broken_too == []
    assert with_key == without_key
    assert opened_view.personal is not None and not opened_view.sealed
    assert sealed_view.personal is None and sealed_view.sealed


def test_a_log_holds_after_an_erasure(tmp_path: Path) -> None:
    principal = fill(tmp_path)

    async def erase() -> None:
        async with opened(tmp_path, MASTER) as sealed:
            await sealed.erase(principal)

    asyncio.run(erase())
    assert read_with_key(tmp_path)[1] == []
    assert read(tmp_path, LockedForm())[1] == []


def test_without_the_master_key_a_log_is_read_and_checked_but_no_views_are_built(
    tmp_path: Path,
) -> None:
    fill(tmp_path)
    for command in (("events", "show", "1"), ("replay", "--check"), ("keys", "status")):
        assert dabir(tmp_path, *command).returncode == 0
    refused = dabir(tmp_path, "projections", "rebuild")
    assert refused.returncode == 2
    assert b"DABIR_MASTER_KEY" in refused.stderr
    assert dabir(tmp_path, "projections", "rebuild", DABIR_MASTER_KEY=MASTER).returncode == 0


def test_without_the_key_no_name_is_told_and_none_is_said_to_be_unknown(tmp_path: Path) -> None:
    async def enrol() -> UUID:
        async with opened(tmp_path, MASTER) as sealed:
            alice = await sealed.store.principals.resolve("user", "alice")
            account = Usage.open(alice.id, "user", "USD", NOW)
            await sealed.store.append(Append(aggregates=[account], meta=Meta(uuid4())))
            return alice.id

    alice = asyncio.run(enrol())
    shown = dabir(tmp_path, "usage", "show", "user:alice")
    assert shown.returncode == 3
    assert shown.stderr.startswith(b"dabir: The names are sealed")
    people = tmp_path / "people.jsonl"
    exported = dabir(tmp_path, "events", "export", "-", "--principals", str(people))
    assert exported.returncode == 3
    assert not people.exists()
    events = dabir(tmp_path, "events", "--json")
    assert events.returncode == 0
    assert str(alice).encode() in events.stdout and b"siv1:" not in events.stdout
    with_key = dabir(tmp_path, "usage", "show", "user:alice", DABIR_MASTER_KEY=MASTER)
    assert with_key.returncode == 0
