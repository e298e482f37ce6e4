"""Migrations of the log's database: what they make, and when a start runs or refuses them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

import infrastructure.event_store.migrations as migrations
from application.errors import ConfigurationError
from domain.chat import Chat
from infrastructure.database import is_postgres, sync_writer_engine
from infrastructure.event_store.migrations.at_start import (
    LIVE,
    NEWEST,
    VERSION_TABLE,
    stored_version,
)
from infrastructure.event_store.migrations.log_tables import LogTables
from infrastructure.event_store.schema import set_up
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import SetClock, append_of, new_chat, opened

TABLES = {name for metadata in LIVE for name in metadata.tables}


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    engine = sync_writer_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def log_of_before(url: str, *missing: str) -> None:
    """A log as it was made before versions were kept, when some tables were not thought of."""
    with writing(url) as connection:
        set_up(connection)
        for name in (VERSION_TABLE, *missing):
            connection.execute(text(f"DROP TABLE {name}"))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def shapes(connection: Connection) -> dict[str, Any]:
    """All that the engine tells of each table."""
    inspector = inspect(connection)
    return {
        name: {
            "columns": [
                column | {"type": str(column["type"])} for column in inspector.get_columns(name)
            ],
            "key": inspector.get_pk_constraint(name),
            "unique": inspector.get_unique_constraints(name),
            "indexes": inspector.get_indexes(name),
            "options": inspector.get_table_options(name),
        }
        for name in inspector.get_table_names()
    }


def test_the_migrations_make_the_tables_that_the_code_works_with(url: str) -> None:
    assert LogTables(url).upgrade() is None
    with writing(url) as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        # It takes several, whatever its types say.
        known: Any = LIVE
        assert compare_metadata(context, known) == []
        assert tables(connection) == {*TABLES, VERSION_TABLE}


def test_an_empty_database_is_set_up_as_the_migrations_would(url: str) -> None:
    with writing(url) as connection:
        set_up(connection)
        at_once = shapes(connection)
        for name in tables(connection):
            connection.execute(text(f"DROP TABLE {name}"))
    LogTables(url).upgrade()
    with writing(url) as connection:
        assert shapes(connection) == at_once
        assert stored_version(connection) == NEWEST


def test_the_newest_migration_is_what_the_code_asks_for() -> None:
    (folder,) = migrations.__path__
    script = ScriptDirectory(folder)
    assert script.get_heads() == [NEWEST]
    # A later release is told by its greater number.
    assert [each.revision for each in script.walk_revisions()] == [
        f"{number:04}" for number in range(int(NEWEST), 0, -1)
    ]


def test_nodes_that_start_at_once_make_one_log(url: str) -> None:
    async def start() -> str:
        async with opened(url) as store:
            return store.log_id

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(start() for _ in range(4)))

    assert len(set(asyncio.run(all_at_once()))) == 1


def test_a_log_from_before_versions_is_migrated_with_all_that_is_in_it(url: str) -> None:
    async def scenario() -> None:
        chat = new_chat()
        async with opened(url) as store:
            await store.append(append_of(chat))
            log_id = store.log_id
        log_of_before(url, "audit_tiles", "audit_checkpoints", "view_runners", "address_uses")
        if is_postgres(url):
            with pytest.raises(ConfigurationError, match="dabir db upgrade"):
                await SqlEventStore.open(url, clock=SetClock())
            assert LogTables(url).stored() is None
            assert LogTables(url).upgrade() is None
        async with opened(url) as store:
            assert store.log_id == log_id
            assert (await store.load(Chat, chat.id)).state.owner == chat.state.owner

    asyncio.run(scenario())
    assert LogTables(url).stored() == NEWEST
    with writing(url) as connection:
        assert tables(connection) == {*TABLES, VERSION_TABLE}
        assert [index["name"] for index in inspect(connection).get_indexes("address_uses")] == [
            "address_uses_by_end"
        ]


def test_a_log_of_a_later_release_is_refused_and_left_alone(url: str) -> None:
    async def scenario() -> None:
        async with opened(url):
            pass
        with writing(url) as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        with pytest.raises(ConfigurationError, match="later release"):
            await SqlEventStore.open(url, clock=SetClock())

    asyncio.run(scenario())
    with pytest.raises(ConfigurationError, match="later release"):
        LogTables(url).upgrade()
    assert LogTables(url).stored() == "9999"


def test_a_database_of_something_else_is_refused_and_left_alone(url: str) -> None:
    with writing(url) as connection:
        connection.execute(text("CREATE TABLE events (of_another_program INTEGER)"))
    with pytest.raises(ConfigurationError, match=r"something else \(events\)"):
        asyncio.run(SqlEventStore.open(url, clock=SetClock()))
    with pytest.raises(ConfigurationError, match=r"something else \(events\)"):
        LogTables(url).upgrade()
    with writing(url) as connection:
        assert tables(connection) == {"events"}


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    log_of_before(url, "streams")
    with writing(url) as connection:
        connection.execute(text("DROP INDEX address_uses_by_end"))
        connection.execute(text("ALTER TABLE address_uses RENAME COLUMN window_ends TO ends"))
        before = tables(connection)
    with pytest.raises(DBAPIError, match="window_ends"):
        LogTables(url).upgrade()
    with writing(url) as connection:
        assert tables(connection) == before


def test_migrating_twice_changes_nothing(url: str) -> None:
    LogTables(url).upgrade()
    with writing(url) as connection:
        before = shapes(connection)
    assert LogTables(url).upgrade() == NEWEST
    with writing(url) as connection:
        assert shapes(connection) == before


def test_alembic_is_not_imported_where_there_is_nothing_to_migrate(url: str) -> None:
    script = (
        "import sys\n"
        "from infrastructure.database import sync_writer_engine\n"
        "from infrastructure.event_store.schema import set_up\n"
        "from infrastructure.event_store.migrations.log_tables import LogTables\n"
        "for _ in range(2):\n"
        "    with sync_writer_engine(sys.argv[1]).begin() as connection:\n"
        "        set_up(connection)\n"
        "assert LogTables(sys.argv[1]).stored()\n"
        "sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
