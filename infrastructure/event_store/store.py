"""The event store: what `application.ports.EventStore` asks for, on SQLAlchemy Core."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import cast
from uuid import UUID

import structlog
from eventsourcing.domain import Aggregate
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from application.errors import StreamNotFound
from application.ports import (
    A,
    Append,
    Clock,
    CommandKey,
    CommandRecord,
    Lease,
    OpenReplyRow,
    Recorded,
)
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.database import reader_engine, sync_writer_engine
from infrastructure.event_store import codec as event_codec
from infrastructure.event_store.aggregate_cache import AggregateCache
from infrastructure.event_store.batch import StreamWrite, Write
from infrastructure.event_store.codec import Codec, encode_meta
from infrastructure.event_store.leases import Leases, require_lease
from infrastructure.event_store.log import Log
from infrastructure.event_store.principals import REMEMBERED, SqlPrincipals
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.schema import (
    command_id,
    commands,
    leases,
    micros,
    open_replies,
    set_up,
    view_generations,
)
from infrastructure.event_store.snapshots import Snapshots
from infrastructure.event_store.writer import Observe, Writer

log = structlog.get_logger()


class SqlEventStore:
    """Implements `application.ports.EventStore`. Belongs to the event loop it was opened in."""

    def __init__(
        self,
        log_id: str,
        writing: Engine,
        readers: AsyncEngine,
        clock: Clock,
        codec: Codec,
        observe: Observe,
    ) -> None:
        self.log_id = log_id
        self._writing = writing
        self._readers = readers
        self._clock = clock
        self._codec = codec
        self._log = Log(readers, codec)
        self._writer = Writer(writing, clock, self._log.committed, observe)
        self._cache = AggregateCache()
        self._snapshots = Snapshots()
        self._snapshot_writes: set[asyncio.Future[None]] = set()
        self._last_appends: Recent[UUID, int] = Recent(REMEMBERED, self._forget_append)
        self._forgotten_append = 0
        self.principals = SqlPrincipals(readers, self._writer, clock)
        self.leases = Leases(self._writer, clock)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock,
        codec: Codec = event_codec.codec,
        observe: Observe = lambda commands, seconds: None,
    ) -> "SqlEventStore":
        """Open the log at `sqlite:////path/to/events.db`; its tables are made where it is empty.

        `observe` is told of each batch written, in the writer's thread.
        """
        writing = sync_writer_engine(url)

        def prepare() -> str:
            with writing.begin() as connection:
                return set_up(connection)

        log_id = await asyncio.to_thread(prepare)
        return cls(log_id, writing, reader_engine(url), clock, codec, observe)

    async def close(self) -> None:
        """Finish what was handed in, and close the database."""
        await self._writer.close()
        await self._readers.dispose()
        self._writing.dispose()

    async def load(self, kind: type[A], stream_id: UUID, *, fresh: bool = False) -> A:
        """The aggregate as of its last event; `fresh` bypasses what this process remembers.

        The caller owns the returned object until it appends it. Raises StreamNotFound.
        """
        cached = self._cache.take(stream_id)
        if cached is None or fresh:
            cached = await self._replay(kind, stream_id)
        if not isinstance(cached, kind):
            raise StreamNotFound(stream_id)
        return cached

    async def append(self, append: Append) -> int:
        """Write it all or nothing; returns the last event's position, the head if there is none.

        Raises VersionConflict, CommandRepeated, LeaseLost, AddressLimitReached. Cancelling the
        caller does not cancel the write.
        """
        if append.opens and not append.lease:
            raise ValueError("a reply is opened under a lease")
        if _changes_nothing(append):
            self._keep(append.aggregates)
            return await self.head()
        meta = encode_meta(append.meta)
        write = Write(
            streams=[self._encode(each, meta) for each in append.aggregates],
            append=append,
            command_id=command_id(append.command.key) if append.command else None,
        )
        concerned = {p for each in append.aggregates for p in _concerned(each)}
        answer = self._writer.append(write)
        # Noted even where the caller is cancelled, as the write is not.
        answer.add_done_callback(partial(self._note_append, write, concerned))
        position = await asyncio.shield(answer)
        for aggregate in append.aggregates:
            # Not sooner: one that was not written keeps them, and conflicts if it comes again.
            aggregate.pending_events.clear()
        self._keep(append.aggregates)
        return position

    async def recall(self, key: CommandKey) -> CommandRecord | None:
        query = select(commands.c.request_digest, commands.c.result).where(
            commands.c.id == command_id(key)
        )
        async with self._readers.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return CommandRecord(key, row.request_digest, row.result) if row else None

    async def checkpoint(self, lease: Lease, drafts: Sequence[tuple[UUID, bytes, bytes]]) -> None:
        """Keep `(reply_id, text, reasoning)` of replies under way, all in one write.

        Raises LeaseLost.
        """
        rows = [{"of": each, "text": text, "reasoning": more} for each, text, more in drafts]
        statement = update(open_replies).where(
            open_replies.c.reply_id == bindparam("of"),
            open_replies.c.node == lease.node,
            open_replies.c.epoch == lease.epoch,
        )

        def keep(connection: Connection) -> None:
            now = self._clock.now()
            require_lease(connection, lease, now)
            if rows:
                connection.execute(statement.values(updated_at=micros(now)), rows)

        await self._writer.run(keep)

    async def open_replies(self) -> list[OpenReplyRow]:
        """Replies whose node holds no valid lease any more."""
        valid = (
            (leases.c.node == open_replies.c.node)
            & (leases.c.epoch == open_replies.c.epoch)
            & (leases.c.expires_at > micros(self._clock.now()))
        )
        columns = [open_replies.c[field] for field in OpenReplyRow.__struct_fields__]
        query = select(*columns).outerjoin(leases, valid).where(leases.c.node.is_(None))
        async with self._readers.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [OpenReplyRow(*row) for row in rows]

    @property
    def known_head(self) -> int:
        """The head as this process last saw it."""
        return self._log.known_head

    async def head(self) -> int:
        return await self._log.head()

    async def read_all(self, after: int, limit: int) -> list[Recorded]:
        """Events of all streams in order, from position `after` + 1."""
        recorded = await self._log.read_all(after, limit)
        for each in recorded:
            if isinstance(each.event, Chat.Claimed):
                self.principals.forget_owner(each.stream_id)
        return recorded

    async def read_stream(self, stream_id: UUID, after_version: int = 0) -> list[Recorded]:
        """A stream's events in order, from version `after_version` + 1."""
        return await self._log.read_stream(stream_id, after_version)

    async def wait(self, after: int, timeout: float) -> int:
        """The head, as soon as it is beyond `after`, or after `timeout` seconds."""
        return await self._log.wait(after, timeout)

    def last_append_of(self, principal: UUID) -> int:
        """The last position this process appended that concerns the principal, 0 if none.

        Of a principal not heard of for long it may be a later one, never an earlier.
        """
        return self._last_appends.get(principal) or self._forgotten_append

    async def view_generation(self, code_version: int) -> str | None:
        """The live generation of the views, for a version of the views' code."""
        query = select(view_generations.c.generation).where(
            view_generations.c.code_version == code_version
        )
        async with self._readers.connect() as connection:
            return await connection.scalar(query)

    async def set_view_generation(self, code_version: int, generation: str) -> None:
        """Make a generation the live one."""
        of_version = view_generations.c.code_version == code_version

        def point(connection: Connection) -> None:
            connection.execute(delete(view_generations).where(of_version))
            connection.execute(
                insert(view_generations).values(code_version=code_version, generation=generation)
            )

        await self._writer.run(point)

    async def _replay(self, kind: type[A], stream_id: UUID) -> Chat | Usage | None:
        async with self._readers.connect() as connection:
            aggregate = await self._snapshots.read(connection, kind, stream_id)
        after = aggregate.version if aggregate else 0
        for recorded in await self._log.read_stream(stream_id, after):
            aggregate = cast(Chat | Usage, recorded.event.mutate(aggregate))
        return aggregate

    def _encode(self, aggregate: Chat | Usage, meta: bytes) -> StreamWrite:
        pending = aggregate.pending_events
        return StreamWrite(
            stream_id=aggregate.id,
            kind="chat" if isinstance(aggregate, Chat) else "usage",
            expected=aggregate.version - len(pending),
            rows=[self._codec.encode(cast(Aggregate.Event, event), meta) for event in pending],
            owner=_new_owner(aggregate),
        )

    def _keep(self, aggregates: Sequence[Chat | Usage]) -> None:
        for aggregate in aggregates:
            self._cache.put(aggregate)
            if job := self._snapshots.due(aggregate):
                writing = self._writer.run(job)
                self._snapshot_writes.add(writing)
                writing.add_done_callback(self._snapshot_written)

    def _snapshot_written(self, writing: "asyncio.Future[None]") -> None:
        self._snapshot_writes.discard(writing)
        if not writing.cancelled() and (error := writing.exception()):
            # The log holds all that a snapshot does; loading is only slower without it.
            log.warning("snapshot_failed", error=type(error).__name__)

    def _note_append(
        self, write: Write, concerned: set[UUID], answer: "asyncio.Future[int]"
    ) -> None:
        if answer.cancelled() or answer.exception():
            return
        for principal in concerned:
            self._last_appends.put(principal, answer.result())
        for part in write.streams:
            if part.owner is not None:
                self.principals.owns(part.stream_id, part.owner)

    def _forget_append(self, position: int) -> None:
        self._forgotten_append = max(self._forgotten_append, position)


def _changes_nothing(append: Append) -> bool:
    return (
        not any(aggregate.pending_events for aggregate in append.aggregates)
        and append.command is None
        and append.opens is None
        and append.closes is None
        and append.address_use is None
        and append.address_refund is None
    )


def _new_owner(aggregate: Chat | Usage) -> UUID | None:
    """Whose the stream becomes by the pending events; None where they do not say."""
    if isinstance(aggregate, Usage):
        created = any(isinstance(event, Usage.Created) for event in aggregate.pending_events)
        return aggregate.id if created else None
    changed = any(isinstance(e, Chat.Created | Chat.Claimed) for e in aggregate.pending_events)
    return aggregate.state.owner if changed else None


def _concerned(aggregate: Chat | Usage) -> set[UUID]:
    """The principals who would look for what is pending."""
    if isinstance(aggregate, Usage):
        return {aggregate.id}
    claims = [e for e in aggregate.pending_events if isinstance(e, Chat.Claimed)]
    return {aggregate.state.owner, *(claim.previous_owner for claim in claims)}
