"""One event of the log for people and their programs."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from application.ledger.event_fields import payload_of, personal_of
from application.ledger.event_words import Named
from application.ledger.ports import LogReading, StoredEvent, UnreadableRow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EventView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`payload` is as it reads today, `personal` only where contents are wanted and not erased.

    `personal_bytes` is None where the event has no personal field, or was `erased`. `sealed`: the
    key to what is personal is not here. What cannot be read has `unreadable`, and nothing that
    would have to be read.
    """

    position: int
    stream_id: UUID
    version: int
    topic: str
    schema_version: int
    recorded_at: datetime
    actor: UUID | None = None
    actor_name: str | None = None
    correlation: UUID | None = None
    causation: UUID | None = None
    payload_bytes: int
    personal_bytes: int | None
    erased: bool
    sealed: bool = False
    payload: dict[str, Any] | None = None
    personal: dict[str, Any] | None = None
    unreadable: str | None = None


class Digest(msgspec.Struct, frozen=True):
    """A stored digest in hexadecimal; `matches` is None where what it is of is gone."""

    stored: str | None
    matches: bool | None


class WholeEvent(msgspec.Struct, frozen=True):
    event: EventView
    meta: str
    payload_digest: Digest
    personal_digest: Digest


def view_of(
    stored: StoredEvent, log: LogReading, named: Named, *, contents: bool = False
) -> EventView:
    """Without `contents` the personal fields are not even opened."""
    has_words = stored.personal is not None
    common: dict[str, Any] = {
        "position": stored.position,
        "stream_id": stored.stream_id,
        "version": stored.version,
        "topic": stored.topic,
        "schema_version": stored.schema_version,
        "recorded_at": EPOCH + timedelta(microseconds=stored.recorded_at),
        "payload_bytes": len(stored.payload),
        "personal_bytes": len(stored.personal) if stored.personal is not None else None,
        "erased": not has_words and stored.personal_digest is not None,
    }
    try:
        recorded = log.decoded(
            stored if contents else msgspec.structs.replace(stored, personal=None)
        )
        opens = contents and has_words and log.opens(stored)
    except UnreadableRow as error:
        return EventView(**common, unreadable=str(error))
    return EventView(
        **common,
        actor=recorded.meta.actor,
        actor_name=named(recorded.meta.actor),
        correlation=recorded.meta.correlation,
        causation=recorded.meta.causation,
        payload=payload_of(recorded.event),
        sealed=contents and has_words and not opens,
        personal=personal_of(recorded.event) if opens else None,
    )


def whole(stored: StoredEvent, log: LogReading, named: Named) -> WholeEvent:
    """Everything that is known of an event."""
    return WholeEvent(
        view_of(stored, log, named, contents=True),
        stored.meta.decode(errors="replace"),
        _digest(stored.payload, stored.payload_digest),
        _digest(stored.personal, stored.personal_digest),
    )


def _digest(content: bytes | None, stored: bytes | None) -> Digest:
    written = stored.hex() if stored is not None else None
    matches = sha256(content).digest() == stored if content is not None else None
    return Digest(written, matches)
