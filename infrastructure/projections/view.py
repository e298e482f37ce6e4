"""What a view is to those who run it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection

from application.ports import Recorded

Handlers: TypeAlias = dict[type, Callable[[Any, Recorded], None]]
"""By the class of the event, which is also the handler's first argument."""


class View(Protocol):
    """One view over one batch of events, in the batch's transaction."""

    @property
    def name(self) -> str:
        """It is stored with the streams that the view sets aside."""
        ...

    @property
    def handlers(self) -> Handlers: ...

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        """Read the rows that the batch touches."""
        ...

    def flush(self) -> None:
        """Write what the handlers changed."""
        ...


ViewOf: TypeAlias = Callable[[Connection], View]
