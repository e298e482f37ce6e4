"""A data folder with a log in it, sealed or not, and what looks for words in its files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from application.erasure import Erasure
from application.errors import StreamNotFound
from application.ports import Append, CommandKey, CommandRecord, Draft, Lease, ReplyOpened
from domain.chat import Chat, Parameters
from domain.usage import Usage
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.encryption import vault_of
from infrastructure.event_store.erasure import SqlErasure
from infrastructure.event_store.keyring import FILE_NAME, Keyring
from infrastructure.event_store.master_key import MasterKey
from infrastructure.event_store.store import SqlEventStore
from infrastructure.language_model.tokens import TokenEstimate
from infrastructure.system import TimeOrderedIds
from tests.event_store.given import META, NOW, QUOTE, SetClock

MASTER = "a-master-key-of-at-least-thirty-two-bytes"
ANOTHER = "another-master-key-of-thirty-two-bytes-or-more"


@dataclass
class Folder:
    """An open data folder."""

    path: Path
    store: SqlEventStore
    keyring: Keyring
    log: SqlErasure
    erasure: Erasure

    async def erase(self, principal: UUID) -> None:
        await self.erasure.erase(principal, lambda done, total: None)


@asynccontextmanager
async def opened(path: Path, *masters: str, keys: Path | None = None) -> AsyncIterator[Folder]:
    """`keys` is the folder of the keys, where it is another one."""
    clock = SetClock()
    keyring = Keyring((keys or path) / FILE_NAME, [MasterKey(master) for master in masters])
    url = f"sqlite:///{path / 'events.db'}"
    try:
        store = await SqlEventStore.open(url, clock=clock, vault=vault_of(keyring))
        writing, reading = sync_writer_engine(url, secure_delete=True), sync_reader_engine(url)
        log = SqlErasure(writing, reading, keyring)
        erasure = Erasure(store, log, TokenEstimate(), clock, TimeOrderedIds(), "USD")
        try:
            yield Folder(path, store, keyring, log, erasure)
        finally:
            writing.dispose()
            reading.dispose()
            await store.close()
    finally:
        keyring.close()


def words_in(path: Path, *words: str) -> dict[str, list[str]]:
    """Which of the words lie in which file, as they are or as SQLite's text in UTF-16."""
    found: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*")):
        content = file.read_bytes() if file.is_file() else b""
        for word in words:
            if any(word.encode(form) in content for form in ("utf-8", "utf-16-le", "utf-16-be")):
                found.setdefault(word, []).append(file.name)
    return found


async def conversation(
    store: SqlEventStore, owner: UUID, payer: UUID, words: str, *, open_reply: Lease | None = None
) -> Chat:
    """A chat with one answered message, all of it saying the words; and a reply under way."""
    chat = Chat.start(uuid4(), owner, f"title {words}", None, NOW)
    try:
        account = await store.load(Usage, payer, fresh=True)
    except StreamNotFound:
        account = Usage.open(payer, "user", "USD", NOW)
        account.top_up(10**9, "operator", f"reference {words}", NOW)
    reply_id = _send(chat, account, words)
    chat.complete_reply(reply_id, f"answer {words}", f"thought {words}", "model", "stop", None, NOW)
    account.release(reply_id, chat.id, "free", NOW)
    key = CommandKey("top-up", payer, str(uuid4()))
    await store.append(
        Append(
            aggregates=[chat, account],
            meta=META,
            command=CommandRecord(key, b"digest", f'"{words}"'.encode()),
        )
    )
    if open_reply is not None:
        reply_id = _send(chat, account, words)
        await store.append(
            Append(
                aggregates=[chat, account],
                meta=META,
                lease=open_reply,
                opens=ReplyOpened(reply_id, chat.id, payer),
            )
        )
        draft = Draft(reply_id, chat.id, f"draft {words}".encode(), f"drafted {words}".encode())
        assert await store.checkpoint(open_reply, [draft]) == []
    return chat


def _send(chat: Chat, account: Usage, words: str) -> UUID:
    message_id, reply_id = uuid4(), uuid4()
    chat.send(message_id, f"question {words}", NOW, client_message_id=f"mine-{words}")
    chat.start_reply(reply_id, uuid4(), message_id, "model", account.id, Parameters(20), NOW)
    account.hold_amount(reply_id, chat.id, 1000, QUOTE, NOW)
    return reply_id
