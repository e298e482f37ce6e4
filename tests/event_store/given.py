"""What the tests of the log start from."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from application.ports import Append, CommandKey, CommandRecord, Meta
from domain.chat import Chat, Parameters
from domain.usage import Price, Quote, Usage
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.codec import codec as known
from infrastructure.event_store.lease_time import ClockTime
from infrastructure.event_store.store import SqlEventStore

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
META = Meta(UUID(int=1))
QUOTE = Quote("model", Price(1, 2, "test"), 10, 20)


class SetClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


Scenario = Callable[[SqlEventStore, SetClock], Awaitable[None]]


@asynccontextmanager
async def opened(
    url: str, clock: SetClock | None = None, codec: Codec = known
) -> AsyncIterator[SqlEventStore]:
    clock = clock or SetClock()
    store = await SqlEventStore.open(url, clock=clock, codec=codec, lease_time=ClockTime(clock))
    try:
        yield store
    finally:
        await store.close()


def run(url: str, scenario: Scenario) -> None:
    async def play() -> None:
        clock = SetClock()
        async with opened(url, clock) as store:
            await scenario(store, clock)

    asyncio.run(play())


def new_chat(owner: UUID | None = None) -> Chat:
    return Chat.start(uuid4(), owner or uuid4(), "A title", None, NOW)


def new_account(principal: UUID | None = None) -> Usage:
    account = Usage.open(principal or uuid4(), "user", "USD", NOW)
    account.top_up(1000, "operator", "a reference", NOW)
    return account


def send_and_hold(chat: Chat, account: Usage) -> UUID:
    """What a send decides; returns the reply's id."""
    message_id, reply_id = uuid4(), uuid4()
    chat.send(message_id, "سلام", NOW)
    chat.start_reply(
        reply_id, uuid4(), message_id, "model", account.id, Parameters(max_tokens=20), NOW
    )
    account.hold_amount(reply_id, chat.id, 1, QUOTE, NOW)
    return reply_id


def complete_and_settle(chat: Chat, account: Usage, reply_id: UUID) -> None:
    chat.complete_reply(reply_id, "Hello", None, "model", "stop", None, NOW)
    account.release(reply_id, chat.id, "free", NOW)


def append_of(*aggregates: Chat | Usage) -> Append:
    return Append(aggregates=aggregates, meta=META)


def record_of(key: str, principal: UUID | None = None, result: bytes = b"result") -> CommandRecord:
    return CommandRecord(CommandKey("send", principal or UUID(int=7), key), b"digest", result)


async def topics(store: SqlEventStore) -> list[str]:
    return [event_topic(each.event) for each in await store.read_all(0, 10_000)]


def event_topic(event: object) -> str:
    topic: str = type(event).TOPIC  # type: ignore[attr-defined]
    return topic
