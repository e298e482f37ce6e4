"""The log for those who read all of it: events as plain values, as little made of them as can be.

A bare event has its event's attributes, but is no event: ids are their text, times are
microseconds since 1970. Neither is converted unless somebody stores it, and ids as text are found
in a mapping several times as fast as UUIDs.
"""

import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate
from sqlalchemy import Engine

from infrastructure.event_store.codec import Codec, EventCodec, UndecodableEvent
from infrastructure.event_store.schema import micros, time_of

_COLUMNS = "position, stream_id, version, topic, schema_version, payload, personal, recorded_at"
# ruff: noqa: S608 - the names are our own
_SELECT = f"""
SELECT {_COLUMNS} FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""
_SELECT_TOPICS = f"""
SELECT {_COLUMNS} FROM events WHERE position <= ? AND topic IN ({{marks}}) ORDER BY position
"""

Row: TypeAlias = tuple[int, str, int, str, int, bytes, bytes | None, int]
"""Of both, as SQLite's driver gives it: an id in hexadecimal digits."""

STREAMS_REMEMBERED = 50_000


class BareRecorded(msgspec.Struct, gc=False):
    """What the views read of an `application.ports.Recorded`."""

    position: int
    stream_id: str
    event: Any


class BareLog:
    """Reads a log on SQLite past SQLAlchemy, whose rows cost as much as all else of it."""

    def __init__(self, reading: Engine, codec: Codec) -> None:
        self._reading = reading
        self._forms = {topic: _Form(each) for topic, each in codec.event_codecs.items()}

    @property
    def bare_classes(self) -> dict[type[Aggregate.Event], type[msgspec.Struct]]:
        """The class of the bare events, by that of their events."""
        return {form.event_class: form.bare_class for form in self._forms.values()}

    def batches(self, after: int, until: int, size: int) -> Iterator[list[BareRecorded]]:
        """From position `after` + 1 up to `until`; each batch is one short transaction.

        Raises UndecodableEvent, UnreadablePersonal.
        """
        while rows := self._read(after, until, size):
            after = rows[-1][0]
            yield [self._decoded(row) for row in rows]

    def of_classes(
        self, event_classes: Sequence[type[Aggregate.Event]], until: int
    ) -> list[BareRecorded]:
        """All events of a few seldom classes, in order, up to position `until`.

        Reads past all others, which takes about a second for some million. Raises as `batches`.
        """
        topics = [topic for topic, each in self._forms.items() if each.event_class in event_classes]
        statement = _SELECT_TOPICS.format(marks=", ".join("?" * len(topics)))
        return [self._decoded(row) for row in self._rows(statement, (until, *topics))]

    def _read(self, after: int, until: int, size: int) -> list[Row]:
        return self._rows(_SELECT, (after, until, size))

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[Row]:
        with self._reading.begin() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            rows: list[Row] = driver.execute(statement, values).fetchall()
            return rows

    def _decoded(self, row: Row) -> BareRecorded:
        position, stream, topic = row[0], row[1], row[3]
        try:
            form = self._forms[topic]
        except KeyError:
            raise UndecodableEvent(f"position {position} has unknown topic {topic!r}") from None
        try:
            return BareRecorded(position, _text_of(stream), form.decoded(row))
        except msgspec.DecodeError as error:
            raise UndecodableEvent(f"position {position} ({topic}): {error}") from None


class _Form:
    """The bare form of one event class."""

    def __init__(self, codec: EventCodec) -> None:
        self.event_class = codec.event_class
        hints = codec.payload_hints | codec.personal_hints
        name = codec.event_class.__qualname__.replace(".", "")
        self.bare_class = msgspec.defstruct(
            f"{name}Bare",
            [
                *((field, _bare(hint)) for field, hint in codec.payload_hints.items()),
                *(
                    (field, _bare(hint), codec.erased[field])
                    for field, hint in codec.personal_hints.items()
                ),
                ("timestamp", int, 0),
            ],
        )
        self._codec = codec
        self._open = codec.form.open
        self._version = codec.version
        self._is_personal = codec.is_personal
        self._times = tuple(field for field, hint in hints.items() if _has(hint, datetime))
        self._decode = msgspec.json.Decoder(self.bare_class).decode

    def decoded(self, row: Row) -> msgspec.Struct:
        _, stream, version, topic, schema_version, payload, personal, recorded_at = row
        if schema_version != self._version or type(payload) is not bytes or payload[-1:] != b"}":
            return self._by_event(row)
        fields = payload
        if personal is not None and self._is_personal:
            content = self._open(personal, _uuid_of(stream), version, topic)
            if content is not None:
                # Two objects made one: decoding each by itself takes half as long again.
                fields = b"%b%b%b" % (payload[:-1], b"" if payload == b"{}" else b",", content[1:])
        event: Any = self._decode(fields)
        for field in self._times:
            setattr(event, field, _bare_value(getattr(event, field)))
        event.timestamp = recorded_at
        return event  # type: ignore[no-any-return]

    def _by_event(self, row: Row) -> msgspec.Struct:
        """Of a row in an older schema, or not as it was written: seldom, so the slow way."""
        event = self._codec.decode(_AsStored(*row), time_of(row[7]))
        fields = self.bare_class.__struct_fields__
        return self.bare_class(**{field: _bare_value(event.__dict__[field]) for field in fields})


class _AsStored(msgspec.Struct, frozen=True):
    """A `Row` as the codec reads it."""

    position: int
    stream: str
    version: int
    topic: str
    schema_version: int
    payload: bytes
    personal: bytes | None
    recorded_at: int
    meta: bytes = b""

    @property
    def stream_id(self) -> UUID:
        return _uuid_of(self.stream)


@lru_cache(STREAMS_REMEMBERED)
def _text_of(stream: str) -> str:
    """As ids stand in payloads."""
    return f"{stream[:8]}-{stream[8:12]}-{stream[12:16]}-{stream[16:20]}-{stream[20:]}"


@lru_cache(STREAMS_REMEMBERED)
def _uuid_of(stream: str) -> UUID:
    return UUID(stream)


def _bare(hint: Any) -> Any:
    """The type with texts in place of ids."""
    if hint is UUID:
        return str
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_bare(each) for each in get_args(hint))]  # noqa: UP007 - made at run time
    return hint


def _has(hint: Any, wanted: type) -> bool:
    return hint is wanted or wanted in get_args(hint)


def _bare_value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return micros(value) if isinstance(value, datetime) else value
