"""Faults of ours: told to the operator under an id, and only that id to the client."""

from typing import Protocol
from uuid import UUID

from application.ports import Ids
from interfaces.outbound import Mapped, internal_error, known_error


class Observer(Protocol):
    def fault(
        self,
        where: str,
        error: BaseException,
        reply_id: UUID | None = None,
        incident: UUID | None = None,
    ) -> None:
        """A bug or a broken engine: logged with its traceback and the incident's id, and counted.

        `where` is one of a few fixed names, never what a client sent.
        """
        ...

    def refused(self, where: str, code: str) -> None:
        """A client was told so; of a fault too."""
        ...


class Incidents:
    """Turns any error into what goes out, and reports those that are no refusals."""

    def __init__(self, observer: Observer, ids: Ids) -> None:
        self._observer = observer
        self._ids = ids

    def mapped(self, where: str, error: Exception) -> Mapped:
        """What the client is told of it."""
        mapped = known_error(error) or internal_error(self.report(where, error))
        self._observer.refused(where, mapped.error.code)
        return mapped

    def report(self, where: str, error: BaseException) -> UUID:
        """Tell the operator; returns the id under which the log has it."""
        incident = self._ids.new()
        self._observer.fault(where, error, incident=incident)
        return incident
