"""Writing what is no event: where it can be, beside the writer, without the log's lock.

Leases and checkpoints are rows of one node each. On PostgreSQL they need nobody's turn, which on
many nodes is most of what the lock is worth; on SQLite there is one lock for everything.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database import is_gone, is_postgres

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from infrastructure.event_store.writer import Writer

T = TypeVar("T")


class Beside(Protocol):
    def run(self, job: Callable[[Connection], T]) -> Awaitable[T]:
        """Run a short function in a transaction. It may be run twice, if the database breaks it."""
        ...

    async def aclose(self) -> None: ...


class ByWriter:
    def __init__(self, writer: "Writer") -> None:
        self._writer = writer

    def run(self, job: Callable[[Connection], T]) -> Awaitable[T]:
        return self._writer.run(job)

    async def aclose(self) -> None:
        """The writer is closed by whoever has opened it."""


class ByConnections:
    def __init__(self, engine: "AsyncEngine") -> None:
        self._engine = engine

    async def run(self, job: Callable[[Connection], T]) -> T:
        try:
            return await self._once(job)
        except SQLAlchemyError as error:
            if not is_gone(error):
                raise
            return await self._once(job)

    async def _once(self, job: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(job)

    async def aclose(self) -> None:
        await self._engine.dispose()


def beside_of(url: URL, writer: "Writer") -> Beside:
    if not is_postgres(url):
        return ByWriter(writer)
    from infrastructure import postgres

    return ByConnections(postgres.async_writer_engine(url))
