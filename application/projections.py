"""The views as operators see them: how they are, building them anew, and proving them.

All of it is synchronous, for processes of their own, beside a server or without one.
"""

from collections.abc import Sequence
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from domain.refusal import Refusal


class Advance(Protocol):
    def __call__(self, done: int, total: int | None = None) -> None:
        """`done` of `total` events so far; a total that is not given stays as it was."""
        ...


class StreamSetAside(msgspec.Struct, frozen=True):
    """A stream that a view follows no more, since the event at `position`."""

    view: str
    stream_id: UUID
    position: int
    error: str
    """The class of what the view's code raised; never its text."""


class BuildStatus(msgspec.Struct, frozen=True):
    """A generation under way. `position` of `head`, which is where it began to catch up."""

    generation: str
    state: Literal["running", "broken off", "ready"]
    position: int
    head: int
    bytes: int


class ViewsStatus(msgspec.Struct, frozen=True):
    """The views of one version of their code. `generation` is None before the first was built."""

    code_version: int
    generation: str | None
    position: int
    head: int
    lag: int
    bytes: int
    set_aside: Sequence[StreamSetAside]
    build: BuildStatus | None
    server: bool
    """Whether a server keeps them up at this moment."""
    runner: UUID | None = None
    """Its node, or the last one that did; None where there can be but one."""


class Rebuilt(msgspec.Struct, frozen=True):
    """What is live now. `events` were applied in `seconds`, catching up not counted."""

    generation: str
    position: int
    events: int
    seconds: float


class Difference(msgspec.Struct, frozen=True):
    """The first of a table: None for a value that is missing.

    Values are given by their type and size, and where they are texts by a digest: never contents.
    """

    table: str
    key: str
    column: str
    live: str | None
    rebuilt: str | None


class Verified(msgspec.Struct, frozen=True):
    """The live generation beside one built from the log, both at `position`."""

    generation: str
    position: int
    rows: int
    differences: Sequence[Difference]


class NoBuild(Refusal):
    """There is no build to go on with, or to take back."""


class BuildUnderWay(Refusal):
    """Another process builds, or one has died over it."""


class NotTakenOver(Refusal):
    """The server did not turn to the new generation in time."""


class NoViews(Refusal):
    """No generation was ever built for this version of the views' code."""


class EventNotApplied(Exception):  # noqa: N818 - says what is wrong with the event
    """A view's code cannot apply an event. Carries no text of what was raised: it may quote."""

    def __init__(self, view: str, stream_id: UUID, position: int, error: str) -> None:
        super().__init__(
            f"the view {view} cannot apply the event at position {position}"
            f" of stream {stream_id} ({error})"
        )
        self.view = view
        self.stream_id = stream_id
        self.position = position
        self.error = error


class Projections(Protocol):
    """What is live is untouched until a new generation is whole.

    `rebuild` and `resume` return when the new generation is live and no file of the old one is
    left. Both raise EventNotApplied and NotTakenOver, and BuildUnderWay or NoBuild. Whatever they
    raise, and where the process dies, `resume` goes on and `cancel` takes the build back.
    """

    def status(self) -> ViewsStatus: ...

    def rebuild(self, advance: Advance) -> Rebuilt: ...

    def resume(self, advance: Advance) -> Rebuilt: ...

    def cancel(self) -> str:
        """Remove the build; returns its generation. Raises NoBuild, BuildUnderWay."""
        ...

    def verify(self, advance: Advance) -> Verified:
        """Build aside and compare row by row. Raises EventNotApplied, NoViews."""
        ...
