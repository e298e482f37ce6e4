"""Aggregates' states, kept so that loading a long stream reads only its end.

A snapshot is taken after enough events since the last one; the larger the state, the more of
them, so that writing snapshots costs a bounded share of writing events.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.chat import Chat, ChatState
from domain.usage import Usage, UsageState
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.schema import micros, snapshots, time_of

MIN_EVENTS = 100
BYTES_PER_EVENT = 1024
"""A state of this size is worth waiting for one event more."""

REMEMBERED = 10_000

STATES: dict[type[Chat] | type[Usage], type[msgspec.Struct]] = {
    Chat: ChatState,
    Usage: UsageState,
}

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Chat] | type[Usage], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(state) for kind, state in STATES.items()
}


class _Taken(msgspec.Struct):
    version: int
    size: int


class Snapshots:
    """Remembers what was taken last for the streams in use, to know when the next is due."""

    def __init__(self) -> None:
        self._taken: Recent[UUID, _Taken] = Recent(REMEMBERED)

    async def read(
        self, connection: AsyncConnection, kind: type[Chat] | type[Usage], stream_id: UUID
    ) -> Chat | Usage | None:
        """The aggregate as of its snapshot, if there is one of this kind and shape."""
        query = select(snapshots).where(
            snapshots.c.stream_id == stream_id, snapshots.c.schema == FINGERPRINTS[kind]
        )
        row = (await connection.execute(query)).one_or_none()
        self._taken.put(stream_id, _Taken(row.version, len(row.state)) if row else _Taken(0, 0))
        return _restored(kind, row) if row else None

    def due(self, aggregate: Chat | Usage) -> Callable[[Connection], None] | None:
        """The job that writes the aggregate's snapshot, where one is due."""
        taken = self._taken.get(aggregate.id) or _Taken(0, 0)
        if aggregate.version - taken.version < max(MIN_EVENTS, taken.size // BYTES_PER_EVENT):
            return None
        state = _encoder.encode(aggregate.state)
        self._taken.put(aggregate.id, _Taken(aggregate.version, len(state)))
        values = {
            "stream_id": aggregate.id,
            "version": aggregate.version,
            "schema": FINGERPRINTS[type(aggregate)],
            "state": state,
            "created_on": micros(aggregate.created_on),
            "modified_on": micros(aggregate.modified_on),
        }
        return lambda connection: _store(connection, values)


def _store(connection: Connection, values: dict[str, object]) -> None:
    """Replace the stream's snapshot, unless a newer one of the same shape is there."""
    newer = select(snapshots.c.version).where(
        snapshots.c.stream_id == values["stream_id"],
        snapshots.c.schema == values["schema"],
        snapshots.c.version >= values["version"],
    )
    if connection.scalar(newer) is None:
        connection.execute(delete(snapshots).where(snapshots.c.stream_id == values["stream_id"]))
        connection.execute(insert(snapshots).values(values))


def _restored(kind: type[Chat] | type[Usage], row: Row[Any]) -> Chat | Usage:
    aggregate = kind.__new__(kind)
    aggregate.__base_init__(row.stream_id, row.version, time_of(row.created_on))
    aggregate.modified_on = time_of(row.modified_on)
    aggregate.state = _decoders[kind].decode(row.state)
    return aggregate


def fingerprint(state: type[msgspec.Struct], version: int = 1) -> bytes:
    """Of a state's shape. `version` is the aggregate's, raised where only the meaning changes."""
    schema = msgspec.json.schema(state)
    return sha256(msgspec.json.encode((version, schema), order="deterministic")).digest()


FINGERPRINTS = {
    kind: fingerprint(state, getattr(kind, "class_version", 1)) for kind, state in STATES.items()
}
