"""How many events a second the log takes, beside the `eventsourcing` library's own recorders.

    just bench log [--rounds 3] [--committers 64] [--keep]

On SQLite and on a real PostgreSQL, each commit flushed to disk before it counts
(`synchronous=FULL`,
`fsync=on`). Ours and the library's take the same three events at a time, those of a send, decided
beforehand and encoded while the clock runs; ours with command key, lease and the reply's row, which
the library has none of. Committers are tasks with us and threads with it. Then ours with the
deciding, a send and an answer in turn (2.5 events an append), without and with a master key, where
each conversation needs two keys of its own. `rows alone` is what SQLite itself takes: the rows that
ours has written, ready-made, into the same tables by the bare driver, as many in a transaction. CPU
is that of this process, without PostgreSQL's.
"""

import argparse
import asyncio
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import cast
from uuid import UUID

from sqlalchemy import make_url
from uuid_utils.compat import uuid7

from application.ports import Append, CommandKey, CommandRecord, Lease, Meta, ReplyOpened
from benchmarks import library
from benchmarks.results import Chart, Result, Row, in_turn, median_ratio, report
from domain.chat import Chat, Parameters
from domain.usage import Consumption, Price, Quote, Usage
from infrastructure.data_folder import LOG_FILE
from infrastructure.database import sync_writer_engine
from infrastructure.event_store.encryption import vault_of
from infrastructure.event_store.keyring import FILE_NAME, Keyring
from infrastructure.event_store.master_key import MasterKey
from infrastructure.event_store.store import SqlEventStore
from tests.engines import Postgres, postgres_server

PRICE = Price(150_000_000, 600_000_000, "benchmark")
QUOTE = Quote("model", PRICE, 200, 100)
USED = Consumption("model", PRICE, 200, 50, False)
QUESTION = "What is the capital of France, and since when? " * 3
ANSWER = "Paris has been its capital, with interruptions, since 987. " * 12

SENDS = 100
"""A committer's. The library, many times as slow, gets a fifth."""
EVENTS_OF_A_SEND = 3

MASTER = "a-master-key-of-the-benchmark-and-nobody-else"
DURABLE = "max_connections = 300\nshared_buffers = 64MB\njit = off\n"


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

    def opening(self) -> Append:
        return Append(aggregates=[self.chat, self.account], meta=self._meta)

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


