"""Small reads of the log that are made all the time, each in one hop on SQLite.

SQLAlchemy's way takes a dozen to the driver's thread and back, for the transaction, the cursor, its
rows and its end: over half of such a read's CPU, and most of its time where the machine is busy.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Rows: TypeAlias = Iterable[Any]
"""Tuples, in the order of what was selected."""


async def read_rows(
    readers: "AsyncEngine", query: str, values: Mapping[str, object] | None = None
) -> Rows:
    """The rows of one SELECT, whose `:names` are those of `values`.

    Values are bound and rows returned as the driver has them. Raises SQLAlchemy's errors.
    """
    values = values or {}
    async with readers.connect() as connection:
        if connection.dialect.name != "sqlite":
            return (await connection.execute(text(query), values)).all()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        try:
            rows: Rows = await driver.execute_fetchall(query, values)
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                query, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
            ) from error
        return rows
