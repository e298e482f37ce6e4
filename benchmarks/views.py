"""What a query of the views costs: `python -m benchmarks.views [events]`.

The log is filled with conversations of ten turns, all their owners' chats alike. A query's cost
is the CPU time of the whole process, its hop to a thread included.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Append, Meta
from application.queries import ListChats, ListMessages, SearchMessages
from domain.chat import Chat, MessageUsage, Parameters
from domain.usage import Consumption, Price, Quote, Usage
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections.shelf import generations_of
from infrastructure.projections.views import SqlViews
from infrastructure.system import SystemClock

PRICE = Price(150_000_000, 600_000_000, "benchmark")
QUOTE = Quote("model", PRICE, 200, 100)
USED = Consumption("model", PRICE, 200, 50, False)
USAGE = MessageUsage(200, 50, 60, "USD", False, "benchmark")
QUESTION = "What is the capital of France, and since when? " * 3
ANSWER = "Paris has been its capital, with interruptions, since 987. " * 12
TURNS = 10
CHATS_OF_OWNER = 40
QUERIES = 500


def conversation(owner: UUID, account: Usage) -> list[Chat | Usage]:
    """A chat of ten turns and its account, with all their events pending."""
    now = datetime.now(UTC)
    chat = Chat.start(uuid7(), owner, "A title", "model", now)
    for turn in range(TURNS):
        asked, reply_id = uuid7(), uuid7()
        chat.send(asked, f"{turn} {QUESTION}", now)
        chat.start_reply(reply_id, uuid7(), asked, "model", owner, Parameters(100), now)
        account.hold_amount(reply_id, chat.id, 10**6, QUOTE, now)
        chat.complete_reply(reply_id, f"{turn} {ANSWER}", None, "model", "stop", USAGE, now)
        account.settle(reply_id, chat.id, USED, now)
    return [chat, account]


async def fill(store: SqlEventStore, events: int) -> UUID:
    """Append about so many events. Returns one of the owners."""
    meta, position, owner = Meta(uuid7()), 0, uuid7()
    while position < events:
        owner = uuid7()
        account = Usage.open(owner, "user", "USD", datetime.now(UTC))
        account.top_up(10**15, "operator", None, datetime.now(UTC))
        for _ in range(CHATS_OF_OWNER):
            aggregates = conversation(owner, account)
            position = await store.append(Append(aggregates=aggregates, meta=meta))
    return owner


async def cost(query: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of CPU a query, one after the other."""
    for _ in range(20):
        await query()
    began = time.process_time()
    for _ in range(QUERIES):
        await query()
    return (time.process_time() - began) / QUERIES * 1e6


async def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir, clock = Path(folder), SystemClock()
        store = await SqlEventStore.open(f"sqlite:///{data_dir / 'events.db'}", clock=clock)
        owner = await fill(store, events)
        views = await SqlViews.open(
            generations_of(data_dir),
            store,
            clock=clock,
            anon_limit=20,
            starting_balance=0,
            currency="USD",
        )
        await queried(views, owner)
        await views.close()
        await store.close()


async def queried(views: SqlViews, owner: UUID) -> None:
    chat = (await views.list_chats(owner, ListChats())).chats[0]
    queries: dict[str, Callable[[], Awaitable[object]]] = {
        "list_chats of 20": lambda: views.list_chats(owner, ListChats()),
        "list_messages of 20": lambda: views.list_messages(
            owner, ListMessages(chat_id=chat.id, limit=20)
        ),
        "search, 20 hits": lambda: views.search(owner, SearchMessages(query="capital of fr")),
        "chat": lambda: views.chat(owner, chat.id),
    }
    for name, query in queries.items():
        print(f"{name}: {await cost(query):.0f} µs of CPU")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
