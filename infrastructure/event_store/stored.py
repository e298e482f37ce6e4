"""Reading the log's rows as they are stored, without an event loop: for operators and auditors."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Engine,
    LargeBinary,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.exc import DatabaseError, NoResultFound
from sqlalchemy.types import NullType

from application.errors import ConfigurationError
from application.ledger.ports import EventFilter, StoredEvent, UnreadableRow
from application.ports import Recorded
from domain.chat import Chat
from infrastructure.database import is_postgres
from infrastructure.event_store.codec import Codec, UndecodableEvent
from infrastructure.event_store.personal import UnreadablePersonal
from infrastructure.event_store.schema import events, log_meta, micros, streams

BATCH = 2000
"""Rows a transaction: a long one would keep the write-ahead log from being folded back."""

STREAMS_REMEMBERED = 10_000
"""Whose ids are not made anew for each of their events."""


def _as_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """As the driver has it: the library's own conversions cost more than all else of reading."""
    if isinstance(column.type, LargeBinary):
        # SQLite keeps text in any column: what somebody put there with a knife is bytes as well.
        return type_coerce(cast(column, LargeBinary), NullType())
    return type_coerce(column, NullType())


stored_columns = [_as_stored(events.c[name]).label(name) for name in StoredEvent.__struct_fields__]
_batch = (
    select(*stored_columns)
    .where(events.c.position > bindparam("after"), events.c.position <= bindparam("until"))
    .order_by(events.c.position)
    .limit(bindparam("limit"))
)


class StoredLog:
    """Implements `application.ledger.ports.LogReading`."""

    def __init__(self, reading: Engine, codec: Codec) -> None:
        """Raises ConfigurationError where the database holds no log."""
        self._reading = reading
        self._codec = codec
        query = select(log_meta.c.value).where(log_meta.c.key == "log_id")
        try:
            with reading.begin() as connection:
                self.log_id = connection.scalars(query).one()
        except (DatabaseError, NoResultFound) as error:
            raise ConfigurationError(f"{reading.url.database} holds no log.") from error

    def head(self) -> int:
        with self._reading.begin() as connection:
            return connection.scalar(select(func.max(events.c.position))) or 0

    def batches(self, after: int = 0, until: int | None = None) -> Iterator[Sequence[StoredEvent]]:
        last = 2**63 - 1 if until is None else until
        while True:
            bounds = {"after": after, "until": last, "limit": BATCH}
            with self._reading.begin() as connection:
                cursor = connection.execute(_batch, bounds).cursor
                # The driver's own rows: the library's around them cost half as much again.
                rows: Sequence[Sequence[Any]] = cursor.fetchall() if cursor is not None else []
            if not rows:
                return
            found = [stored_event(row) for row in rows]
            yield found
            after = found[-1].position

    def found(
        self, wanted: EventFilter, *, newest_first: bool = False
    ) -> Iterator[Sequence[StoredEvent]]:
        position = events.c.position
        query = (
            select(*stored_columns)
            .where(*self._conditions(wanted))
            .order_by(position.desc() if newest_first else position)
            .limit(BATCH)
        )
        page = query.where(position > wanted.after)
        while True:
            with self._reading.begin() as connection:
                rows = connection.execute(page).all()
            if rows:
                yield [stored_event(row) for row in rows]
            if len(rows) < BATCH:
                return
            last = rows[-1].position
            if newest_first:
                page = query.where(position > wanted.after, position < last)
            else:
                page = query.where(position > last)

    def chats_ever_of(self, principal: UUID, until: int) -> list[UUID]:
        taken = (Chat.Created.TOPIC, Chat.Claimed.TOPIC)
        query = select(events.c.stream_id).where(
            events.c.topic.in_(taken),
            events.c.position <= until,
            self._has(events.c.payload, "owner", principal),
        )
        with self._reading.begin() as connection:
            return list(dict.fromkeys(connection.scalars(query.order_by(events.c.position))))

    def position_at(self, time: datetime) -> int:
        query = select(func.max(events.c.position)).where(events.c.recorded_at <= micros(time))
        with self._reading.begin() as connection:
            return connection.scalar(query) or 0

    def decoded(self, stored: StoredEvent) -> Recorded:
        try:
            return self._codec.decode(stored)
        except UndecodableEvent as error:
            raise UnreadableRow(str(error)) from error
        except UnreadablePersonal as error:
            raise _unreadable(stored, error) from error

    def opens(self, stored: StoredEvent) -> bool:
        codec = self._codec.event_codecs.get(stored.topic)
        if codec is None or stored.personal is None:
            return False
        try:
            opened = codec.form.open(
                stored.personal, stored.stream_id, stored.version, stored.topic
            )
        except UnreadablePersonal as error:
            raise _unreadable(stored, error) from error
        return opened is not None

    def _conditions(self, wanted: EventFilter) -> Iterator[ColumnElement[bool]]:
        if wanted.until is not None:
            yield events.c.position <= wanted.until
        if wanted.since is not None:
            yield events.c.recorded_at >= micros(wanted.since)
        if wanted.before is not None:
            yield events.c.recorded_at < micros(wanted.before)
        if wanted.stream is not None:
            yield events.c.stream_id == wanted.stream
        if wanted.types:
            topic = events.c.topic
            yield or_(*(topic.startswith(each, autoescape=True) for each in wanted.types))
        if wanted.principal is not None:
            yield or_(
                self._owned_by(wanted.principal),
                self._has(events.c.meta, "actor", wanted.principal),
            )
        if wanted.correlation is not None:
            yield self._has(events.c.meta, "correlation", wanted.correlation)

    def _owned_by(self, principal: UUID) -> ColumnElement[bool]:
        """Whose streams these are is found out once."""
        owned = select(streams.c.stream_id).where(streams.c.owner == principal)
        return events.c.stream_id.in_(owned)

    def _has(self, column: ColumnElement[bytes], field: str, value: UUID) -> ColumnElement[bool]:
        """Whether the stored JSON has the field with that id, as our encoder writes it.

        Looking for the bytes spares reading every row of the log into the process.
        """
        written: BindParameter[bytes] = literal(f'"{field}":"{value}"'.encode(), LargeBinary)
        if is_postgres(self._reading.url):
            # Named in full, it is a function as others are, and no syntax.
            return func.pg_catalog.position(column, written) > 0
        return func.instr(column, written) > 0


def stored_event(row: Sequence[object]) -> StoredEvent:
    """The event of a row of `stored_columns`."""
    position, stream_id, *others = row
    return StoredEvent(position, uuid_of(stream_id), *others)  # type: ignore[arg-type]


@lru_cache(STREAMS_REMEMBERED)
def uuid_of(stored: object) -> UUID:
    """An id as SQLite's driver (text) or PostgreSQL's (a UUID) gives it."""
    return stored if isinstance(stored, UUID) else UUID(str(stored))


def _unreadable(stored: StoredEvent, error: UnreadablePersonal) -> UnreadableRow:
    return UnreadableRow(f"position {stored.position} ({stored.topic}): {error}")
