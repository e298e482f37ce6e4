"""What many operator's commands take, and how it is written."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, TypeAlias
from uuid import UUID

from cyclopts import Parameter
from cyclopts.validators import Number

from application.errors import ConfigurationError


def flag(words: str) -> Parameter:
    return Parameter(help=words, negative=(), show_default=False)


MOST = 2**63 - 1
"""More than that no position is, and no database takes."""


def count(words: str) -> Parameter:
    """A position, or so many of something."""
    return Parameter(help=words, negative=(), show_default=False, validator=Number(gte=0, lte=MOST))


DataDir: TypeAlias = Annotated[Path | None, flag("The folder that keeps everything.")]
AsJson: TypeAlias = Annotated[bool, flag("Objects of JSON, one a line.")]


def time_of(name: str, written: str) -> datetime:
    """An RFC 3339 time, or a date, which is its midnight in UTC. Raises ConfigurationError."""
    try:
        if len(written) == len("2026-11-01"):
            return datetime.combine(date.fromisoformat(written), datetime.min.time(), UTC)
        time = datetime.fromisoformat(written)
        # Beyond the first or the last day in UTC there is no time at all.
        in_utc = time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        words = "must be a time such as 2026-11-01T12:30:00Z, or a date"
        raise ConfigurationError(f"{name} {words}.")
    return in_utc


def optional_time(name: str, written: str | None) -> datetime | None:
    return None if written is None else time_of(name, written)


def position_of(name: str, written: str) -> int | datetime:
    """A position in the log, or a time. Raises ConfigurationError."""
    return int(written) if written.isdecimal() else time_of(name, written)


def uuid_of(name: str, written: str) -> UUID:
    """Raises ConfigurationError."""
    try:
        return UUID(written)
    except ValueError:
        raise ConfigurationError(f"{name} must be an id such as events have.") from None


def optional_uuid(name: str, written: str | None) -> UUID | None:
    return None if written is None else uuid_of(name, written)
