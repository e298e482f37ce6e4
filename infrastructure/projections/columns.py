"""How the views store ids and times, and the one collection of their tables."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    String,
    type_coerce,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.operators import OperatorClass, OperatorType
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from infrastructure.event_store.schema import EPOCH, micros

metadata = MetaData()

# On SQLite only a column declared INTEGER is the row's own number; any other needs a second tree.
Number = BigInteger().with_variant(Integer(), "sqlite")


class Id(TypeEngine[UUID]):
    """A UUID as its 16 bytes: half of its text's size in every row and index."""

    __visit_name__ = "large_binary"
    operator_classes = OperatorClass.BASE | OperatorClass.COMPARISON
    cache_ok = True

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        return self

    def bind_processor(self, dialect: Dialect) -> Callable[[UUID | str | None], bytes | None]:
        return _bytes_of

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[bytes | None], UUID | None]:
        return _uuid_of


class Instant(TypeEngine[datetime]):
    """A time in microseconds since 1970, so that it compares and pages as a number."""

    __visit_name__ = "big_integer"
    operator_classes = OperatorClass.DATETIME
    cache_ok = True

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        return self

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:
        return _micros_of

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], datetime | None]:
        return _time_of


class Words(TypeDecorator[str]):
    """What people and models wrote, whatever is in it.

    PostgreSQL's texts hold no NUL; there it is written as two other characters, and back.
    """

    impl = String
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None] | None:
        return _without_nul if dialect.name == "postgresql" else None

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], str | None] | None:
        return _with_nul if dialect.name == "postgresql" else None


def as_stored(column: Column[Any], name: str | None = None) -> ColumnElement[Any]:
    """A column to select as the driver gives it, for who makes of all columns of a row one thing.

    To convert each value by its type costs twice what the query itself does.
    """
    plain = column if isinstance(column.type, Words) else type_coerce(column, NullType())
    return plain.label(name or column.name)


def uuid_of(stored: bytes) -> UUID:
    return UUID(bytes=stored)


def time_of(stored: int) -> datetime:
    return EPOCH + timedelta(0, 0, stored)


def _without_nul(value: str | None) -> str | None:
    if value is None or ("\x00" not in value and "\x01" not in value):
        return value
    return value.replace("\x01", "\x01\x02").replace("\x00", "\x01\x03")


def _with_nul(value: str | None) -> str | None:
    if value is None or "\x01" not in value:
        return value
    return value.replace("\x01\x03", "\x00").replace("\x01\x02", "\x01")


def _bytes_of(value: UUID | str | None) -> bytes | None:
    if isinstance(value, str):
        # From a set that is being filled, which makes no UUIDs of the ids it reads.
        return bytes.fromhex(value.replace("-", ""))
    return None if value is None else value.bytes


def _uuid_of(value: bytes | None) -> UUID | None:
    return None if value is None else uuid_of(value)


def _micros_of(value: datetime | None) -> int | None:
    return None if value is None else micros(value)


def _time_of(value: int | None) -> datetime | None:
    return None if value is None else time_of(value)
