"""The log, what belongs to it, and the tree over it.

Logs from before there were versions have some of these tables: only what is missing is made.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# On SQLite only a column declared INTEGER is the row's own number.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create(
        "events",
        sa.Column("position", POSITION, primary_key=True, autoincrement=False),
        sa.Column("stream_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("topic", sa.String, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("personal", sa.LargeBinary),
        sa.Column("payload_digest", sa.LargeBinary, nullable=False),
        sa.Column("personal_digest", sa.LargeBinary),
        sa.Column("meta", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("stream_id", "version"),
    )
    create(
        "streams",
        sa.Column("stream_id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("owner", sa.Uuid, nullable=False),
        sqlite_with_rowid=False,
    )
    create(
        "commands",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    create(
        "principals",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("kind", "name"),
    )
    create(
        "open_replies",
        sa.Column("reply_id", sa.Uuid, primary_key=True),
        sa.Column("chat_id", sa.Uuid, nullable=False),
        sa.Column("payer", sa.Uuid, nullable=False),
        sa.Column("node", sa.Uuid, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("reasoning", sa.LargeBinary, nullable=False),
        sa.Column("address", sa.LargeBinary),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    create(
        "leases",
        sa.Column("node", sa.Uuid, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    create(
        "snapshots",
        sa.Column("stream_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("schema", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("created_on", sa.BigInteger, nullable=False),
        sa.Column("modified_on", sa.BigInteger, nullable=False),
    )
    create(
        "address_uses",
        sa.Column("address", sa.LargeBinary, primary_key=True),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("window_ends", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("address_uses_by_end", "address_uses", ["window_ends"], if_not_exists=True)
    create(
        "log_meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    create(
        "erasures",
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
    )
    create(
        "view_generations",
        sa.Column("code_version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.String, nullable=False),
    )
    create(
        "view_builds",
        sa.Column("code_version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.String, nullable=False),
        sa.Column("head", POSITION, nullable=False),
        sa.Column("boot", sa.String, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
    )
    create(
        "view_runners",
        sa.Column("code_version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node", sa.Uuid, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    create(
        "audit_tiles",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tile", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
    )
    create(
        "audit_checkpoints",
        sa.Column("size", POSITION, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("signed_at", sa.BigInteger, nullable=False),
        sa.Column("delivered_at", sa.BigInteger),
    )


def create(name: str, *columns: sa.schema.SchemaItem, **options: Any) -> None:
    op.create_table(name, *columns, if_not_exists=True, **options)
