"""Building a generation of the views aside, beside running servers or without one."""

import time

from sqlalchemy import Engine

from application.projections import (
    Advance,
    BuildUnderWay,
    NoBuild,
    NotTakenOver,
    Rebuilt,
)
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.schema import view_builds
from infrastructure.event_store.stored import StoredLog
from infrastructure.event_store.view_generations import (
    Build,
    begin_build,
    build_is_ready,
    build_of,
    end_build,
    generations_in_use,
    knows_builds,
    live_generation,
    take_over,
)
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.shelf import Shelf

TAKEN_OVER_WITHIN = 60.0
"""Seconds for the server to turn to a generation that is ready, and for the old one's readers."""

LOOK_AGAIN = 0.05


class Rebuilds:
    """What of `application.projections.Projections` changes the views."""

    def __init__(
        self,
        shelf: Shelf,
        writing: Engine,
        reading: Engine,
        codec: Codec,
        taken_over_within: float = TAKEN_OVER_WITHIN,
    ) -> None:
        """Both engines are of the log's database."""
        self._shelf = shelf
        self._writing = writing
        self._reading = reading
        self._codec = codec
        self._taken_over_within = taken_over_within

    def rebuild(self, advance: Advance) -> Rebuilt:
        with self._shelf.building() as lock:
            build = self._begun()
            return self._finish(build, lock, advance)

    def resume(self, advance: Advance) -> Rebuilt:
        with self._shelf.building() as lock:
            build = self._build()
            if build.boot != self._shelf.boot() and not build.ready:
                # A power cut may have taken any part of what was never synced.
                self._shelf.remove(build.generation)
            return self._finish(build, lock, advance)

    def cancel(self) -> str:
        with self._shelf.building():
            build = self._build()
            with self._writing.begin() as connection:
                end_build(connection, VIEWS_VERSION)
            self._shelf.remove(build.generation)
            return build.generation

    def _build(self) -> Build:
        with self._writing.begin() as connection:
            build = build_of(connection, VIEWS_VERSION) if knows_builds(connection) else None
        if build is None:
            raise NoBuild("No build of the views is under way.")
        return build

    def _begun(self) -> Build:
        head = StoredLog(self._reading, self._codec).head()
        with self._writing.begin() as connection:
            # An older release's server may have opened this log last.
            view_builds.create(connection, checkfirst=True)
            under_way = build_of(connection, VIEWS_VERSION)
            if under_way is not None:
                raise BuildUnderWay(
                    f"The build of generation {under_way.generation} was broken off:"
                    " go on with it (resume) or take it back (cancel) first."
                )
            name = self._shelf.next_name(generations_in_use(connection))
            build = Build(name, head, self._shelf.boot(), ready=False)
            begin_build(connection, VIEWS_VERSION, build)
        return build

    def _finish(self, build: Build, lock: int | None, advance: Advance) -> Rebuilt:
        name = build.generation
        began, first = time.monotonic(), self._shelf.position_of_build(name)
        if not self._shelf.is_whole(name):

            def reached(position: int) -> None:
                advance(position, build.head)

            self._shelf.fill(name, self._reading, self._codec, build.head, reached, lock)
        seconds = time.monotonic() - began
        position = self._catch_up(name, advance)
        if not build.ready:
            self._shelf.make_durable(name)
            with self._writing.begin() as connection:
                build_is_ready(connection, VIEWS_VERSION)
        self._hand_over(name, advance)
        self._shelf.remove_leftovers()
        return Rebuilt(name, position, max(0, build.head - first), seconds)

    def _catch_up(self, name: str, advance: Advance) -> int:
        """With what was appended meanwhile; returns the position. Raises EventNotApplied."""
        return self._shelf.catch_up(name, self._reading, self._codec, advance)

    def _hand_over(self, generation: str, advance: Advance) -> None:
        """Returns when the generation is live and nothing is left of those before it."""
        until = time.monotonic() + self._taken_over_within
        while not self._has_taken_over(generation):
            with self._shelf.turn_of_nobody() as nobody:
                if nobody:
                    # Nobody follows this version: no reader is older than what it turns to now.
                    self._catch_up(generation, advance)
                    with self._writing.begin() as connection:
                        take_over(connection, VIEWS_VERSION, generation)
                    self._shelf.remove_older(self._writing)
                    return
            if time.monotonic() > until:
                raise NotTakenOver(
                    f"Generation {generation} is ready, but the server did not turn to it"
                    f" within {self._taken_over_within:g} s. Look at its log, then resume."
                )
            time.sleep(LOOK_AGAIN)

    def _has_taken_over(self, generation: str) -> bool:
        """Also that nothing is left of those before."""
        with self._reading.begin() as connection:
            if live_generation(connection, VIEWS_VERSION) != generation:
                return False
            in_use = generations_in_use(connection)
        return not self._shelf.others(in_use)
