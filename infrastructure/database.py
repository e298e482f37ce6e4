"""Opening databases: one connection that writes, a few that only read.

On SQLite both kinds issue BEGIN themselves: the driver's own would come late (a transaction's first
SELECT outside of it) and would be deferred (a read that turns into a write fails at once, whatever
the time-out says). What PostgreSQL needs stands in `infrastructure.postgres`.
"""

import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

BUSY_TIMEOUT_SECONDS = 5
"""How long a statement waits for another process's lock."""

READERS = 4

CACHE_KIB = 32 * 1024

CHECKPOINT_PAGES = 8192
"""How far the write-ahead log grows before it is folded back: 32 MB."""

Synchronous = Literal["FULL", "NORMAL", "OFF"]


_OUTSIDE = {
    sqlite3.SQLITE_BUSY: "another process keeps the database locked. Try again.",
    sqlite3.SQLITE_READONLY: "the database cannot be written here, which reading it needs too.",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened here, or not be written.",
    sqlite3.SQLITE_FULL: "the disk is full.",
}
_OUTSIDE_POSTGRES = {
    "55P03": _OUTSIDE[sqlite3.SQLITE_BUSY],
    "25006": "the database is read-only: a replica, or set so.",
    "3F000": "search_path names no schema of the database to make tables in.",
    "42501": "the role of DABIR_DATABASE_URL may not do this: it must own its database.",
    "53100": "the disk of the database is full.",
}
"""By SQLSTATE."""


_GAVE_UP = "This connection is closed"
"""What the pool says (there is no code for it) after each of three connections broke as soon as
it was made."""


def is_gone(error: Exception) -> bool:
    """Whether a server of a database has gone away, or is not to be had at the moment."""
    if isinstance(error, InvalidRequestError):
        return str(error) == _GAVE_UP
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    # None where no connection came about; 08: it broke; 57P: the server shuts down or starts.
    state = getattr(error.orig, "sqlstate", "of another engine")
    return isinstance(error, OperationalError) and (
        state is None or state.startswith(("08", "57P"))
    )


def outside_cause(error: Exception) -> str | None:
    """What kept the database from being used, where it is no fault of the program; else None."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if state in _OUTSIDE_POSTGRES:
        return _OUTSIDE_POSTGRES[state]
    if is_gone(error):
        return "the database does not answer. Is it up, and DABIR_DATABASE_URL right?"
    cause = error.orig if isinstance(error, OperationalError) else error
    if not isinstance(cause, sqlite3.OperationalError):
        return None
    # The lower byte is the kind, what is above it tells more.
    return _OUTSIDE.get(cause.sqlite_errorcode & 0xFF)


def sync_writer_engine(
    url: str | URL,
    *,
    synchronous: Synchronous = "FULL",
    secure_delete: bool = False,
    lock: str = "log",
    schema: str | None = None,
    patient: bool = False,
) -> Engine:
    """The engine of a database's one writer: a single connection, usable from any thread.

    Every transaction takes the write lock at its start. With `synchronous="NORMAL"` a power cut
    may lose the last commits, though never consistency: enough for what can be rebuilt. With
    `secure_delete` what is deleted or replaced is overwritten, not only unlinked. `lock`,
    `schema` and `patient` are for PostgreSQL: which lock it takes, where its tables are, and if a
    transaction may take as long as it likes.
    """
    if is_postgres(url):
        from infrastructure import postgres

        durable = synchronous == "FULL"
        return postgres.writer_engine(
            make_url(url),
            lock=lock,
            lock_timeout=BUSY_TIMEOUT_SECONDS,
            durable=durable,
            schema=schema,
            patient=patient,
        )
    pragmas = (
        f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}",
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        # A transaction that outgrows the cache is written twice; a log that is folded back often
        # writes its pages as often.
        f"cache_size=-{CACHE_KIB}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"secure_delete={'ON' if secure_delete else 'OFF'}",
    )
    engine = create_engine(
        _sqlite_url(url, "sqlite"),
        pool_size=1,
        max_overflow=0,
        connect_args={"isolation_level": None, "check_same_thread": False},
        hide_parameters=True,
    )
    _set_on_connect(engine, pragmas)
    event.listen(engine, "begin", _begin_writing)
    return engine


def reader_engine(url: str | URL) -> "AsyncEngine":
    """An engine for queries, which cannot write. One transaction reads one snapshot.

    Keep transactions short: a long one keeps the write-ahead log from being folded back. On
    PostgreSQL each statement is one of its own.
    """
    if is_postgres(url):
        from infrastructure import postgres

        return postgres.async_reader_engine(make_url(url))
    # Half a second of import, which operator's commands do without.
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        _sqlite_url(url, "sqlite+aiosqlite"),
        pool_size=READERS,
        max_overflow=0,
        connect_args={"isolation_level": None},
        hide_parameters=True,
    )
    pragmas = (f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}", "query_only=ON")
    _set_on_connect(engine.sync_engine, pragmas)
    event.listen(engine.sync_engine, "begin", _begin_reading)
    return engine


def sync_reader_engine(url: str | URL, *, schema: str | None = None) -> Engine:
    """As `reader_engine`, for queries that run as one function in a thread of their own.

    Several statements then cost one hop, where the asynchronous driver takes one for each, and see
    one snapshot.
    """
    if is_postgres(url):
        from infrastructure import postgres

        return postgres.reader_engine(make_url(url), schema=schema)
    engine = create_engine(
        _sqlite_url(url, "sqlite"),
        pool_size=READERS,
        max_overflow=0,
        connect_args={"isolation_level": None, "check_same_thread": False},
        hide_parameters=True,
    )
    pragmas = (f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}", "query_only=ON")
    _set_on_connect(engine, pragmas)
    event.listen(engine, "begin", _begin_reading)
    return engine


def is_postgres(url: str | URL) -> bool:
    return make_url(url).get_backend_name() == "postgresql"


def _sqlite_url(url: str | URL, driver: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ValueError("a database's URL is sqlite:///path/to/a/file or postgresql://…")
    return parsed.set(drivername=driver)


def _set_on_connect(engine: Engine, pragmas: tuple[str, ...]) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    # It takes no lock yet, so that there is no error for the library to translate; by its way this
    # takes as long as a small query.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN")


def scrubbed(engine: Engine, tables: list[str]) -> bool:
    """Take old versions of what was erased out of the database; False while somebody reads.

    On SQLite the write-ahead log is folded back and its file emptied. On PostgreSQL the tables are
    vacuumed: what was in them is overwritten by and by, and the server's own write-ahead log
    recycled as it is configured.
    """
    if is_postgres(engine.url):
        from infrastructure import postgres

        postgres.vacuum(engine, tables)
        return True
    with engine.connect() as connection:
        # Outside of any transaction, which the engine would begin.
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        answer = cursor.fetchone()
        assert answer is not None
        return not answer[0]
