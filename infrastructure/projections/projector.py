"""Applying a batch of events to all views, in one transaction with their position."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from application.ports import Recorded
from infrastructure.projections import checkpoint
from infrastructure.projections.all_views import BAD_EVENT, VIEWS
from infrastructure.projections.view import LiveStorage, View, ViewOf

log = structlog.get_logger()


class PoisonEvent(Exception):  # noqa: N818 - says what is wrong with the event
    """A view's code cannot apply an event. Carries no text of what was raised: it may quote."""

    def __init__(self, view: str, error: str) -> None:
        super().__init__(f"{view}: {error}")
        self.view = view
        self.error = error


class Projector:
    """Synchronous, for one thread. `strict` raises PoisonEvent instead of setting aside."""

    def __init__(
        self,
        engine: Engine,
        views: Sequence[ViewOf] = VIEWS,
        strict: bool = False,
    ) -> None:
        self._engine = engine
        self._views = views
        self._strict = strict
        self._set_aside: checkpoint.SetAside = set()
        self.position = 0

    @property
    def set_aside(self) -> int:
        """How many streams some view no longer follows."""
        return len(self._set_aside)

    def load(self) -> None:
        """Take up from what is stored."""
        with self._engine.begin() as connection:
            self.position = connection.scalars(checkpoint.position_now).one()
            self._set_aside = checkpoint.streams_set_aside(connection)

    def apply(self, batch: Sequence[Recorded]) -> int:
        """Apply the events that follow the position; returns the new position.

        A stream with an event that a view cannot apply is set aside in that view, and all others
        go on. Raises checkpoint.PositionMoved, PoisonEvent (where `strict`), and the engine's
        errors; nothing of the failed step is written then.
        """
        try:
            self._commit(batch)
        except PoisonEvent:
            if self._strict:
                raise
            for recorded in batch:
                self._apply_alone(recorded)
        return self.position

    def _apply_alone(self, recorded: Recorded) -> None:
        aside: dict[str, str] = {}
        while True:
            try:
                return self._commit((recorded,), aside)
            except PoisonEvent as poison:
                # At most once a view: it is skipped in the next attempt.
                aside[poison.view] = poison.error

    def _commit(self, batch: Sequence[Recorded], aside: Mapping[str, str] | None = None) -> None:
        """`aside`: the views that are to drop the (only) event's stream, and why."""
        newly = {(view, batch[0].stream_id): error for view, error in (aside or {}).items()}
        last = batch[-1].position
        with self._engine.begin() as connection:
            checkpoint.advance(connection, self.position, last)
            for (view, stream_id), error in newly.items():
                checkpoint.set_stream_aside(connection, view, stream_id, last, error)
            storage = LiveStorage(connection)
            for view_of in self._views:
                self._run(view_of(storage), batch, newly)
        self.position = last
        for (view, stream_id), error in newly.items():
            self._set_aside.add((view, stream_id))
            log.error(
                "stream_set_aside",
                view=view,
                stream_id=str(stream_id),
                position=last,
                error=error,
            )

    def _run(
        self, view: View, batch: Sequence[Recorded], newly: Mapping[tuple[str, UUID], str]
    ) -> None:
        handlers = view.handlers
        mine = [recorded for recorded in batch if type(recorded.event) in handlers]
        if self._set_aside or newly:
            mine = [
                recorded
                for recorded in mine
                if (view.name, recorded.stream_id) not in self._set_aside
                and (view.name, recorded.stream_id) not in newly
            ]
        if not mine:
            return
        try:
            view.prefetch(mine)
            for recorded in mine:
                handlers[type(recorded.event)](recorded.event, recorded)
            view.flush()
        except BAD_EVENT as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise  # no fault of the event
            raise PoisonEvent(view.name, type(error).__name__) from None
