"""What the tests of the ledger start from: a log on a file, written by the real aggregates."""

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from application.ledger.hold_check import Finding
from application.ledger.log_check import CheckResult, LogCheck
from application.ledger.ports import Ledger
from application.ports import Append, Meta, Principal
from domain.chat import STOPPED, Chat, Parameters
from domain.usage import Usage
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.codec import codec_of
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.people import StoredPeople
from infrastructure.event_store.stored import StoredLog
from tests.event_store.given import opened
from tests.projections.given import CONSUMPTION, NOW, QUOTE, USAGE
from tests.projections.history import History

HELD = 50_000


@contextmanager
def ledger(path: Path) -> Iterator[Ledger]:
    reading = sync_reader_engine(f"sqlite:///{path}")
    try:
        yield Ledger(StoredLog(reading, codec_of()), StoredPeople(reading, PlainNames()))
    finally:
        reading.dispose()


def checked(path: Path) -> tuple[CheckResult, list[Finding]]:
    findings: list[Finding] = []
    with ledger(path) as opened_ledger:
        return LogCheck(opened_ledger.log, findings.append).run(), findings


def rules(path: Path) -> dict[str, list[int]]:
    """The positions at which each rule was found broken."""
    found: dict[str, list[int]] = {}
    for finding in checked(path)[1]:
        found.setdefault(finding.rule, []).append(finding.position)
    return found


def write(path: Path, appends: Iterable[tuple[list[Chat | Usage], Meta]]) -> None:
    async def play() -> None:
        async with opened(f"sqlite:///{path}") as store:
            for aggregates, meta in appends:
                await store.append(Append(aggregates=aggregates, meta=meta))

    asyncio.run(play())


def write_history(path: Path, seed: int, steps: int) -> None:
    """A long random history; each step is an append by itself."""
    history = History(seed)
    each = (history.step() for _ in range(steps))
    write(path, ((aggregates, Meta(uuid4())) for aggregates in each if aggregates))


class Conversation:
    """One user, whose name is known, and one chat; every append is a request of its own.

    Positions: 1 chat, 2 account, 3 top-up, 4 message, 5 reply, 6 hold, 7 answer, 8 settlement,
    9 another version, 10 hold, 11 stop asked for, 12 its end, 13 release, 14 renamed.
    """

    def __init__(self, path: Path, name: str = "alice", words: str = "A secret question") -> None:
        self.path = path
        self._words = words
        self.chat_id, self.message_id, self.answer_id = uuid4(), uuid4(), uuid4()
        self.reply_id, self.second_reply_id = uuid4(), uuid4()
        self.principal = asyncio.run(self._enrolled(name))
        write(path, self._appends())

    async def _enrolled(self, name: str) -> Principal:
        async with opened(f"sqlite:///{self.path}") as store:
            return await store.principals.resolve("user", name)

    def _appends(self) -> Iterator[tuple[list[Chat | Usage], Meta]]:
        owner = self.principal.id
        account = Usage.open(owner, "user", "USD", NOW)
        account.top_up(1_000_000, "operator", "invoice-1", NOW)
        chat = Chat.start(self.chat_id, owner, "A secret title", "small", NOW)
        yield [chat], self._meta()
        yield [account], self._meta()
        chat.send(self.message_id, self._words, NOW, client_message_id="c-1")
        self._start(chat, self.reply_id, self.answer_id)
        account.hold_amount(self.reply_id, chat.id, HELD, QUOTE, NOW)
        yield [chat, account], self._meta()
        chat.complete_reply(self.reply_id, "An answer", None, "large", "stop", USAGE, NOW)
        account.settle(self.reply_id, chat.id, CONSUMPTION, NOW)
        yield [chat, account], self._meta()
        chat.regenerate(
            self.second_reply_id,
            uuid4(),
            self.answer_id,
            "small",
            owner,
            Parameters(max_tokens=20),
            NOW,
        )
        account.hold_amount(self.second_reply_id, chat.id, HELD, QUOTE, NOW)
        yield [chat, account], self._meta()
        chat.request_stop(self.second_reply_id, NOW)
        yield [chat], self._meta()
        chat.complete_reply(self.second_reply_id, "", None, "small", STOPPED, None, NOW)
        account.release(self.second_reply_id, chat.id, "stopped", NOW)
        yield [chat, account], self._meta()
        chat.rename("Another title", NOW)
        yield [chat], self._meta()

    def _start(self, chat: Chat, reply_id: UUID, message_id: UUID) -> None:
        asked = Parameters(max_tokens=20)
        owner = self.principal.id
        chat.start_reply(reply_id, message_id, self.message_id, "small", owner, asked, NOW)

    def _meta(self) -> Meta:
        return Meta(uuid4(), actor=self.principal.id)


def edit(path: Path, statement: str, *parameters: object) -> None:
    """What somebody with the file and a knife can do."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def rewrite(path: Path, position: int, **fields: Any) -> None:
    """Change fields of a payload, its digest included: only its sense gives it away."""
    connection = sqlite3.connect(path)
    (payload,) = connection.execute(
        "SELECT payload FROM events WHERE position = ?", (position,)
    ).fetchone()
    changed = json.dumps({**json.loads(payload), **fields}, separators=(",", ":")).encode()
    with connection:
        connection.execute(
            "UPDATE events SET payload = ?, payload_digest = ? WHERE position = ?",
            (changed, sha256(changed).digest(), position),
        )
    connection.close()
