"""The event store: what `application.ports.EventStore` asks for, on SQLAlchemy Core."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import cast
from uuid import UUID

import structlog
from eventsourcing.domain import Aggregate
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from application.errors import ConfigurationError, StreamNotFound
from application.ports import (
    A,
    Append,
    Clock,
    CommandKey,
    CommandRecord,
    Draft,
    Lease,
    OpenReplyRow,
    Recorded,
)
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.database import is_postgres, reader_engine, sync_writer_engine
from infrastructure.event_store.aggregate_cache import AggregateCache
from infrastructure.event_store.batch_tables import CommandRow, StreamWrite, Write
from infrastructure.event_store.beside import beside_of
from infrastructure.event_store.codec import Codec, codec_of, encode_meta
from infrastructure.event_store.encryption import Vault
from infrastructure.event_store.lease_time import ClockTime, DatabaseTime, LeaseTime
from infrastructure.event_store.leases import Leases
from infrastructure.event_store.log import Log
from infrastructure.event_store.one_hop import read_rows
from infrastructure.event_store.open_replies import OpenReplies
from infrastructure.event_store.other_nodes import HEAD, OtherNodes
from infrastructure.event_store.principals import REMEMBERED, SqlPrincipals
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.schema import (
    command_id,
    pair_with_keyring,
    set_up,
)
from infrastructure.event_store.shared_settings import agree
from infrastructure.event_store.signals import Signals, signals_of
from infrastructure.event_store.snapshots import Snapshots
from infrastructure.event_store.view_generations import ViewGenerations
from infrastructure.event_store.writer import Observe, Writer

log = structlog.get_logger()

_RECALL = "SELECT request_digest, result FROM commands WHERE id = :id"


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
        vault: Vault,
        lease_time: LeaseTime,
        signals: Signals,
    ) -> None:
        self.log_id = log_id
        self._writing = writing
        self._readers = readers
        self._clock = clock
        self._codec = codec
        self._log = Log(readers, codec, vault.fetch)
        self._writer = Writer(writing, clock, lease_time, self._committed, observe)
        self._lease_time = lease_time
        self._cache = AggregateCache()
        self._snapshots = Snapshots()
        self._snapshot_writes: set[asyncio.Future[None]] = set()
        self._last_appends: Recent[UUID, int] = Recent(REMEMBERED, self._forget_append)
        self._forgotten_append = 0
        self._vault = vault
        self._beside = beside_of(writing.url, self._writer)
        self._open_replies = OpenReplies(readers, self._beside, clock, lease_time, vault)
        self.principals = SqlPrincipals(readers, self._writer, clock, vault.names)
        self.others = OtherNodes(self._log, signals, self.principals, vault)
        self.leases = Leases(self._writer, self._beside, lease_time)
        self.view_generations = ViewGenerations(readers, self._writer)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock,
        codec: Codec | None = None,
        observe: Observe = lambda batch: None,
        vault: Vault | None = None,
        lease_time: LeaseTime | None = None,
    ) -> "SqlEventStore":
        """Open the log at `sqlite:////path/to/events.db` or `postgresql://…`.

        Its tables are made where it is empty. `observe` is told of each batch written, in the
        writer's thread; `vault` seals what is personal; leases go by `lease_time`, which is the
        database's own on PostgreSQL unless another is given, else the `clock`'s. Raises
        ConfigurationError where the log was sealed with other keys, or its tables are of a release
        that this one cannot work with.
        """
        vault = vault or Vault()
        # What is deleted or replaced (drafts, names) is overwritten in the file, too.
        writing = sync_writer_engine(url, secure_delete=True)

        def prepare() -> str:
            with writing.begin() as connection:
                log_id = set_up(connection)
                pair_with_keyring(connection, vault.keyring_id)
                return log_id

        try:
            log_id = await asyncio.to_thread(prepare)
        except ConfigurationError:
            writing.dispose()
            raise
        codec = codec or codec_of(vault.form)
        readers = reader_engine(url)
        if lease_time is None:
            lease_time = DatabaseTime() if is_postgres(url) else ClockTime(clock)
        signals = signals_of(url)
        return cls(log_id, writing, readers, clock, codec, observe, vault, lease_time, signals)

    async def close(self) -> None:
        """Finish what was handed in, and close the database."""
        await self._writer.close()
        await self._beside.aclose()
        await self._vault.close()
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

        Raises VersionConflict, CommandRepeated, LeaseLost, AddressLimitReached, PrincipalErased.
        Cancelling the caller does not cancel the write.
        """
        if append.opens and not append.lease:
            raise ValueError("a reply is opened under a lease")
        if append.changes_nothing:
            self._keep(append.aggregates)
            return await self.head()
        if wanted := self._sealed_for(append):
            await self._vault.ensure(wanted)
        meta = encode_meta(append.meta)
        write = Write(
            streams=[self._encode(each, meta) for each in append.aggregates],
            append=append,
            command=self._encode_command(append.command) if append.command else None,
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
        for digest, sealed in await read_rows(self._readers, _RECALL, {"id": command_id(key)}):
            await self._vault.fetch({key.principal})
            result = self._vault.open_result(sealed, key.principal, key.route)
            return CommandRecord(key, digest, result) if result else None
        return None

    async def checkpoint(self, lease: Lease, drafts: Sequence[Draft]) -> list[UUID]:
        """Keep what replies have said, all in one write.

        Returns those that are under way no more: somebody else has ended them. Raises LeaseLost.
        """
        return await self._open_replies.checkpoint(lease, drafts)

    async def open_replies(self, node: UUID | None = None) -> list[OpenReplyRow]:
        """Replies whose node holds no valid lease any more.

        Also those of `node` on which nothing was written for a while: it knows which of them it is
        still making, and which it never came to make.
        """
        return await self._open_replies.orphans(node)

    async def find_open_reply(self, reply_id: UUID) -> OpenReplyRow | None:
        """A reply under way, whoever makes it; its text is that of the last checkpoint."""
        return await self._open_replies.find(reply_id)

    @property
    def known_head(self) -> int:
        """The head as this process last saw it."""
        return self._log.known_head

    async def head(self) -> int:
        return await self._log.head()

    async def read_all(self, after: int, limit: int) -> list[Recorded]:
        """Events of all streams in order, from position `after` + 1."""
        return self._heeded(await self._log.read_all(after, limit))

    async def read_on(self, after: int, limit: int) -> list[Recorded]:
        """As `read_all`, though maybe fewer; none only where there are none.

        What this process has just appended is not read back for it.
        """
        return self._heeded(await self._log.read_on(after, limit))

    async def read_stream(self, stream_id: UUID, after_version: int = 0) -> list[Recorded]:
        """A stream's events in order, from version `after_version` + 1."""
        return await self._log.read_stream(stream_id, after_version)

    async def wait(self, after: int, timeout: float) -> int:
        """The head, as soon as it is beyond `after`, or after `timeout` seconds."""
        return await self._log.wait(after, timeout)

    async def last_position_of(self, stream_id: UUID) -> int:
        """The position of a stream's last event, whoever appended it; 0 where there is none."""
        return await self._log.last_position_of(stream_id)

    def last_append_of(self, principal: UUID) -> int:
        """The last position this process appended that concerns the principal, 0 if none.

        Of a principal not heard of for long it may be a later one, never an earlier.
        """
        return self._last_appends.get(principal) or self._forgotten_append

    @property
    def last_read_back(self) -> int:
        """The last position that `read_on` took from the database: maybe another process's append.

        What it gave beyond that was this process's own, and `last_append_of` knows it.
        """
        return self._log.read_back

    async def agree(self, currency: str, secret: bytes) -> None:
        """Raises ConfigurationError where others write to this log with other settings."""
        await self._writer.run(lambda c: agree(c, currency, secret, self._lease_time))

    def _heeded(self, recorded: list[Recorded]) -> list[Recorded]:
        for each in recorded:
            self.others.heed_event(each)
        return recorded

    def _committed(self, head: int, writes: Sequence[Write]) -> None:
        parts = [part for write in writes for part in write.streams]
        if any(part.ends_account for part in parts):
            self._log.forget_tail()
        self._log.committed(head, [row for part in parts for row in part.rows])
        self.others.tell(HEAD, head)

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
            ends_account=any(isinstance(event, Usage.PrincipalErased) for event in pending),
        )

    def _encode_command(self, record: CommandRecord) -> CommandRow:
        key = record.key
        result = self._vault.seal_result(record.result, key.principal, key.route)
        return CommandRow(command_id(key), key.route, key.principal, record.digest, result)

    def _sealed_for(self, append: Append) -> set[UUID]:
        """The streams whose keys are needed: of personal events, and of who gave the command."""
        if self._vault.keyring_id is None:
            return set()
        wanted = {
            aggregate.id
            for aggregate in append.aggregates
            if any(self._codec.is_personal(event) for event in aggregate.pending_events)
        }
        return wanted | {append.command.key.principal} if append.command else wanted

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
