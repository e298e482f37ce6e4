"""The checkpoints that were signed, each with when it was handed out."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Column, Connection, String, Table, select

from application.audit import Checkpoint
from infrastructure.audit.tree import metadata
from infrastructure.event_store.schema import Bytes, Position

checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", Position, primary_key=True, autoincrement=False),
    Column("root", Bytes, nullable=False),
    Column("note", String, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("delivered_at", BigInteger),
)

rows = select(*(checkpoints.c[field] for field in Checkpoint.__struct_fields__))
"""What `checkpoint_of` takes."""


def last_checkpoint(connection: Connection) -> Checkpoint | None:
    row = connection.execute(rows.order_by(checkpoints.c.size.desc()).limit(1)).first()
    return checkpoint_of(row) if row else None


def checkpoint_at(connection: Connection, size: int) -> Checkpoint | None:
    row = connection.execute(rows.where(checkpoints.c.size == size)).first()
    return checkpoint_of(row) if row else None


def checkpoint_of(row: Sequence[object]) -> Checkpoint:
    return msgspec.convert(dict(zip(Checkpoint.__struct_fields__, row, strict=True)), Checkpoint)
