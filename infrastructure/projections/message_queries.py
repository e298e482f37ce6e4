"""Reading messages: pages of a branch, one message, the history above one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Integer, Row, bindparam, func, literal, select

from application.queries import (
    HistoryMessage,
    ListMessages,
    MessagesPage,
    MessageUsageView,
    MessageView,
    decimal_of,
)
from domain.chat import ChatNotFound, MessageNotFound, MessageUsage, Role
from infrastructure.projections.checkpoint import position_now
from infrastructure.projections.columns import Id
from infrastructure.projections.cursors import (
    MessageCursor,
    decode_cursor,
    encode_cursor,
    unknown_cursor,
)
from infrastructure.projections.message_tables import branches, messages
from infrastructure.projections.prepared import Prepared
from infrastructure.projections.texts import texts

Siblings: TypeAlias = dict[tuple[UUID, str], list[UUID]]
"""Message ids in time order, by the key of their parent and their role."""

_content = func.coalesce(texts.c.content, "")
"""Where `texts` is outer-joined."""

message_columns = (
    messages.c.id,
    messages.c.chat_id,
    messages.c.parent_key,
    messages.c.role,
    messages.c.status,
    messages.c.model,
    messages.c.created_at,
    messages.c.completed_at,
    messages.c.finish_reason,
    messages.c.error,
    messages.c.usage,
    _content.label("content"),
)
"""What `message_view` needs of `messages` outer-joined with `texts`."""


# Upwards from a message, step by step; only the steps that are asked for are read in full.
_above = (
    select(messages.c.number, messages.c.parent_key, literal(0).label("steps"))
    .where(
        messages.c.id == bindparam("start", type_=Id),
        messages.c.chat_id == bindparam("chat_id", type_=Id),
    )
    .cte("above", recursive=True)
)
_above = _above.union_all(
    select(messages.c.number, messages.c.parent_key, _above.c.steps + 1)
    .join_from(_above, messages, messages.c.id == _above.c.parent_key)
    .where(_above.c.steps + 1 < bindparam("stop", type_=Integer))
)
_with_texts = _above.join(messages, messages.c.number == _above.c.number).outerjoin(
    texts, texts.c.number == messages.c.number
)
_upwards = (
    select(*message_columns)
    .select_from(_with_texts)
    .where(_above.c.steps >= bindparam("skip", type_=Integer))
    .order_by(_above.c.steps)
)
# What a prompt is made of: asked for with each send, and for more rows than anything else.
_history = Prepared(
    select(
        messages.c.id,
        messages.c.parent_key,
        messages.c.role,
        _content.label("content"),
    )
    .select_from(_with_texts)
    .order_by(_above.c.steps),
    tuple[UUID, UUID, Role, str],
)

# Downwards from a message, to the newest child at each fork.
_child = messages.alias("child")
_below = (
    select(messages.c.id, literal(0).label("steps"))
    .where(messages.c.id == bindparam("start", type_=Id))
    .cte("below", recursive=True)
)
_below = _below.union_all(
    select(messages.c.id, _below.c.steps + 1).join_from(
        _below,
        messages,
        messages.c.number
        == select(func.max(_child.c.number))
        .where(
            _child.c.chat_id == bindparam("chat_id", type_=Id),
            _child.c.parent_key == _below.c.id,
        )
        .scalar_subquery(),
    )
)
_newest_below = select(_below.c.id).order_by(_below.c.steps.desc()).limit(1)

_active = Prepared(
    select(
        branches.c.leaf_id,
        branches.c.message_count,
        position_now.scalar_subquery().label("position"),
    ).where(branches.c.chat_id == bindparam("chat_id"), branches.c.owner == bindparam("owner")),
    tuple[UUID | None, int, int],
)
_length_to = select(messages.c.depth + 1).where(
    messages.c.id == bindparam("message_id"), messages.c.chat_id == bindparam("chat_id")
)
_siblings_of = (
    select(messages.c.id, messages.c.parent_key, messages.c.role)
    .where(
        messages.c.chat_id.in_(bindparam("chats", expanding=True)),
        messages.c.parent_key.in_(bindparam("parents", expanding=True)),
    )
    .order_by(messages.c.number)
)


class Branch(msgspec.Struct, frozen=True):
    """A path from a first message to a last one. `length` in messages."""

    leaf_id: UUID | None
    length: int


def list_messages(connection: Connection, principal: UUID, request: ListMessages) -> MessagesPage:
    """One page of a branch, in time order; page 0 ends with the branch's last message.

    Raises ChatNotFound, MessageNotFound (`branch`), InvalidRequest (`cursor`).
    """
    active, position = active_branch(connection, principal, request.chat_id)
    branch, skip = active, request.page * request.limit
    start = active.leaf_id
    if request.cursor is not None:
        cursor = decode_cursor(request.cursor, MessageCursor)
        length = _length(connection, request.chat_id, cursor.leaf_id)
        if length is None:
            raise unknown_cursor()
        branch, start, skip = Branch(cursor.leaf_id, length), cursor.message_id, 0
    elif request.branch is not None:
        branch = _branch_through(connection, request.chat_id, request.branch, active)
        start = branch.leaf_id
    rows = _walk(connection, request.chat_id, start, skip, request.limit)
    if request.cursor is not None and not rows:
        raise unknown_cursor()
    has_more = bool(rows) and rows[-1].parent_key != request.chat_id
    next_cursor = None
    if has_more and branch.leaf_id is not None:
        next_cursor = encode_cursor(MessageCursor(branch.leaf_id, rows[-1].parent_key))
    return MessagesPage(
        chat_id=request.chat_id,
        messages=message_views(connection, rows)[::-1],
        page=request.page,
        limit=request.limit,
        total=branch.length,
        has_more=has_more,
        next_cursor=next_cursor,
        position=position,
    )


def message(
    connection: Connection, principal: UUID, chat_id: UUID, message_id: UUID
) -> MessageView:
    """Raises ChatNotFound, MessageNotFound."""
    active_branch(connection, principal, chat_id)
    rows = _walk(connection, chat_id, message_id, 0, 1)
    if not rows:
        raise MessageNotFound(message_id)
    return message_views(connection, rows)[0]


def history(
    connection: Connection, principal: UUID, chat_id: UUID, message_id: UUID, limit: int
) -> list[HistoryMessage]:
    """The branch upwards from a message, itself first. Raises ChatNotFound, MessageNotFound."""
    active_branch(connection, principal, chat_id)
    rows = _history.rows(connection, start=message_id, chat_id=chat_id, stop=limit)
    if not rows and limit > 0:
        raise MessageNotFound(message_id)
    return [
        HistoryMessage(id_, None if parent_key == chat_id else parent_key, role, content)
        for id_, parent_key, role, content in rows
    ]


def active_branch(connection: Connection, principal: UUID, chat_id: UUID) -> tuple[Branch, int]:
    """The principal's chat's active branch, and the views' position. Raises ChatNotFound."""
    rows = _active.rows(connection, chat_id=chat_id, owner=principal)
    if not rows:
        raise ChatNotFound(chat_id)
    ((leaf_id, length, position),) = rows
    return Branch(leaf_id, length), position


