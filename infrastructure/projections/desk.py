"""The views as operators have them."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from application.projections import Advance, Rebuilt, Verified, ViewsStatus
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections.shelf import Shelf
from infrastructure.projections.status import status_of
from infrastructure.projections.verification import verify

if TYPE_CHECKING:
    from infrastructure.projections.rebuilds import Rebuilds


class SqlProjections:
    """Implements `application.projections.Projections`. Both engines are of the log's database."""

    def __init__(self, shelf: Shelf, writing: Engine, reading: Engine, codec: Codec) -> None:
        self._shelf = shelf
        self._writing = writing
        self._reading = reading
        self._codec = codec

    def status(self) -> ViewsStatus:
        return status_of(self._shelf, self._reading, StoredLog(self._reading, self._codec).head())

    def rebuild(self, advance: Advance) -> Rebuilt:
        return self._rebuilds().rebuild(advance)

    def resume(self, advance: Advance) -> Rebuilt:
        return self._rebuilds().resume(advance)

    def cancel(self) -> str:
        return self._rebuilds().cancel()

    def verify(self, advance: Advance) -> Verified:
        return verify(self._shelf, self._reading, self._codec, advance)

    def _rebuilds(self) -> "Rebuilds":
        # What applies events logs, and that takes its time to import.
        from infrastructure.projections.rebuilds import Rebuilds

        return Rebuilds(self._shelf, self._writing, self._reading, self._codec)
