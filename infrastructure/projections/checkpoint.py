"""How far a generation is, and which streams its views had to set aside."""

from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    String,
    Table,
    insert,
    select,
    update,
)

from infrastructure.event_store.schema import Position
from infrastructure.projections.columns import Id, metadata

SetAside = set[tuple[str, UUID]]
"""A view's name and the stream that it no longer follows."""

# `log_id` keeps a generation from being continued with another log's events.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("log_id", String, primary_key=True),
    Column("position", Position, nullable=False),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("view", String, primary_key=True),
    Column("stream_id", Id, primary_key=True),
    Column("position", Position, nullable=False),
    # The class of what was raised; its text could quote a person.
    Column("error", String, nullable=False),
)

position_now = select(checkpoint.c.position)


class PositionMoved(Exception):  # noqa: N818 - the runner starts again from where it is
    """Another process has taken these views further; nothing was written."""


class OtherLog(Exception):  # noqa: N818 - another generation is begun
    """These views were built from another log, or from more of it than there is now."""


def begin(connection: Connection, log_id: str, head: int) -> None:
    """Start at the log's beginning, or see that what is there can go on. Raises OtherLog."""
    stored = connection.execute(select(checkpoint)).one_or_none()
    if stored is None:
        connection.execute(insert(checkpoint).values(log_id=log_id, position=0))
    elif stored.log_id != log_id or stored.position > head:
        raise OtherLog


def advance(connection: Connection, old: int, new: int) -> None:
    """Raises PositionMoved where the views are not at `old`."""
    moved = connection.execute(
        update(checkpoint).where(checkpoint.c.position == old).values(position=new)
    )
    if moved.rowcount != 1:
        raise PositionMoved


def move(connection: Connection, position: int) -> None:
    """For who has the views alone."""
    connection.execute(update(checkpoint).values(position=position))


def streams_set_aside(connection: Connection) -> SetAside:
    rows = connection.execute(select(set_aside.c.view, set_aside.c.stream_id))
    return {(row.view, row.stream_id) for row in rows}


def set_stream_aside(
    connection: Connection, view: str, stream_id: UUID, position: int, error: str
) -> None:
    connection.execute(
        insert(set_aside).values(view=view, stream_id=stream_id, position=position, error=error)
    )
