"""The log a page at a time: for a server's operators, who look while it serves."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    case,
    exists,
    func,
    literal,
    null,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from application.ledger.ports import EventFilter, StoredEvent
from infrastructure.event_store.schema import events, micros, streams
from infrastructure.event_store.stored import StoredLog, stored_columns, stored_event, uuid_of

_PRESENT = case((events.c.personal.is_(None), null()), else_=literal(b"", LargeBinary))
# Words may be a megabyte each: that there are some is enough where nobody reads them.
_outline_columns = [
    type_coerce(_PRESENT, NullType()).label("personal") if column.name == "personal" else column
    for column in stored_columns
]


class PagedLog(StoredLog):
    """Implements `application.console.ports.LogPages`."""

    def outlines(
        self, wanted: EventFilter, limit: int, *, newest_first: bool = False
    ) -> Sequence[StoredEvent]:
        position = events.c.position
        query = (
            select(*_outline_columns)
            .where(position > wanted.after, *self._conditions(wanted))
            .order_by(position.desc() if newest_first else position)
            .limit(limit)
        )
        with self._reading.begin() as connection:
            return [stored_event(row) for row in connection.execute(query)]

    def at(self, positions: Sequence[int]) -> Sequence[StoredEvent]:
        query = select(*stored_columns).where(events.c.position.in_(positions))
        with self._reading.begin() as connection:
            found = connection.execute(query.order_by(events.c.position))
            return [stored_event(row) for row in found]

    def owner_of(self, stream_id: UUID) -> UUID | None:
        query = select(streams.c.owner).where(streams.c.stream_id == stream_id)
        with self._reading.begin() as connection:
            owner = connection.scalar(query)
        return None if owner is None else uuid_of(owner)

    def _owned_by(self, principal: UUID) -> ColumnElement[bool]:
        """Looked up for each event: a page has few, and there may be millions of streams."""
        mine = streams.c.stream_id == events.c.stream_id, streams.c.owner == principal
        return exists().where(*mine)

    def position_around(self, time: datetime) -> int:
        """The last position recorded at that time or before, 0 if none; found by halving.

        Times rise with positions, but for what clocks of nodes differ by.
        """
        wanted = micros(time)
        recorded = select(events.c.recorded_at, events.c.position).order_by(events.c.position)
        with self._reading.begin() as connection:
            low = 0
            high = connection.scalar(select(func.max(events.c.position))) or 0
            while low < high:
                middle = (low + high + 1) // 2
                at = connection.execute(
                    recorded.where(events.c.position >= middle).limit(1)
                ).one_or_none()
                if at is not None and at.recorded_at <= wanted:
                    low = middle
                else:
                    high = middle - 1
        return low
