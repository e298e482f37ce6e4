"""How the service does at this moment, as one node sees it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from application.console.answers import Now, Overview, ViewsNow
from application.console.ports import NodeFigures
from application.ports import Clock


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while it runs."""

    version: str
    log_id: str
    engine: Literal["sqlite", "postgresql"]
    node: UUID
    started_at: datetime
    currency: str


class LiveViews(Protocol):
    @property
    def generation(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def set_aside(self) -> int: ...

    @property
    def keeps_up(self) -> bool: ...


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask, at no cost. `oldest_reply` is an age in seconds, `head` and `sealed` positions;
    `checks` by name say what is wrong, or None.
    """

    head: Callable[[], int]
    sealed: Callable[[], int]
    open_replies: Callable[[], int]
    oldest_reply: Callable[[], float]
    orphaned_replies: Callable[[], int]
    checks: Mapping[str, Callable[[], str | None]]


class NodeOverview:
    def __init__(
        self,
        facts: NodeFacts,
        gauges: Gauges,
        views: LiveViews,
        figures: NodeFigures,
        clock: Clock,
    ) -> None:
        self._facts = facts
        self._gauges = gauges
        self._views = views
        self._figures = figures
        self._clock = clock

    def show(self) -> Overview:
        gauges, views = self._gauges, self._views
        head, counted = gauges.head(), self._figures.counted()
        return Overview(
            **msgspec.structs.asdict(self._facts),
            at=self._clock.now(),
            head=head,
            unsealed=max(0, head - gauges.sealed()),
            views=ViewsNow(
                generation=views.generation,
                position=views.position,
                lag=max(0, head - views.position),
                set_aside=views.set_aside,
                keeps_up=views.keeps_up,
            ),
            now=Now(
                open_replies=gauges.open_replies(),
                open_streams=counted.open_streams,
                open_sockets=counted.open_sockets,
                oldest_reply_seconds=gauges.oldest_reply(),
                orphaned_replies=gauges.orphaned_replies(),
            ),
            totals=counted.totals,
            readiness={name: check() for name, check in gauges.checks.items()},
        )