def message_views(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]
) -> list[MessageView]:
    """The messages of rows that have `message_columns`."""
    siblings = _siblings(connection, rows) if rows else {}
    return [_message_view(row, siblings[row.parent_key, row.role]) for row in rows]


def _branch_through(
    connection: Connection, chat_id: UUID, message_id: UUID, active: Branch
) -> Branch:
    """The active branch where it has the message; else on from it by the newest children."""
    length = _length(connection, chat_id, message_id)
    if length is None:
        raise MessageNotFound(message_id)
    steps = active.length - length
    if steps >= 0:
        at_its_depth = _walk(connection, chat_id, active.leaf_id, steps, 1)
        if at_its_depth and at_its_depth[0].id == message_id:
            return active
    leaf_id = connection.scalar(_newest_below, {"start": message_id, "chat_id": chat_id})
    assert leaf_id is not None
    return Branch(leaf_id, _length(connection, chat_id, leaf_id) or 0)


def _walk(
    connection: Connection, chat_id: UUID, start: UUID | None, skip: int, limit: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """From a message of the chat upwards: `limit` messages after `skip`."""
    bounds = {"start": start, "chat_id": chat_id, "skip": skip, "stop": skip + limit}
    return connection.execute(_upwards, bounds).all()


def _length(connection: Connection, chat_id: UUID, message_id: UUID) -> int | None:
    """Of the path from the first message to this one; None if the chat has no such message."""
    return connection.scalar(_length_to, {"chat_id": chat_id, "message_id": message_id})


def _siblings(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> Siblings:
    chats = {row.chat_id for row in rows}
    parents = {row.parent_key for row in rows}
    found = connection.execute(_siblings_of, {"chats": list(chats), "parents": list(parents)})
    siblings: Siblings = defaultdict(list)
    for message_id, parent_key, role in found:
        siblings[parent_key, role].append(message_id)
    return siblings


def _message_view(row: Row[*tuple[Any, ...]], versions: list[UUID]) -> MessageView:
    return MessageView(
        id=row.id,
        chat_id=row.chat_id,
        parent_id=_parent_id(row),
        role=row.role,
        content=row.content,
        status=row.status,
        model=row.model,
        created_at=row.created_at,
        completed_at=row.completed_at,
        version=versions.index(row.id) + 1,
        versions=versions,
        usage=_usage_view(row.usage),
        finish_reason=row.finish_reason,
        error=row.error,
    )


def _parent_id(row: Row[*tuple[Any, ...]]) -> UUID | None:
    return None if row.parent_key == row.chat_id else row.parent_key


def _usage_view(stored: bytes | None) -> MessageUsageView | None:
    if stored is None:
        return None
    usage = _usage.decode(stored)
    return MessageUsageView(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        cost=decimal_of(usage.cost),
        currency=usage.currency,
        estimated=usage.estimated,
        price_source=usage.price_source,
    )


_usage = msgspec.json.Decoder(MessageUsage)
