"""Events of the log, newest first, found in bounded steps."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from application.console.answers import EventLine, EventsPage
from application.console.ports import LogPages, without_words
from application.console.requests import FindEvents
from application.ledger.event_fields import payload_of
from application.ledger.event_view import EPOCH
from application.ledger.event_words import words_of
from application.ledger.known import Known
from application.ledger.ports import EventFilter, StoredEvent, UnreadableRow
from domain.chat import Chat

LOOKED_AT = 100_000
"""Positions of the log that one request looks at, where no index leads to what it wants."""

FIRST_STEP = 500
"""Positions of the first look. Each further one is four times as long."""

CLOCKS = timedelta(minutes=1)
"""How far the clocks of nodes may be apart."""


def _moved(at: datetime, by: timedelta) -> datetime:
    """Not past the ends of the calendar."""
    try:
        return at + by
    except OverflowError:
        return at


def find_events(
    log: LogPages, known: Known, request: FindEvents, principal: UUID | None
) -> EventsPage:
    """`principal` is whose events are wanted, None for anybody's."""
    head = log.head()
    highest = head if request.before is None else min(head, request.before - 1)
    lowest = request.after
    if request.until is not None:
        highest = min(highest, log.position_around(_moved(request.until, CLOCKS)))
    if request.since is not None:
        lowest = max(lowest, log.position_around(_moved(request.since, -CLOCKS)))
    found: list[StoredEvent] = []
    searched_to = highest + 1
    for below, above in _steps(lowest, highest, at_once=request.stream is not None):
        missing = request.limit - len(found)
        wanted = EventFilter(
            after=below,
            until=above,
            since=request.since,
            before=request.until,
            stream=request.stream,
            principal=principal,
            types=(request.type,) if request.type is not None else (),
        )
        some = log.outlines(wanted, missing, newest_first=True)
        found += some
        if len(some) == missing:
            searched_to = found[-1].position
            break
        searched_to = below + 1
    return EventsPage(
        events=[_line(each, log, known) for each in found],
        next_before=searched_to if searched_to > lowest + 1 else None,
        searched_to=searched_to,
        head=head,
    )


def _steps(lowest: int, highest: int, *, at_once: bool) -> Iterator[tuple[int, int]]:
    """Parts of the log after one position up to another, from the end of it."""
    if at_once:
        yield lowest, highest
        return
    floor, step = max(lowest, highest - LOOKED_AT), FIRST_STEP
    while highest > floor:
        below = max(floor, highest - step)
        yield below, highest
        highest, step = below, step * 4


def _line(stored: StoredEvent, log: LogPages, known: Known) -> EventLine:
    owner = log.owner_of(stored.stream_id)
    is_chat = stored.topic.startswith(f"{Chat.TOPIC}.")
    common: dict[str, Any] = {
        "position": stored.position,
        "stream": stored.stream_id,
        "version": stored.version,
        "topic": stored.topic,
        "recorded_at": EPOCH + timedelta(microseconds=stored.recorded_at),
        "principal": None if owner is None else known(owner),
        "chat": stored.stream_id if is_chat else None,
        "erased": stored.personal is None and stored.personal_digest is not None,
    }
    try:
        recorded = log.decoded(without_words(stored))
    except UnreadableRow as error:
        return EventLine(**common, actor=None, what="", payload=None, unreadable=str(error))
    actor = recorded.meta.actor
    return EventLine(
        **common,
        actor=None if actor is None else known(actor),
        what=words_of(recorded.event, known),
        payload=payload_of(recorded.event),
    )
