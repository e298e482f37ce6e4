"""What the console needs from outside."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from application.console.answers import (
    Activity,
    ProjectionsState,
    Rebuild,
    Spend,
    Totals,
    Verification,
)
from application.ledger.ports import EventFilter, People, StoredEvent
from application.ports import Recorded
from domain.refusal import Refusal

T = TypeVar("T")


class AlreadyRunning(Refusal):
    """One at a time: a rebuild or a verification is under way."""


class LogPages(Protocol):
    """Bounded reads of the log. Synchronous: for a thread of its own."""

    def head(self) -> int: ...

    def outlines(
        self, wanted: EventFilter, limit: int, *, newest_first: bool = False
    ) -> Sequence[StoredEvent]:
        """The first so many, or the last, that pass, without what is personal.

        `personal` is empty where there is something.
        """
        ...

    def at(self, positions: Sequence[int]) -> Sequence[StoredEvent]:
        """Whole events, in the order of positions."""
        ...

    def owner_of(self, stream_id: UUID) -> UUID | None:
        """The principal whose chat or account a stream is now."""
        ...

    def position_around(self, time: datetime) -> int:
        """The last position recorded at that time or before, but for differences of clocks."""
        ...

    def decoded(self, stored: StoredEvent) -> Recorded:
        """Erased and sealed fields are empty. Raises UnreadableRow."""
        ...

    def opens(self, stored: StoredEvent) -> bool:
        """Whether its personal fields are there, and the key to them. Raises UnreadableRow."""
        ...


def without_words(outline: StoredEvent) -> StoredEvent:
    """An event of `LogPages.outlines` as the codec takes it."""
    return msgspec.structs.replace(outline, personal=None)


class LogReader(Protocol):
    async def read(self, query: Callable[[LogPages, People], T]) -> T:
        """The query's answer, from a thread of its own. Few run at a time."""
        ...


class Blocking(Protocol):
    async def run(self, work: Callable[[], T]) -> T:
        """What blocks, in a thread. Few run at a time."""
        ...


class Counted(msgspec.Struct, frozen=True):
    totals: Totals
    open_streams: int
    open_sockets: int


class NodeFigures(Protocol):
    """What this node has counted."""

    def counted(self) -> Counted: ...

    def activity(self, minutes: int) -> Activity: ...


class SpendView(Protocol):
    async def spend(self, days: int) -> Spend:
        """Of the last so many days, today the last of them. Raises ViewsBehind."""
        ...


class Verifications(Protocol):
    """Of the live log against what was sealed, in a process of its own."""

    async def start(self) -> Verification:
        """Raises AlreadyRunning."""
        ...

    def latest(self) -> Verification: ...


class ViewBuilds(Protocol):
    """The generations of the views, and building one anew in a process of its own."""

    async def state(self) -> ProjectionsState: ...

    async def start(self) -> Rebuild:
        """Goes on with a build that was broken off. Raises AlreadyRunning."""
        ...

    async def latest(self) -> Rebuild: ...


class ReadingWitness(Protocol):
    def operator_read(self, operator: UUID, what: str, of: UUID) -> None:
        """An operator was shown what people wrote. Ids only."""
        ...
