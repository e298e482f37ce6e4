"""Databases on PostgreSQL that the log cannot be in, or not for now."""

import asyncio
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError

from application.errors import ConfigurationError
from infrastructure.database import outside_cause, sync_reader_engine, sync_writer_engine
from infrastructure.event_store.store import SqlEventStore
from infrastructure.postgres import conninfo_of
from tests.engines import Postgres, postgres_server
from tests.event_store.given import SetClock, append_of, new_chat, opened


def execute(url: str, statement: str, **names: str) -> None:
    """Run one statement, with `names` as identifiers in it."""
    composed = sql.SQL(statement).format(**{n: sql.Identifier(v) for n, v in names.items()})
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    writable = "-c default_transaction_read_only=off"
    with psycopg.connect(dsn, autocommit=True, options=writable) as connection:
        connection.execute(composed)


def database_of(url: str) -> str:
    name = make_url(url).database
    assert name is not None
    return name


def with_query(url: str, **query: str) -> URL:
    return make_url(url).update_query_dict(query)


def open_and_close(url: str | URL) -> None:
    address = make_url(url).render_as_string(hide_password=False)

    async def scenario() -> None:
        await (await SqlEventStore.open(address, clock=SetClock())).close()

    asyncio.run(scenario())


def test_an_old_server_is_refused_by_its_version() -> None:
    with (
        postgres_server(version=16) as postgres,
        pytest.raises(ConfigurationError, match="PostgreSQL 17 or newer is needed, and this is 16"),
    ):
        open_and_close(postgres.create())


def test_an_encoding_that_does_not_hold_all_texts_is_refused(
    postgres: Postgres, database_url: str
) -> None:
    name = f"dabir_test_latin_{uuid4().hex[:12]}"
    latin = make_url(database_url).set(database=name).render_as_string(hide_password=False)
    execute(
        database_url,
        "CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
        name=name,
    )
    try:
        with pytest.raises(ConfigurationError, match="encoding is LATIN1"):
            open_and_close(latin)
    finally:
        postgres.drop(latin)


def test_a_database_that_is_read_only_is_left_as_soon_as_another_takes_its_place(
    database_url: str,
) -> None:
    """It says so to whoever is connected, and goes on saying so."""
    read_only = "ALTER DATABASE {name} SET default_transaction_read_only = on"
    writable = "ALTER DATABASE {name} RESET default_transaction_read_only"

    async def scenario() -> None:
        execute(database_url, read_only, name=database_of(database_url))
        async with opened(database_url) as store:
            execute(database_url, writable, name=database_of(database_url))
            await store.append(append_of(new_chat()))

    open_and_close(database_url)
    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "read-only"),
        ("ALTER DATABASE {name} SET search_path = nowhere", "search_path"),
        ("ALTER DATABASE {name} CONNECTION LIMIT 0", "does not answer"),
    ],
)
def test_what_is_wrong_with_a_database_is_said_in_a_line(
    database_url: str, spoiled: str, words: str
) -> None:
    execute(database_url, spoiled, name=database_of(database_url))
    role = f"dabir_test_{uuid4().hex[:12]}"
    execute(database_url, "CREATE ROLE {role} LOGIN", role=role)
    execute(database_url, "GRANT ALL ON SCHEMA public TO {role}", role=role)
    try:
        with pytest.raises(DBAPIError) as refused:
            open_and_close(make_url(database_url).set(username=role))
    finally:
        execute(database_url, "DROP OWNED BY {role}", role=role)
        execute(database_url, "DROP ROLE {role}", role=role)
    assert words in str(outside_cause(refused.value))


def test_a_role_without_rights_is_said_in_a_line(database_url: str) -> None:
    role = f"dabir_test_{uuid4().hex[:12]}"
    execute(database_url, "CREATE ROLE {role} LOGIN", role=role)
    try:
        with pytest.raises(DBAPIError) as refused:
            open_and_close(make_url(database_url).set(username=role))
    finally:
        execute(database_url, "DROP ROLE {role}", role=role)
    assert "must own its database" in str(outside_cause(refused.value))


def test_an_unknown_parameter_is_refused_and_the_address_not_repeated(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="parameter") as refused:
        open_and_close(with_query(database_url, nonsense="1"))
    assert database_of(database_url) not in str(refused.value)


def test_options_of_the_address_count_beside_ours(database_url: str) -> None:
    url = with_query(database_url, options="-c work_mem=5MB", application_name="chats")
    with psycopg.connect(conninfo_of(url)) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
    for engine in (sync_writer_engine(url), sync_reader_engine(url)):
        with engine.connect() as reading:
            shown = [
                reading.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("work_mem", "application_name", "timezone", "jit")
            ]
        engine.dispose()
        assert shown == ["5MB", "chats", "UTC", "off"]
