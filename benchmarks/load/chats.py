"""Logs with many chats, or long ones: decided and appended as commands do."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Append, Meta
from domain.chat import Chat, MessageUsage, Parameters
from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock

MODEL = "free"
USAGE = MessageUsage(200, 50, 60, "USD", False, "benchmark")
QUESTION = "What is the capital of France, and since when has it been? " * 3
ANSWER = "Paris has been its capital, with interruptions, since 987. " * 12
AT_ONCE = 64


def conversation(owner: UUID, messages: int) -> Chat:
    """Questions and their answers in turn, with all their events pending."""
    now = datetime.now(UTC)
    chat = Chat.start(uuid7(), owner, "The capital of France", MODEL, now)
    for _ in range(messages // 2):
        asked, reply_id = uuid7(), uuid7()
        chat.send(asked, QUESTION, now)
        chat.start_reply(reply_id, uuid7(), asked, MODEL, owner, Parameters(100), now)
        chat.complete_reply(reply_id, ANSWER, None, MODEL, "stop", USAGE, now)
    return chat


def monologues(messages: int, of_one: int) -> Iterator[Chat]:
    """So many messages in chats of people of their own, an event each: they only have to be there.

    With answers they would be three events for two messages.
    """
    now = datetime.now(UTC)
    for _ in range(messages // of_one):
        chat = Chat.start(uuid7(), uuid7(), "The capital of France", MODEL, now)
        for _ in range(of_one):
            chat.send(uuid7(), QUESTION, now)
        yield chat


async def write(store: SqlEventStore, chats: Iterable[Chat]) -> None:
    """Many at once, as the log's batches want it."""
    meta, waiting = Meta(uuid7()), iter(chats)
    while batch := list(islice(waiting, AT_ONCE)):
        await asyncio.gather(*(store.append(Append(aggregates=(c,), meta=meta)) for c in batch))


async def log_in(data_dir: Path) -> SqlEventStore:
    return await SqlEventStore.open(f"sqlite:///{data_dir / 'events.db'}", clock=SystemClock())


async def user(store: SqlEventStore, sub: str) -> UUID:
    """The principal that a token's subject stands for."""
    return (await store.principals.resolve("user", sub)).id
