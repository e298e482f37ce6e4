"""The log's tables. Times are integers: microseconds since 1970 in UTC."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    insert,
    select,
)

from application.errors import ConfigurationError
from application.ports import CommandKey

metadata = MetaData()


class Bytes(LargeBinary):
    """Handed to the driver as they are; both of ours take bytes."""

    def bind_processor(self, dialect: Dialect) -> None:
        return None


# On SQLite only a column declared INTEGER is the row's own number; any other needs a second tree.
Position = BigInteger().with_variant(Integer(), "sqlite")

events = Table(
    "events",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("stream_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("topic", String, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("payload", Bytes, nullable=False),
    # NULL where the event has no personal field, or was erased.
    Column("personal", Bytes),
    # SHA-256 of the stored bytes; the second one outlives what it is of.
    Column("payload_digest", Bytes, nullable=False),
    Column("personal_digest", Bytes),
    Column("meta", Bytes, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    UniqueConstraint("stream_id", "version"),
)

# Whose each stream is. An account's stream has its principal's id.
streams = Table(
    "streams",
    metadata,
    Column("stream_id", Uuid, primary_key=True),
    Column("kind", String, nullable=False),
    Column("owner", Uuid, nullable=False),
    sqlite_with_rowid=False,
)

# `id` is the digest of route, principal and key: one column, because SQLite reads the whole table
# to find several rows by a key of several columns.
commands = Table(
    "commands",
    metadata,
    Column("id", Bytes, primary_key=True),
    Column("route", String, nullable=False),
    Column("principal", Uuid, nullable=False),
    Column("request_digest", Bytes, nullable=False),
    Column("result", Bytes, nullable=False),
    sqlite_with_rowid=False,
)

# The only place where an internal id meets a name: erasing a row here makes the log anonymous.
principals = Table(
    "principals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("kind", "name"),
)

open_replies = Table(
    "open_replies",
    metadata,
    Column("reply_id", Uuid, primary_key=True),
    Column("chat_id", Uuid, nullable=False),
    Column("payer", Uuid, nullable=False),
    Column("node", Uuid, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("text", Bytes, nullable=False),
    Column("reasoning", Bytes, nullable=False),
    Column("address", Bytes),
    Column("updated_at", BigInteger, nullable=False),
)

# A row stays when its lease ends, so that no epoch is ever given twice.
leases = Table(
    "leases",
    metadata,
    Column("node", Uuid, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("stream_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("schema", Bytes, nullable=False),
    Column("state", Bytes, nullable=False),
    Column("created_on", BigInteger, nullable=False),
    Column("modified_on", BigInteger, nullable=False),
)

address_uses = Table(
    "address_uses",
    metadata,
    Column("address", Bytes, primary_key=True),
    Column("used", Integer, nullable=False),
    # Seconds since 1970.
    Column("window_ends", Double, nullable=False),
    Index("address_uses_by_end", "window_ends"),
    sqlite_with_rowid=False,
)

log_meta = Table(
    "log_meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

# Who was erased, or is being: nothing becomes theirs any more.
erasures = Table(
    "erasures",
    metadata,
    Column("principal", Uuid, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),
    # NULL until all that was theirs is gone, the old views too.
    Column("finished_at", BigInteger),
)

# Which generation of the views is live, for each version of the views' code.
view_generations = Table(
    "view_generations",
    metadata,
    Column("code_version", Integer, primary_key=True, autoincrement=False),
    Column("generation", String, nullable=False),
)

# A generation that is being built, or waits to become the live one of its version.
view_builds = Table(
    "view_builds",
    metadata,
    Column("code_version", Integer, primary_key=True, autoincrement=False),
    Column("generation", String, nullable=False),
    # The log's head when it was begun; beyond it the build catches up event by event.
    Column("head", Position, nullable=False),
    # Of the machine's start: what was written without syncing is trusted no longer than that.
    Column("boot", String, nullable=False),
    Column("ready", Boolean, nullable=False),
)

# Which node keeps the views of a version up: one at a time, where several share a database.
view_runners = Table(
    "view_runners",
    metadata,
    Column("code_version", Integer, primary_key=True, autoincrement=False),
    Column("node", Uuid, nullable=False),
    # By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
)


def command_id(key: CommandKey) -> bytes:
    """The digest that a command is found by."""
    return sha256(msgspec.json.encode((key.route, key.principal, key.key))).digest()


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """A time as it is stored."""
    return (at - EPOCH) // MICROSECOND


def time_of(stored: int) -> datetime:
    return EPOCH + timedelta(microseconds=stored)


def set_up(connection: Connection) -> str:
    """Make or migrate the tables, under the write lock. Returns the log's id, made once.

    Raises ConfigurationError where they are of a release that this one cannot work with.
    """
    # It knows these tables, and others that are declared by what stands here.
    from infrastructure.event_store.migrations.at_start import bring_up_to_date

    if connection.dialect.name == "postgresql":
        from infrastructure.postgres import require_fit

        require_fit(connection)
    bring_up_to_date(connection)
    log_id = connection.scalar(select(log_meta.c.value).where(log_meta.c.key == "log_id"))
    if log_id is None:
        log_id = str(uuid4())
        connection.execute(insert(log_meta).values(key="log_id", value=log_id))
    return log_id


def pair_with_keyring(connection: Connection, keyring_id: str | None) -> None:
    """Bind a log that is sealed to its file of keys. Raises ConfigurationError for another one."""
    paired = connection.scalar(select(log_meta.c.value).where(log_meta.c.key == "keyring"))
    if paired is None and keyring_id is not None:
        connection.execute(insert(log_meta).values(key="keyring", value=keyring_id))
    elif paired is not None and keyring_id is None:
        raise ConfigurationError(
            "the contents of this log are sealed: set DABIR_MASTER_KEY or DABIR_MASTER_KEY_FILE."
        )
    elif paired != keyring_id:
        raise ConfigurationError(
            "the contents of this log are sealed with another keys.db: put it into the data folder."
        )
