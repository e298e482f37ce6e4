"""What a start does about the tables of the log's database.

Alembic is not imported where there is nothing to migrate: it would cost every operator's command
its start.
"""

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from application.errors import ConfigurationError
from infrastructure.audit.checkpoints import checkpoints
from infrastructure.event_store.schema import events

NEWEST = "0001"
"""The version of the tables that this release works with: the newest in `versions/`."""

VERSION_TABLE = "dabir_schema"

LIVE = [events.metadata, checkpoints.metadata]
"""All that is not disposable in the log's database, as the code has it."""

_SIGN = "log_meta"
"""Every log has this table, whatever its version, and hardly any other database."""

# Alembic's own, to the letter: it writes here from the first migration on.
_schema = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def stored_version(connection: Connection) -> str | None:
    """None where the database is empty, or from before versions were kept."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(_schema.c.version_num))


def checked_version(connection: Connection) -> str | None:
    """As `stored_version`.

    Raises ConfigurationError where a later release has been here, or something else than Dabir.
    """
    stored = stored_version(connection)
    if stored is None:
        names = set(inspect(connection).get_table_names())
        taken = {name for metadata in LIVE for name in metadata.tables} & names
        if taken and _SIGN not in taken:
            raise ConfigurationError(
                f"the database has tables of something else ({', '.join(sorted(taken))}): "
                "give Dabir one of its own."
            )
    # Versions are numbers of four digits.
    elif stored > NEWEST:
        raise ConfigurationError(
            f"the log's tables are of a later release ({stored}, known here is {NEWEST}): "
            "run that release, or restore a backup from before it."
        )
    return stored


def bring_up_to_date(connection: Connection) -> None:
    """Make or migrate the tables, under the write lock.

    Raises ConfigurationError as `checked_version`, and on PostgreSQL also where the tables are of
    an earlier release, as other nodes may still work with them.
    """
    stored = checked_version(connection)
    if stored == NEWEST:
        return
    if stored is None and not inspect(connection).has_table(_SIGN):
        _create(connection)
    elif connection.dialect.name == "sqlite":
        from infrastructure.event_store.migrations.upgrading import upgrade

        upgrade(connection)
    else:
        raise ConfigurationError(
            f"the log's tables are of an earlier release ({stored or 'before 0001'}, needed here "
            f"is {NEWEST}): run `dabir db upgrade` of this release."
        )


def _create(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        from infrastructure.postgres import take_longer

        take_longer(connection)
    for metadata in LIVE:
        metadata.create_all(connection, checkfirst=False)
    _schema.create(connection)
    connection.execute(insert(_schema).values(version_num=NEWEST))
