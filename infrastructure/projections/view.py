"""What a view is to those who run it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection

from application.ports import Recorded
from infrastructure.projections.texts import LiveTexts, Texts
from infrastructure.projections.working_set import LiveRows, R, Stored, WorkingSet

Handlers: TypeAlias = dict[type, Callable[[Any, Recorded], None]]
"""By the class of the event, which is also the handler's first argument."""


class Storage(Protocol):
    """Where a view keeps its rows: in the live views, or in a set that is being filled."""

    @property
    def connection(self) -> Connection:
        """For what concerns more than rows by their keys. Its transaction is the batch's."""
        ...

    @property
    def texts(self) -> Texts: ...

    def rows(self, stored: Stored[R]) -> WorkingSet[R]: ...


class LiveStorage:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.texts: Texts = LiveTexts(connection)

    def rows(self, stored: Stored[R]) -> WorkingSet[R]:
        return WorkingSet(LiveRows(stored, self.connection), stored.key)


class View(Protocol):
    """One view over the events of a batch, or of many, each in a transaction of its own.

    Ids and times are only compared and stored: a set that is being filled has them in forms of its
    own.
    """

    @property
    def name(self) -> str:
        """It is stored with the streams that the view sets aside."""
        ...

    @property
    def handlers(self) -> Handlers: ...

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        """Read the rows that the batch touches: only a matter of speed."""
        ...

    def flush(self) -> None:
        """Write what the handlers changed."""
        ...


ViewOf: TypeAlias = Callable[[Storage], View]
