"""Who an operator names, and who the log's internal ids stand for."""

from typing import TYPE_CHECKING
from uuid import UUID

from interfaces.principals import parsed_principal, written_principal

if TYPE_CHECKING:
    from application.ledger.known import Known
    from application.ledger.ports import People


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


def names_of(people: "People") -> "Known":
    """What an internal id is called; its own self where nobody is known by it."""
    from application.ledger.known import Known

    return Known(people, written_principal)
