"""The machine's clock, and new ids."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class TimeOrderedIds:
    """UUIDv7 (RFC 9562)."""

    def new(self) -> UUID:
        return uuid7()
