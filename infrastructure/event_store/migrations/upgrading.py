"""Migrating the tables of the log's database, by Alembic."""

import threading

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

# What a migration works with is the module `alembic.op`, of which a process has one.
_one_at_a_time = threading.Lock()


def upgrade(connection: Connection) -> None:
    """Migrate to the newest version, in the transaction that is open, under the write lock.

    All of it is done or nothing: both engines take definitions back with their transaction.
    """
    config = Config()
    config.set_main_option("script_location", "infrastructure.event_store:migrations")
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, "head")
