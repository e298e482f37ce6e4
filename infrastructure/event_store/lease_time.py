"""What time it is for leases.

All nodes must agree on it, or one whose clock is late would hold a lease that another has seen end.
On PostgreSQL it is the database's own clock, on SQLite that of the one machine there is.
"""

from typing import Protocol

from sqlalchemy import BigInteger, ColumnElement, Integer, cast, func, literal

from application.ports import Clock
from infrastructure.event_store.schema import micros


class LeaseTime(Protocol):
    def now(self) -> ColumnElement[int]:
        """In microseconds since 1970, for use in one statement."""
        ...

    def given(self) -> int | None:
        """The same as a number; None where only the database knows it."""
        ...


class ClockTime:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> ColumnElement[int]:
        return literal(micros(self._clock.now()), BigInteger().with_variant(Integer(), "sqlite"))

    def given(self) -> int | None:
        return micros(self._clock.now())


class DatabaseTime:
    def now(self) -> ColumnElement[int]:
        # Not that of the transaction's start: the lock may have been waited for.
        return cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)

    def given(self) -> int | None:
        return None
