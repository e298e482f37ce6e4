"""What operators call those whom the log knows by internal ids."""

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from application.ledger.ports import People
from domain.usage import Kind

Written: TypeAlias = Callable[[Kind, str], str]
"""How operators write a principal."""

SERVICE = "the service"


class Known:
    """By name, or by the id itself where nobody is known by it any more."""

    def __init__(self, people: People, written: Written) -> None:
        self._people = people
        self._written = written

    def __call__(self, principal_id: UUID | None) -> str:
        if principal_id is None:
            return SERVICE
        principal = self._people.name_of(principal_id)
        if principal is None:
            return str(principal_id)
        return self._written(principal.kind, principal.name)
