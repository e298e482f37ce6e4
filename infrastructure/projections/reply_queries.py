"""Reading replies: one by its id, and a principal's newest."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from application.queries import MessageView, ReplyView
from infrastructure.projections.chat_list import chats
from infrastructure.projections.message_queries import message_columns, message_views
from infrastructure.projections.message_tables import branches, messages, replies
from infrastructure.projections.texts import texts

CHAT_NOT_FOUND = "CHAT_NOT_FOUND"
"""The code of a reply whose chat was deleted."""

# Names that meet no message's column.
_reply_columns = (
    replies.c.id.label("reply_id"),
    replies.c.chat_id.label("reply_chat_id"),
    replies.c.last_owner,
    replies.c.payer,
    replies.c.user_message_id,
    replies.c.message_id,
    replies.c.kind,
    replies.c.replaces,
    replies.c.started_at,
    replies.c.ended_at,
    replies.c.position,
    branches.c.owner,
    texts.c.reasoning,
)
_replies = select(*_reply_columns, *message_columns).select_from(
    replies.outerjoin(branches, branches.c.chat_id == replies.c.chat_id)
    .outerjoin(messages, messages.c.id == replies.c.message_id)
    .outerjoin(texts, texts.c.number == messages.c.number)
)


def reply(connection: Connection, reply_id: UUID) -> ReplyView | None:
    """Anybody's reply; of a deleted chat it is known that it was, and nothing of its text."""
    row = connection.execute(_replies.where(replies.c.id == reply_id)).one_or_none()
    if row is None:
        return None
    deleted = row.last_owner is not None
    return ReplyView(
        reply_id=row.reply_id,
        chat_id=row.reply_chat_id,
        owner=row.last_owner if deleted else row.owner,
        payer=row.payer,
        user_message_id=row.user_message_id,
        kind=row.kind,
        replaces=row.replaces,
        started_at=row.started_at,
        ended_at=row.ended_at,
        position=row.position,
        reasoning=row.reasoning,
        message=_gone(row) if deleted else message_views(connection, [row])[0],
        chat_deleted=deleted,
    )


def newest_reply(
    connection: Connection, principal: UUID, started_since: datetime, chat_id: UUID | None
) -> UUID | None:
    """The reply of the principal's chats that was started last, at a time or after it.

    A chat that a message has made is as old as its first reply.
    """
    newest = (
        select(replies.c.id)
        .join_from(chats, replies, replies.c.chat_id == chats.c.id)
        .where(
            chats.c.owner == principal,
            # A reply's start is activity, so that a chat which is older has none that is newer.
            # Both values of `archived`, as it comes before the time in the index.
            chats.c.archived.in_((False, True)),
            chats.c.updated_at >= started_since,
            replies.c.started_at >= started_since,
        )
        .order_by(replies.c.started_at.desc(), replies.c.position.desc())
        .limit(1)
    )
    if chat_id is not None:
        newest = newest.where(chats.c.id == chat_id)
    return connection.scalar(newest)


def _gone(row: Row[*tuple[Any, ...]]) -> MessageView:
    return MessageView(
        id=row.message_id,
        chat_id=row.reply_chat_id,
        parent_id=row.user_message_id,
        role="assistant",
        content="",
        status="failed",
        model=None,
        created_at=row.started_at,
        completed_at=row.ended_at,
        version=1,
        versions=[row.message_id],
        usage=None,
        finish_reason=None,
        error=CHAT_NOT_FOUND,
    )
