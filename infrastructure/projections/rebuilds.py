"""Building a generation of the views aside, beside a running server or without one."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from application.errors import ConfigurationError
from application.ports import Recorded
from application.projections import (
    Advance,
    BuildUnderWay,
    EventNotApplied,
    NoBuild,
    NotTakenOver,
    Rebuilt,
)
from infrastructure.data_folder import only_server_of
from infrastructure.event_store.bare_events import BareLog
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.schema import view_builds
from infrastructure.event_store.stored import StoredLog
from infrastructure.event_store.view_generations import (
    Build,
    begin_build,
    build_is_ready,
    build_of,
    end_build,
    forget_older,
    generations_in_use,
    knows_builds,
    live_generation,
    take_over,
)
from infrastructure.projections.build_lock import alone
from infrastructure.projections.filling import Filling, position_of_build
from infrastructure.projections.generation import (
    VIEWS_VERSION,
    Following,
    file_name,
    next_name,
    open_generation,
    others_of,
    remove_generation,
    remove_others,
)
from infrastructure.projections.projector import PoisonEvent, Projector
from infrastructure.projections.verification import remove_leftovers
from infrastructure.whole_files import sync

TAKEN_OVER_WITHIN = 60.0
"""Seconds for the server to turn to a generation that is ready, and for the old one's readers."""

LOOK_AGAIN = 0.05

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Rebuilds:
    """What of `application.projections.Projections` changes the views."""

    def __init__(
        self,
        data_dir: Path,
        writing: Engine,
        reading: Engine,
        codec: Codec,
        taken_over_within: float = TAKEN_OVER_WITHIN,
    ) -> None:
        """Both engines are of the log's database."""
        self._data_dir = data_dir
        self._writing = writing
        self._reading = reading
        self._log = StoredLog(reading, codec)
        self._bare_log = BareLog(reading, codec)
        self._taken_over_within = taken_over_within

    def rebuild(self, advance: Advance) -> Rebuilt:
        with alone(self._data_dir) as lock:
            build = self._begun()
            return self._finish(build, lock, advance)

    def resume(self, advance: Advance) -> Rebuilt:
        with alone(self._data_dir) as lock:
            build = self._build()
            if build.boot != _boot() and not build.ready:
                # A power cut may have taken any part of what was never synced.
                remove_generation(self._data_dir, build.generation)
            return self._finish(build, lock, advance)

    def cancel(self) -> str:
        with alone(self._data_dir):
            build = self._build()
            with self._writing.begin() as connection:
                end_build(connection, VIEWS_VERSION)
            remove_generation(self._data_dir, build.generation)
            return build.generation

    def _build(self) -> Build:
        with self._writing.begin() as connection:
            build = build_of(connection, VIEWS_VERSION) if knows_builds(connection) else None
        if build is None:
            raise NoBuild("No build of the views is under way.")
        return build

    def _begun(self) -> Build:
        with self._writing.begin() as connection:
            # An older release's server may have opened this log last.
            view_builds.create(connection, checkfirst=True)
            under_way = build_of(connection, VIEWS_VERSION)
            if under_way is not None:
                raise BuildUnderWay(
                    f"The build of generation {under_way.generation} was broken off:"
                    " go on with it (resume) or take it back (cancel) first."
                )
            name = next_name(self._data_dir, generations_in_use(connection))
            build = Build(name, self._log.head(), _boot(), ready=False)
            begin_build(connection, VIEWS_VERSION, build)
        return build

    def _finish(self, build: Build, lock: int, advance: Advance) -> Rebuilt:
        path = self._data_dir / file_name(build.generation)
        filling = Filling(path, self._bare_log, self._log.log_id)
        began, first = time.monotonic(), position_of_build(path)
        if not filling.is_whole():
            filling.run(build.head, lambda position: advance(position, build.head), lock)
        seconds = time.monotonic() - began
        position = self._catch_up(path, advance)
        if not build.ready:
            # Until now nothing of the file had to be on the disk.
            sync(path)
            with self._writing.begin() as connection:
                build_is_ready(connection, VIEWS_VERSION)
        self._hand_over(build.generation, path, advance)
        remove_leftovers(self._data_dir)
        return Rebuilt(build.generation, position, max(0, build.head - first), seconds)

    def _catch_up(self, path: Path, advance: Advance) -> int:
        """With what was appended meanwhile; returns the position. Raises EventNotApplied."""
        generation = open_generation(path, self._log.log_id, self._log.head())
        try:
            projector = Projector(generation.writing, strict=True)
            projector.load()
            for batch in self._log.batches(projector.position, self._log.head()):
                recorded = [self._log.decoded(stored) for stored in batch]
                _apply(projector, recorded)
                advance(projector.position, self._log.head())
            return projector.position
        finally:
            generation.close()

    def _hand_over(self, generation: str, path: Path, advance: Advance) -> None:
        """Returns when the generation is live and nothing is left of those before it."""
        following = Following(self._data_dir)
        until = time.monotonic() + self._taken_over_within
        try:
            while not self._has_taken_over(generation):
                if following.alone():
                    # Nobody follows this version: no reader is older than what it turns to now.
                    self._catch_up(path, advance)
                    with self._writing.begin() as connection:
                        take_over(connection, VIEWS_VERSION, generation)
                    self._remove_older()
                    return
                if time.monotonic() > until:
                    raise NotTakenOver(
                        f"Generation {generation} is ready, but the server did not turn to it"
                        f" within {self._taken_over_within:g} s. Look at its log, then resume."
                    )
                time.sleep(LOOK_AGAIN)
        finally:
            following.close()

    def _remove_older(self) -> None:
        """What earlier generations left, and earlier versions, where no server of theirs runs."""
        with (
            suppress(ConfigurationError),
            only_server_of(self._data_dir),
            self._writing.begin() as connection,
        ):
            forget_older(connection, VIEWS_VERSION)
        # Under the write lock, so that no build begins whose file would be taken for a rest.
        with self._writing.begin() as connection:
            remove_others(self._data_dir, generations_in_use(connection))

    def _has_taken_over(self, generation: str) -> bool:
        """Also that the files of those before have gone."""
        with self._reading.begin() as connection:
            if live_generation(connection, VIEWS_VERSION) != generation:
                return False
            in_use = generations_in_use(connection)
        return not others_of(self._data_dir, in_use)


def _apply(projector: Projector, batch: Sequence[Recorded]) -> None:
    """Raises EventNotApplied."""
    try:
        projector.apply(batch)
    except PoisonEvent as poison:
        if len(batch) == 1:
            at = batch[0]
            raise EventNotApplied(poison.view, at.stream_id, at.position, poison.error) from None
        for each in batch:
            _apply(projector, [each])


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else "unknown"