class Bench:
    """Where the logs lie, and how many work on one. Each measurement is of a log of its own."""

    def __init__(self, folder: Path, postgres: Postgres, committers: int, seconds: float) -> None:
        self._folder = folder
        self._postgres = postgres
        self._committers = committers
        self._seconds = seconds
        self.cpu: dict[str, list[float]] = {}
        """µs of this process an event, by what was measured."""

    def ours(self, engine: str) -> float:
        """Events a second, as all that follow."""
        with self._a_log(engine) as url:
            return asyncio.run(self._append_decided(f"ours, {engine}", url))

    def library(self, engine: str) -> float:
        lease = Lease(uuid7(), 1)
        shares = [
            [_sent_alone(Conversation(lease)) for _ in range(SENDS // 5)]
            for _ in range(self._committers)
        ]
        with self._a_log(engine) as url:
            at = make_url(url)
            recorder = (
                library.on_sqlite(Path(at.database or ""))
                if engine == "SQLite"
                else library.on_postgres(at)
            )
            with recorder as opened, self._measured(f"library, {engine}") as count:
                library.save_all(opened, shares)
                count.append(sum(len(save) for share in shares for save in share))
        return count[-1]

    def rows_alone(self) -> float:
        sends = SENDS * self._committers
        with self._a_log("SQLite") as url:
            asyncio.run(self._append_decided("rows to write again", url))
            engine = sync_writer_engine(url, secure_delete=True)
            with engine.raw_connection() as pooled:
                driver = pooled.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                tables = [
                    _Taken(driver, "events", EVENTS_OF_A_SEND * sends),
                    _Taken(driver, "commands", sends),
                    _Taken(driver, "open_replies", sends),
                ]
                with self._measured("rows alone, SQLite") as count:
                    for number in range(SENDS):
                        driver.execute("BEGIN IMMEDIATE")
                        for table in tables:
                            driver.executemany(table.insert, table.share(number))
                        driver.execute("COMMIT")
                    count.append(EVENTS_OF_A_SEND * sends)
            engine.dispose()
        return count[-1]

    def deciding(self, engine: str, *masters: str) -> float:
        what = f"with the deciding{', sealed' if masters else ''}, {engine}"
        with self._a_log(engine) as url:
            return asyncio.run(self._converse(what, url, *masters))

    async def _append_decided(self, what: str, url: str) -> float:
        store = await SqlEventStore.open(url, clock=UtcClock())
        lease = await store.leases.acquire(uuid7(), timedelta(hours=1))
        shares = [[Conversation(lease) for _ in range(SENDS)] for _ in range(self._committers)]
        for share in shares:
            await asyncio.gather(*(store.append(each.opening()) for each in share))
        sends = [[each.send(uuid7()) for each in share] for share in shares]
        with self._measured(what) as count:
            await asyncio.gather(*(_append_all(store, share) for share in sends))
            count.append(EVENTS_OF_A_SEND * SENDS * self._committers)
        await store.close()
        return count[-1]

    async def _converse(self, what: str, url: str, *masters: str) -> float:
        with tempfile.TemporaryDirectory() as keys:
            keyring = Keyring(Path(keys) / FILE_NAME, [MasterKey(master) for master in masters])
            store = await SqlEventStore.open(url, clock=UtcClock(), vault=vault_of(keyring))
            lease = await store.leases.acquire(uuid7(), timedelta(hours=1))
            until = time.perf_counter() + self._seconds
            with self._measured(what) as count:
                made = [converse(store, lease, until) for _ in range(self._committers)]
                count.append(sum(await asyncio.gather(*made)))
            await store.close()
            keyring.close()
        return count[-1]

    @contextmanager
    def _a_log(self, engine: str) -> Iterator[str]:
        if engine == "SQLite":
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                yield f"sqlite:///{folder}/{LOG_FILE}"
            return
        url = self._postgres.create()
        try:
            yield url
        finally:
            self._postgres.drop(url)

    @contextmanager
    def _measured(self, what: str) -> Iterator[list[float]]:
        """Takes the number of events, and adds that of a second."""
        count: list[float] = []
        cpu, began = _cpu(), time.perf_counter()
        yield count
        took, used = time.perf_counter() - began, _cpu() - cpu
        self.cpu.setdefault(what, []).append(used / count[0] * 1e6)
        count.append(count[0] / took)


class _Taken:
    """A table's last rows, taken out of it, to be written again in as many transactions."""

    def __init__(self, driver: sqlite3.Connection, table: str, rows: int) -> None:
        # What a send adds to other tables lies anywhere in them.
        in_order, of_these = "random()", ""
        if table == "events":
            in_order, of_these = "position", " WHERE position >= ?"
        last = f"FROM {table} ORDER BY {in_order} DESC LIMIT {rows}"
        self._rows = driver.execute(f"SELECT * {last}").fetchall()[::-1]
        driver.execute(f"DELETE FROM {table}{of_these}", self._rows[0][:1] if of_these else ())
        marks = ", ".join("?" * len(self._rows[0]))
        self.insert = f"INSERT INTO {table} VALUES ({marks})"

    def share(self, number: int) -> list[tuple[object, ...]]:
        size = len(self._rows) // SENDS
        return self._rows[number * size : (number + 1) * size]


async def _append_all(store: SqlEventStore, appends: list[Append]) -> None:
    for append in appends:
        await store.append(append)


async def converse(store: SqlEventStore, lease: Lease, until: float) -> int:
    """Returns the number of events."""
    conversation = Conversation(lease)
    while time.perf_counter() < until:
        reply_id = uuid7()
        await store.append(conversation.send(reply_id))
        await store.append(conversation.answer(reply_id))
    return conversation.chat.version + conversation.account.version


def _sent_alone(conversation: Conversation) -> library.Save:
    """A send's events, without what came before them."""
    for aggregate in (conversation.chat, conversation.account):
        aggregate.collect_events()
    conversation.send(uuid7())
    sent = (*conversation.chat.collect_events(), *conversation.account.collect_events())
    return cast(library.Save, list(sent))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(rounds: int, committers: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, postgres_server(DURABLE) as postgres:
        bench = Bench(Path(folder), postgres, committers, seconds)
        contestants: dict[str, Callable[[], float]] = {}
        for engine in ("SQLite", "PostgreSQL"):
            contestants |= {
                f"ours, {engine}": partial(bench.ours, engine),
                f"library, {engine}": partial(bench.library, engine),
                f"with the deciding, {engine}": partial(bench.deciding, engine),
            }
        contestants["rows alone, SQLite"] = bench.rows_alone
        contestants["with the deciding, sealed, SQLite"] = partial(bench.deciding, "SQLite", MASTER)
        medians, taken = in_turn(rounds, contestants)
    rows: list[Row] = []
    for what, rate in medians.items():
        reference = what.replace("ours", "library").replace("rows alone", "library")
        row: Row = {"log": what, "events/s": rate, "µs of CPU an event": median(bench.cpu[what])}
        row["times the library"] = (
            median_ratio(taken[what], taken[reference])
            if what.startswith(("ours", "rows alone"))
            else None
        )
        rows.append(row)
    report(
        Result(
            name="log",
            title="Events appended a second, each commit synced",
            how=f"{committers} committers, {EVENTS_OF_A_SEND} events an append (with the deciding"
            f" 2.5), medians of {rounds} rounds; the ratio is the median of the rounds' ratios.",
            rows=rows,
            chart=Chart("bars", "log", "events/s"),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--committers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each with the deciding")
    parser.add_argument("--keep", action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.rounds, given.committers, given.seconds)
