"""Reading the log beside the requests it serves: in a few threads, on connections of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine

from application.console.ports import LogPages
from application.ledger.ports import People
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.log_pages import PagedLog
from infrastructure.event_store.people import StoredPeople

T = TypeVar("T")

AT_ONCE = 2
"""However many operators look, requests of people have the processor and the connections."""


class ConsoleReading:
    """Implements `application.console.ports.LogReader` and `Blocking`."""

    def __init__(self, reading: Engine, codec: Codec, names: PlainNames) -> None:
        """`reading` is an engine of the log's database, and goes with this."""
        self._engine = reading
        self._names = names
        self._log = PagedLog(reading, codec)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="console")

    async def read(self, query: Callable[[LogPages, People], T]) -> T:
        # New each time: who was known a moment ago may have been erased.
        people = StoredPeople(self._engine, self._names)
        return await self.run(partial(query, self._log, people))

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
