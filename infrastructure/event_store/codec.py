"""Events to rows and back. Topics are looked up in a closed registry, never imported by name."""

import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Protocol, TypeAlias, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate

from application.ports import Meta, Recorded
from domain.chat import Chat
from domain.personal import PERSONAL
from domain.usage import Usage
from infrastructure.event_store.personal import PersonalForm, PlainForm
from infrastructure.event_store.schema import micros, time_of

State: TypeAlias = dict[str, Any]
RowValues: TypeAlias = dict[str, Any]

# Columns of the row, or told by the topic.
NOT_STORED = frozenset(get_type_hints(Aggregate.Created))


class UndecodableEvent(Exception):  # noqa: N818 - says what is wrong with the row
    """A row that this code cannot read: an unknown topic, a newer schema, a broken payload."""


class EventRow(Protocol):
    """A row of `events`; the digests are not needed to read it."""

    @property
    def position(self) -> int: ...
    @property
    def stream_id(self) -> UUID: ...
    @property
    def version(self) -> int: ...
    @property
    def topic(self) -> str: ...
    @property
    def schema_version(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def personal(self) -> bytes | None: ...
    @property
    def meta(self) -> bytes: ...
    @property
    def recorded_at(self) -> int: ...


_encoder = msgspec.json.Encoder()
_meta_decoder = msgspec.json.Decoder(Meta)


class EventCodec:
    """Of one event class. Nothing is written that it could not read back."""

    def __init__(
        self,
        event_class: type[Aggregate.Event],
        aggregate_class: type[Aggregate],
        form: PersonalForm,
    ) -> None:
        hints = {
            name: hint
            for name, hint in get_type_hints(event_class, include_extras=True).items()
            if name not in NOT_STORED
        }
        self.event_class = event_class
        self.topic: str = event_class.TOPIC  # type: ignore[attr-defined]
        self.version: int = getattr(event_class, "class_version", 1)
        self.form = form
        self._common: State = {}
        if issubclass(event_class, Aggregate.Created):
            self._common["originator_topic"] = aggregate_class.TOPIC  # type: ignore[attr-defined]
        name = event_class.__qualname__.replace(".", "")
        personal_hints = {field: hint for field, hint in hints.items() if _is_personal(hint)}
        payload_hints = {field: hint for field, hint in hints.items() if not _is_personal(hint)}
        self._payload_fields = tuple(payload_hints)
        self._personal_fields = tuple(personal_hints)
        self.is_personal = bool(personal_hints)
        self.payload_hints = payload_hints
        self.personal_hints = personal_hints
        self.erased = {field: _erased_value(hint) for field, hint in personal_hints.items()}
        self._payload = msgspec.json.Decoder(
            msgspec.defstruct(f"{name}Payload", list(payload_hints.items()))
        )
        self._personal = msgspec.json.Decoder(
            msgspec.defstruct(f"{name}Personal", list(personal_hints.items()))
        )
        self._whole = msgspec.defstruct(f"{name}State", list(hints.items()))

    def encode(self, event: Aggregate.Event, meta: bytes) -> RowValues:
        """A row of `events` without its position.

        Raises msgspec.ValidationError where a field is not of its type.
        """
        state = event.__dict__
        payload = _encoder.encode({field: state[field] for field in self._payload_fields})
        self._payload.decode(payload)
        stored = None
        if self._personal_fields:
            content = _encoder.encode({field: state[field] for field in self._personal_fields})
            self._personal.decode(content)
            stored = self.form.seal(
                content, event.originator_id, event.originator_version, self.topic
            )
        return {
            "stream_id": event.originator_id,
            "version": event.originator_version,
            "topic": self.topic,
            "schema_version": self.version,
            "payload": payload,
            "personal": stored,
            "payload_digest": sha256(payload).digest(),
            "personal_digest": None if stored is None else sha256(stored).digest(),
            "meta": meta,
            "recorded_at": micros(event.timestamp),
        }

    def decode(self, row: EventRow, timestamp: datetime) -> Aggregate.Event:
        event = object.__new__(self.event_class)
        state = event.__dict__
        state["originator_id"] = row.stream_id
        state["originator_version"] = row.version
        state["timestamp"] = timestamp
        state.update(self._common)
        state.update(
            self._current(row) if row.schema_version == self.version else self._upcast(row)
        )
        return event

    def _current(self, row: EventRow) -> State:
        state = msgspec.structs.asdict(self._payload.decode(row.payload))
        if self._personal_fields:
            content = self._content(row)
            if content is None:
                state.update(self.erased)
            else:
                state.update(msgspec.structs.asdict(self._personal.decode(content)))
        return state

    def _upcast(self, row: EventRow) -> State:
        """Bring an older state up to date. Of an erased event the personal fields are absent."""
        if not 1 <= row.schema_version < self.version:
            raise UndecodableEvent(
                f"{row.topic} has schema {row.schema_version}, this code knows {self.version}"
            )
        state: State = msgspec.json.decode(row.payload, type=dict[str, Any])
        content = self._content(row)
        if content is not None:
            state.update(msgspec.json.decode(content, type=dict[str, Any]))
        for version in range(row.schema_version, self.version):
            getattr(self.event_class, f"upcast_v{version}_v{version + 1}")(state)
        if content is None:
            state = self.erased | state
        return msgspec.structs.asdict(msgspec.convert(state, self._whole))

    def _content(self, row: EventRow) -> bytes | None:
        """The personal fields in JSON; None where the event has none, or was erased."""
        if row.personal is None:
            return None
        return self.form.open(row.personal, row.stream_id, row.version, row.topic)


class Codec:
    """Of all events of some aggregate classes."""

    def __init__(
        self, aggregate_classes: Sequence[type[Aggregate]], form: PersonalForm | None = None
    ) -> None:
        """`form` is that of personal fields, plain by default."""
        self._by_topic = {
            codec.topic: codec
            for aggregate_class in aggregate_classes
            for codec in _event_codecs(aggregate_class, form or PlainForm())
        }

    @property
    def event_codecs(self) -> Mapping[str, EventCodec]:
        """By topic."""
        return self._by_topic

    @property
    def event_classes(self) -> dict[str, type[Aggregate.Event]]:
        """By topic."""
        return {topic: codec.event_class for topic, codec in self._by_topic.items()}

    def is_personal(self, event: object) -> bool:
        """Whether the event has fields that a person wrote or is called."""
        return self._by_topic[event.TOPIC].is_personal  # type: ignore[attr-defined]

    def encode(self, event: Aggregate.Event, meta: bytes) -> RowValues:
        return self._by_topic[event.TOPIC].encode(event, meta)  # type: ignore[attr-defined]

    def decode(self, row: EventRow) -> Recorded:
        """Raises UndecodableEvent, UnreadablePersonal; neither shows what the row holds."""
        codec = self._by_topic.get(row.topic)
        if codec is None:
            raise UndecodableEvent(f"position {row.position} has unknown topic {row.topic!r}")
        recorded_at = time_of(row.recorded_at)
        try:
            event = codec.decode(row, recorded_at)
            meta = _meta_decoder.decode(row.meta)
        except msgspec.DecodeError as error:
            raise UndecodableEvent(f"position {row.position} ({row.topic}): {error}") from None
        return Recorded(row.position, row.stream_id, row.version, event, meta, recorded_at)


def encode_meta(meta: Meta) -> bytes:
    return _encoder.encode(meta)


def _event_codecs(aggregate_class: type[Aggregate], form: PersonalForm) -> list[EventCodec]:
    return [
        EventCodec(member, aggregate_class, form)
        for member in vars(aggregate_class).values()
        if isinstance(member, type)
        and issubclass(member, Aggregate.Event)
        and getattr(member, "TOPIC", None)
    ]


def _is_personal(hint: Any) -> bool:
    return get_origin(hint) is Annotated and PERSONAL in hint.__metadata__


def _erased_value(hint: Any) -> str | None:
    field_type = get_args(hint)[0]
    if field_type is str:
        return ""
    if get_origin(field_type) in (Union, types.UnionType) and type(None) in get_args(field_type):
        return None
    raise TypeError(f"a personal field must be a str or optional, not {field_type}")


def codec_of(form: PersonalForm | None = None) -> Codec:
    """The codec of everything Dabir writes."""
    return Codec((Chat, Usage), form)


codec = codec_of()
