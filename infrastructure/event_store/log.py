"""Reading the log, and waiting for more of it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, cast
from uuid import UUID

from eventsourcing.domain import Aggregate
from sqlalchemy import Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from application.ports import Recorded
from infrastructure.event_store.codec import Codec, EventRow, RowValues
from infrastructure.event_store.one_hop import read_rows
from infrastructure.event_store.schema import events
from infrastructure.event_store.tail import Tail

Fetch: TypeAlias = Callable[[Collection[UUID]], Awaitable[None]]

POLL_SECONDS = 0.25
"""How late a commit of another process is noticed."""

_HEAD = "SELECT max(position) FROM events"
_read = select(
    events.c.position,
    events.c.stream_id,
    events.c.version,
    events.c.topic,
    events.c.schema_version,
    events.c.payload,
    events.c.personal,
    events.c.meta,
    events.c.recorded_at,
)
_last_position = (
    select(events.c.position)
    .where(events.c.stream_id == bindparam("of"))
    .order_by(events.c.version.desc())
    .limit(1)
)


class Log:
    def __init__(self, readers: AsyncEngine, codec: Codec, fetch: Fetch) -> None:
        """`fetch` brings the keys of streams to where decoding does not wait for them."""
        self._readers = readers
        self._codec = codec
        self._fetch = fetch
        self._head = 0
        self._tail = Tail()
        self.read_back = 0
        """The last position that `read_on` had to ask the database for."""
        self._looked_at = float("-inf")
        """The loop's time of the last look for commits of other processes, whoever waited."""
        self._grown = asyncio.Event()

    @property
    def known_head(self) -> int:
        """The head as this process last saw it."""
        return self._head

    async def head(self) -> int:
        [(head,)] = await read_rows(self._readers, _HEAD)
        self.committed(head or 0)
        return self._head

    async def last_position_of(self, stream_id: UUID) -> int:
        async with self._readers.connect() as connection:
            return await connection.scalar(_last_position, {"of": stream_id}) or 0

    async def read_all(self, after: int, limit: int) -> list[Recorded]:
        """Events of all streams in order, from position `after` + 1."""
        query = _read.where(events.c.position > after).order_by(events.c.position).limit(limit)
        return await self._queried(query)

    async def read_on(self, after: int, limit: int) -> list[Recorded]:
        """As `read_all`, though maybe fewer; none only where there are none."""
        if rows := self._tail.after(after, limit):
            return await self._decoded(rows)
        recorded = await self.read_all(after, limit)
        if recorded:
            self.read_back = max(self.read_back, recorded[-1].position)
        return recorded

    async def read_stream(self, stream_id: UUID, after_version: int = 0) -> list[Recorded]:
        """A stream's events in order, from version `after_version` + 1."""
        query = _read.where(events.c.stream_id == stream_id, events.c.version > after_version)
        return await self._queried(query.order_by(events.c.version))

    async def read_topics(
        self, kinds: Sequence[type[Aggregate.Event]], after: int, until: int
    ) -> list[Recorded]:
        """The events of some kinds, from position `after` + 1 up to `until`."""
        topics = [kind.TOPIC for kind in kinds]  # type: ignore[attr-defined]
        within = (events.c.position > after, events.c.position <= until)
        query = _read.where(*within, events.c.topic.in_(topics)).order_by(events.c.position)
        return await self._queried(query)

    async def wait(self, after: int, timeout: float) -> int:
        """The head, as soon as it is beyond `after`, or after `timeout` seconds."""
        time = asyncio.get_running_loop().time
        deadline = time() + timeout
        while True:
            # Taken before looking, so that a commit in between is not slept through.
            grown = self._grown
            if self._head <= after and time() >= self._looked_at + POLL_SECONDS:
                self._looked_at = time()
                await self.head()
            if self._head > after or time() >= deadline:
                return self._head
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, self._looked_at + POLL_SECONDS)):
                    await grown.wait()

    def committed(self, head: int, rows: Iterable[RowValues] = ()) -> None:
        """Somebody has committed up to `head`: this process, where `rows` of `events` are given."""
        self._tail.extend(rows)
        if head > self._head:
            self._head = head
            grown, self._grown = self._grown, asyncio.Event()
            grown.set()

    def forget_tail(self) -> None:
        """Read all from the database: contents were erased there."""
        self._tail.clear()

    async def _queried(self, query: Select[Any]) -> list[Recorded]:
        async with self._readers.connect() as connection:
            rows = (await connection.execute(query)).all()
        return await self._decoded(cast(Sequence[EventRow], rows))

    async def _decoded(self, rows: Sequence[EventRow]) -> list[Recorded]:
        if sealed := {row.stream_id for row in rows if row.personal is not None}:
            await self._fetch(sealed)
        return [self._codec.decode(row) for row in rows]
