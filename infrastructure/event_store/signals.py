"""Telling the other nodes that there is more, by PostgreSQL's LISTEN and NOTIFY.

Only sooner than they would see by themselves: nothing depends on a signal, so one that is lost
costs the time of a poll. A NOTIFY takes a lock that all of the server's commits take, so it stands
outside the append, and what comes meanwhile is told with the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import structlog
from sqlalchemy import make_url

from infrastructure.database import is_postgres

if TYPE_CHECKING:
    from psycopg import AsyncConnection

RETRY_AFTER = 1.0
ALIVE_WITHIN = 10.0
"""Seconds of silence after which the connection is tried, and within which it must answer."""

CHANNEL = "dabir"

log = structlog.get_logger()


class Signals(Protocol):
    """Between the nodes of one log. A signal is a number that only grows, under a name."""

    def tell(self, name: str, number: int) -> None: ...

    async def listen(self, hear: Callable[[str, int], None]) -> None:
        """Until cancelled."""
        ...


class NoSignals:
    """For a log with one server."""

    def tell(self, name: str, number: int) -> None:
        """Nobody is there to hear it."""

    async def listen(self, hear: Callable[[str, int], None]) -> None:
        await asyncio.Event().wait()


class PostgresSignals:
    def __init__(self, conninfo: str, channel: str) -> None:
        """`conninfo` may hold a password; `channel` is made of letters, digits and underscores."""
        self._conninfo = conninfo
        self._channel = channel
        self._pending: dict[str, int] = {}
        self._more = asyncio.Event()

    def tell(self, name: str, number: int) -> None:
        self._pending[name] = max(number, self._pending.get(name, 0))
        self._more.set()

    async def listen(self, hear: Callable[[str, int], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again_and_again(lambda: self._hear(hear)))
            tasks.create_task(self._again_and_again(self._send))

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                log.warning("signals_broken", error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER)

    async def _hear(self, hear: Callable[[str, int], None]) -> None:
        async with await self._connected() as connection:
            await connection.execute(f"LISTEN {self._channel}")
            while True:
                async for signal in connection.notifies(timeout=ALIVE_WITHIN):
                    name, _, number = signal.payload.rpartition(" ")
                    if number.isdecimal():
                        hear(name, int(number))
                async with asyncio.timeout(ALIVE_WITHIN):
                    await connection.execute("SELECT 1")

    async def _send(self) -> None:
        async with await self._connected() as connection:
            while True:
                await self._more.wait()
                self._more.clear()
                pending, self._pending = self._pending, {}
                for name, number in pending.items():
                    async with asyncio.timeout(ALIVE_WITHIN):
                        await connection.execute(
                            "SELECT pg_notify(%s, %s)", (self._channel, f"{name} {number}")
                        )

    async def _connected(self) -> "AsyncConnection":
        # An extra, which SQLite does without.
        from psycopg import AsyncConnection

        async with asyncio.timeout(ALIVE_WITHIN):
            return await AsyncConnection.connect(
                self._conninfo, autocommit=True, application_name="dabir signals"
            )


def signals_of(url: str) -> Signals:
    """How the nodes on a log's database tell each other."""
    if not is_postgres(url):
        return NoSignals()
    from infrastructure.postgres import conninfo_of

    return PostgresSignals(conninfo_of(make_url(url)), CHANNEL)
