"""The fields of an event, apart from what every event has: payload here, personal there."""

from functools import cache
from typing import Annotated, Any, get_origin, get_type_hints

from eventsourcing.domain import Aggregate

from domain.personal import PERSONAL

COMMON = frozenset(get_type_hints(Aggregate.Created))
"""In the row's columns, or told by the topic."""


@cache
def personal_fields(event_class: type[Aggregate.Event]) -> tuple[str, ...]:
    """The names of the fields that hold what a person wrote or is called."""
    return tuple(name for name, hint in _fields(event_class).items() if _is_personal(hint))


@cache
def payload_fields(event_class: type[Aggregate.Event]) -> tuple[str, ...]:
    return tuple(name for name, hint in _fields(event_class).items() if not _is_personal(hint))


def payload_of(event: Aggregate.Event) -> dict[str, Any]:
    return {name: event.__dict__[name] for name in payload_fields(type(event))}


def personal_of(event: Aggregate.Event) -> dict[str, Any]:
    return {name: event.__dict__[name] for name in personal_fields(type(event))}


def topic_of(event: Aggregate.Event) -> str:
    topic: str = type(event).TOPIC  # type: ignore[attr-defined]
    return topic


def _fields(event_class: type[Aggregate.Event]) -> dict[str, Any]:
    hints = get_type_hints(event_class, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in COMMON}


def _is_personal(hint: Any) -> bool:
    return get_origin(hint) is Annotated and PERSONAL in hint.__metadata__
