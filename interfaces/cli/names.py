"""Who an operator names, and who the log's internal ids stand for."""

from typing import TYPE_CHECKING
from uuid import UUID

from interfaces.principals import parsed_principal, written_principal

if TYPE_CHECKING:
    from application.ledger.ports import People

SERVICE = "the service"


def id_of(people: "People", named: str) -> UUID:
    """The internal id of `user:SUB` or `anon:ID`, or of itself: who was erased has no other name.

    Raises InvalidRequest, NotInLog.
    """
    from application.ledger.ports import NotInLog

    try:
        return UUID(named)
    except ValueError:
        principal = people.find(*parsed_principal(named))
    if principal is None:
        raise NotInLog(f"{named} is not known here.")
    return principal.id


class Names:
    """What an internal id is called; its own self where nobody is known by it."""

    def __init__(self, people: "People") -> None:
        self._people = people

    def __call__(self, principal_id: UUID | None) -> str:
        if principal_id is None:
            return SERVICE
        principal = self._people.name_of(principal_id)
        if principal is None:
            return str(principal_id)
        return written_principal(principal.kind, principal.name)
