"""Engines on PostgreSQL, by psycopg 3."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from application.errors import ConfigurationError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError:
    raise ConfigurationError("PostgreSQL needs psycopg: pip install 'dabir[postgres]'.") from None

from infrastructure.impatience import Impatience

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

DRIVER = "postgresql+psycopg"

DURABLE_WITHIN, OTHERS_WITHIN = 2000, 5000
"""Milliseconds after which the server ends the transaction of a writer, since it had its lock.

A process that is paused in the midst of it would else keep every other one from writing. In a
pipeline it counts as active for the server, so that a time-out for idleness would not do.
"""
BUILT_WITHIN = 60_000
"""The same for a transaction that makes the tables: where they are far away each costs its trip."""
OLDEST = 17
"""The first version of PostgreSQL that can end transactions by time."""
CONNECT_TIMEOUT = 5

READERS = 4

IMPATIENCE = Impatience()
"""Cuts a connection on which nobody answers. A peer that went away without a word would else be
waited for as long as the kernel believes in it, or for ever."""

_READ_ONLY = "25006"


def writer_engine(
    url: URL,
    *,
    lock: str,
    lock_timeout: float,
    durable: bool = True,
    schema: str | None = None,
    patient: bool = False,
) -> Engine:
    """A single connection whose transactions exclude those of all others with the same `lock`.

    Under READ COMMITTED, each statement sees all that was committed before the lock was had.
    `lock_timeout` is in seconds. What is not `durable` may lose its last commits in a crash of the
    server, never consistency. A `patient` one may take as long as it likes, for building what
    nobody waits for.
    """
    options: dict[str, Any] = {"lock_timeout": int(lock_timeout * 1000)}
    if not durable:
        options["synchronous_commit"] = "off"
    engine = create_engine(
        url.set(drivername=DRIVER),
        pool_size=1,
        max_overflow=0,
        connect_args=_connect_args(url, schema, options),
        hide_parameters=True,
    )
    take_lock = f"SELECT pg_advisory_xact_lock({lock_number(lock)})"
    if not patient:
        within = DURABLE_WITHIN if durable else OTHERS_WITHIN
        take_lock += f", set_config('transaction_timeout', '{within}', true)"

    event.listen(engine, "connect", _require_version)

    @event.listens_for(engine, "begin")
    def begin_locked(connection: Connection) -> None:
        connection.exec_driver_sql(take_lock)

    event.listen(engine, "handle_error", _leave_read_only)
    if not patient:
        IMPATIENCE.watch(engine.pool)
    return engine


def take_longer(connection: Connection) -> None:
    """Let this transaction of a writer last as long as making tables does."""
    # The server's clock runs on through a change, unless it was stopped in between.
    for within in (0, BUILT_WITHIN):
        connection.exec_driver_sql(f"SELECT set_config('transaction_timeout', '{within}', true)")


def require_fit(connection: Connection) -> None:
    """Raises ConfigurationError where the database cannot hold what people write."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database's encoding is {encoding}, which does not hold what people write: make "
            "one with ENCODING 'UTF8'."
        )


def _require_version(connection: psycopg.Connection, _record: object) -> None:
    """Raises ConfigurationError where the server is too old."""
    version = connection.info.server_version // 10_000
    if version < OLDEST:
        raise ConfigurationError(f"PostgreSQL {OLDEST} or newer is needed, and this is {version}.")


def async_reader_engine(url: URL) -> "AsyncEngine":
    """For queries of one statement each, which needs no transaction."""
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        url.set(drivername=DRIVER),
        pool_size=READERS,
        max_overflow=0,
        connect_args=_connect_args(url, None, {"default_transaction_read_only": "on"}),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )
    IMPATIENCE.watch(engine.sync_engine.pool)
    return engine


def async_writer_engine(url: URL) -> "AsyncEngine":
    """For what needs no lock: rows that only one node writes."""
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        url.set(drivername=DRIVER),
        pool_size=2,
        max_overflow=0,
        connect_args=_connect_args(url, None, {"transaction_timeout": OTHERS_WITHIN}),
        hide_parameters=True,
    )
    IMPATIENCE.watch(engine.sync_engine.pool)
    return engine


def reader_engine(url: URL, *, schema: str | None = None, patient: bool = False) -> Engine:
    """For queries of several statements, which see one snapshot."""
    engine = create_engine(
        url.set(drivername=DRIVER),
        pool_size=READERS,
        max_overflow=0,
        connect_args=_connect_args(url, schema, {"default_transaction_read_only": "on"}),
        isolation_level="REPEATABLE READ",
        hide_parameters=True,
    )
    if not patient:
        IMPATIENCE.watch(engine.pool)
    return engine


@contextmanager
def driver_of(connection: Connection) -> Iterator[psycopg.Connection]:
    """The driver's own connection, in the transaction that SQLAlchemy has begun.

    What it raises comes as SQLAlchemy's errors, and one that is lost is not used again.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        yield driver
    except psycopg.Error as error:
        gone = driver.closed or error.sqlstate == _READ_ONLY
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=gone
        ) from error


def lock_number(name: str) -> int:
    """The number of an advisory lock, which PostgreSQL knows by nothing else."""
    return int.from_bytes(sha256(f"dabir {name}".encode()).digest()[:8], "big", signed=True)


def conninfo_of(url: URL) -> str:
    """The address for psycopg itself. Holds the password.

    Raises ConfigurationError where it has a parameter that is unknown.
    """
    # Not as a URL: SQLAlchemy writes a space as `+` there, which libpq takes for a plus.
    _, parts = url.set(drivername=DRIVER).get_dialect()().create_connect_args(url)
    try:
        return make_conninfo(**parts)
    except psycopg.ProgrammingError:
        # Not chained: it can repeat the address, with the password.
        raise ConfigurationError(
            "DABIR_DATABASE_URL has a parameter that PostgreSQL's client does not know."
        ) from None


def vacuum(engine: Engine, tables: list[str]) -> None:
    """Take old versions of rows out of tables, so that they are overwritten by and by."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            connection.execute(text(f"VACUUM {table}"))


def _connect_args(url: URL, schema: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What a connection needs. What the address says of it goes before ours as far as it can.

    Raises ConfigurationError where it has a parameter that is unknown.
    """
    given = conninfo_to_dict(conninfo_of(url))
    settings = {"client_encoding": "utf8", "timezone": "UTC", "jit": "off", **options}
    if schema is not None:
        settings["search_path"] = schema
    ours = {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "dabir",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    # Of two settings of one name the later one counts.
    written = [str(given.get("options", "")), *(f"-c {n}={value}" for n, value in settings.items())]
    return {
        **{name: value for name, value in ours.items() if name not in given},
        "options": " ".join(written).strip(),
    }


def _leave_read_only(context: ExceptionContext) -> None:
    """What became a replica lets nobody write: the next connection may find who took its place."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True
