"""The tables of the messages view, and their rows in memory."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from domain.chat import ReplyKind, Role, Status
from infrastructure.projections.columns import Id, Instant, Number, Words, metadata
from infrastructure.projections.working_set import Stored

messages = Table(
    "messages",
    metadata,
    # The position of the message's first event: unique, and in time order.
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("id", Id, nullable=False),
    Column("chat_id", Id, nullable=False),
    # The parent's id, the chat's for a first message: never NULL, so that siblings are found.
    Column("parent_key", Id, nullable=False),
    Column("role", String, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("status", String, nullable=False),
    # NULL while there is no text, and where none came.
    Column("preview", Words),
    Column("model", Words),
    Column("created_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("finish_reason", Words),
    Column("error", String),
    # A `domain.chat.MessageUsage` in JSON.
    Column("usage", LargeBinary),
    Index("messages_by_id", "id", unique=True),
    Index("messages_tree", "chat_id", "parent_key", "number"),
)

branches = Table(
    "branches",
    metadata,
    Column("chat_id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("leaf_id", Id),
    Column("message_count", Integer, nullable=False),
    Column("last_role", String),
    Column("last_preview", Words),
    sqlite_with_rowid=False,
)

replies = Table(
    "replies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("chat_id", Id, nullable=False),
    # Whose the chat was when it was deleted; NULL as long as it exists.
    Column("last_owner", Id),
    Column("payer", Id, nullable=False),
    Column("user_message_id", Id, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("kind", String, nullable=False),
    Column("replaces", Id),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    # Of its last event.
    Column("position", Number, nullable=False),
    Index("replies_of_chat", "chat_id", "started_at"),
    sqlite_with_rowid=False,
)


class MessageRow(msgspec.Struct):
    number: int
    id: UUID
    chat_id: UUID
    parent_key: UUID
    role: Role
    depth: int
    created_at: datetime
    status: Status = "complete"
    preview: str | None = None
    model: str | None = None
    completed_at: datetime | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: bytes | None = None


class BranchRow(msgspec.Struct):
    chat_id: UUID
    owner: UUID
    leaf_id: UUID | None = None
    message_count: int = 0
    last_role: Role | None = None
    last_preview: str | None = None


class ReplyRow(msgspec.Struct):
    id: UUID
    chat_id: UUID
    payer: UUID
    user_message_id: UUID
    message_id: UUID
    kind: ReplyKind
    replaces: UUID | None
    started_at: datetime
    position: int
    ended_at: datetime | None = None
    last_owner: UUID | None = None


message_rows = Stored(messages, MessageRow, messages.c.id)
branch_rows = Stored(branches, BranchRow, branches.c.chat_id)
reply_rows = Stored(replies, ReplyRow, replies.c.id)
