"""How many connections of one kind a principal, and an address, may hold open on this node."""

from collections import Counter
from uuid import UUID

from application.errors import RateLimited

TRY_AGAIN_AFTER = 10.0
"""Seconds: nobody knows when one of the open connections will close."""


class OpenConnections:
    """0 is no limit. What is begun at once with others may exceed a limit by their number."""

    def __init__(self, per_principal: int = 0, per_address: int = 0) -> None:
        self._per_principal = per_principal
        self._per_address = per_address
        self._open: Counter[str | UUID] = Counter()

    def check(self, address: str, principal: UUID) -> None:
        """Raises RateLimited where another one would be too many."""
        self.check_address(address)
        self.check_principal(principal)

    def check_address(self, address: str) -> None:
        _check(self._open[address], self._per_address)

    def check_principal(self, principal: UUID) -> None:
        _check(self._open[principal], self._per_principal)

    def opened(self, *holders: str | UUID) -> None:
        self._open.update(holders)

    def closed(self, *holders: str | UUID) -> None:
        for holder in holders:
            self._open[holder] -= 1
            if not self._open[holder]:
                del self._open[holder]


def _check(open_now: int, limit: int) -> None:
    if limit and open_now >= limit:
        raise RateLimited(TRY_AGAIN_AFTER)
