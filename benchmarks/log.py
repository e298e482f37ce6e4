"""How many events a second the log takes: `python -m benchmarks.log [committers] [seconds]`.

Twice: the log alone, with appends that were decided beforehand, and with the deciding. Both without
and with a master key, where each conversation needs two keys of its own. An append is what a send
or an answer is, with command key, lease and the reply's row; each is flushed to disk
(`synchronous=FULL`) before it counts.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Append, CommandKey, CommandRecord, Lease, Meta, ReplyOpened
from domain.chat import Chat, Parameters
from domain.usage import Consumption, Price, Quote, Usage
from infrastructure.data_folder import LOG_FILE
from infrastructure.event_store.encryption import vault_of
from infrastructure.event_store.keyring import FILE_NAME, Keyring
from infrastructure.event_store.master_key import MasterKey
from infrastructure.event_store.store import SqlEventStore

PRICE = Price(150_000_000, 600_000_000, "benchmark")
QUOTE = Quote("model", PRICE, 200, 100)
USED = Consumption("model", PRICE, 200, 50, False)
QUESTION = "What is the capital of France, and since when? " * 3
ANSWER = "Paris has been its capital, with interruptions, since 987. " * 12

DECIDED_BEFOREHAND = 20_000
"""Appends, shared out among the committers."""


class UtcClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Conversation:
    """A chat and its payer's account, and the appends they go through."""

    def __init__(self, lease: Lease) -> None:
        now = datetime.now(UTC)
        principal = uuid7()
        self._lease = lease
        self._meta = Meta(uuid7(), actor=principal)
        self.chat = Chat.start(uuid7(), principal, None, "model", now)
        self.account = Usage.open(principal, "user", "USD", now)
        self.account.top_up(10**15, "operator", None, now)

    def send(self, reply_id: UUID) -> Append:
        now, message_id = datetime.now(UTC), uuid7()
        self.chat.send(message_id, QUESTION, now)
        self.chat.start_reply(
            reply_id, uuid7(), message_id, "model", self.account.id, Parameters(100), now
        )
        self.account.hold_amount(reply_id, self.chat.id, 10**6, QUOTE, now)
        key = CommandKey("send", self.account.id, str(reply_id))
        return Append(
            aggregates=[self.chat, self.account],
            meta=self._meta,
            command=CommandRecord(key, reply_id.bytes, reply_id.bytes),
            lease=self._lease,
            opens=ReplyOpened(reply_id, self.chat.id, self.account.id),
        )

    def answer(self, reply_id: UUID) -> Append:
        now = datetime.now(UTC)
        self.chat.complete_reply(reply_id, ANSWER, None, "model", "stop", None, now)
        self.account.settle(reply_id, self.chat.id, USED, now)
        return Append(
            aggregates=[self.chat, self.account],
            meta=self._meta,
            lease=self._lease,
            closes=reply_id,
        )


async def append_decided(store: SqlEventStore, appends: list[Append]) -> int:
    for append in appends:
        await store.append(append)
    return sum(aggregate.version for append in appends for aggregate in append.aggregates)


async def converse(store: SqlEventStore, lease: Lease, until: float) -> int:
    conversation = Conversation(lease)
    while time.perf_counter() < until:
        reply_id = uuid7()
        await store.append(conversation.send(reply_id))
        await store.append(conversation.answer(reply_id))
    return conversation.chat.version + conversation.account.version


async def measure(what: str, work: Callable[[], Awaitable[list[int]]]) -> None:
    cpu, began = _cpu(), time.perf_counter()
    events = sum(await work())
    took, used = time.perf_counter() - began, _cpu() - cpu
    print(f"{what}: {events / took:,.0f} events/s, {used / events * 1e6:.0f} µs of CPU an event")


async def benchmark(folder: Path, committers: int, seconds: float, *masters: str) -> None:
    print("sealed" if masters else "unsealed")
    keyring = Keyring(folder / FILE_NAME, [MasterKey(master) for master in masters])
    url = f"sqlite:///{folder / LOG_FILE}"
    store = await SqlEventStore.open(url, clock=UtcClock(), vault=vault_of(keyring))
    lease = await store.leases.acquire(uuid7(), timedelta(hours=1))
    shares = [
        [Conversation(lease).send(uuid7()) for _ in range(DECIDED_BEFOREHAND // committers)]
        for _ in range(committers)
    ]
    await measure(
        f"{committers} committers, decided beforehand (6 events an append)",
        lambda: asyncio.gather(*(append_decided(store, share) for share in shares)),
    )
    shares.clear()
    until = time.perf_counter() + seconds
    await measure(
        f"{committers} committers, with the deciding (2.5 events an append)",
        lambda: asyncio.gather(*(converse(store, lease, until) for _ in range(committers))),
    )
    await store.close()
    keyring.close()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    committers = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    for masters in ((), ("a-master-key-of-the-benchmark-and-nobody-else",)):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(benchmark(Path(folder), committers, seconds, *masters))


if __name__ == "__main__":
    main()
