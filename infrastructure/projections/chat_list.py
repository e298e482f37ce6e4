"""The view of a principal's chats, newest activity first.

Activity is a message sent and a reply started or ended; `updated_at` is its time. So the order
and the time shown agree, and a chat that is renamed, archived or claimed stays in its place.
Totals are kept, not counted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    bindparam,
    select,
    tuple_,
)

from application.ports import Recorded
from application.queries import ChatAt, ChatsPage, ChatView, LastMessage, ListChats
from domain.chat import Chat, ChatNotFound, Role
from infrastructure.projections.checkpoint import checkpoint, position_now
from infrastructure.projections.columns import (
    Id,
    Instant,
    Words,
    as_stored,
    metadata,
    time_of,
)
from infrastructure.projections.cursors import ChatCursor, decode_cursor, encode_cursor
from infrastructure.projections.message_tables import branches
from infrastructure.projections.prepared import Prepared
from infrastructure.projections.view import Handlers, Storage
from infrastructure.projections.working_set import Stored

chats = Table(
    "chats",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("title", Words),
    Column("model", Words),
    Column("archived", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("active_reply_id", Id),
    Index("chats_newest_first", "owner", "archived", "updated_at", "id"),
    sqlite_with_rowid=False,
)

chat_counts = Table(
    "chat_counts",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("active", Integer, nullable=False),
    Column("archived", Integer, nullable=False),
    sqlite_with_rowid=False,
)


class ChatRow(msgspec.Struct):
    id: UUID
    owner: UUID
    title: str | None
    model: str | None
    archived: bool
    created_at: datetime
    updated_at: datetime
    active_reply_id: UUID | None = None


class CountsRow(msgspec.Struct):
    owner: UUID
    active: int = 0
    archived: int = 0


_chats = Stored(chats, ChatRow, chats.c.id)
_counts = Stored(chat_counts, CountsRow, chat_counts.c.owner)

ReplyEnded = (
    Chat.MessageCompleted | Chat.MessageRegenerated | Chat.ReplyFailed | Chat.ReplyInterrupted
)


class ChatList:
    name = "chat_list"

    def __init__(self, storage: Storage) -> None:
        self.chats = storage.rows(_chats)
        self.counts = storage.rows(_counts)
        self.handlers: Handlers = {
            Chat.Created: self.on_created,
            Chat.Renamed: self.on_renamed,
            Chat.ArchiveChanged: self.on_archive_changed,
            Chat.Deleted: self.on_deleted,
            Chat.Erased: self.on_erased,
            Chat.Claimed: self.on_claimed,
            Chat.MessageSent: self.on_message_sent,
            Chat.ReplyStarted: self.on_reply_started,
            Chat.MessageCompleted: self.on_reply_ended,
            Chat.MessageRegenerated: self.on_reply_ended,
            Chat.ReplyFailed: self.on_reply_ended,
            Chat.ReplyInterrupted: self.on_reply_ended,
        }

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        created = {r.stream_id for r in batch if isinstance(r.event, Chat.Created)}
        self.chats.prefetch({r.stream_id for r in batch} - created)
        self.counts.prefetch(r.event.owner for r in batch if isinstance(r.event, Chat.Created))

    def flush(self) -> None:
        self.chats.flush()
        self.counts.flush()

    def on_created(self, event: Chat.Created, recorded: Recorded) -> None:
        self.chats.add(
            recorded.stream_id,
            ChatRow(
                id=recorded.stream_id,
                owner=event.owner,
                title=event.title,
                model=event.model,
                archived=False,
                created_at=event.timestamp,
                updated_at=event.timestamp,
            ),
        )
        self._count(event.owner, False, 1)

    def on_renamed(self, event: Chat.Renamed, recorded: Recorded) -> None:
        self.chats.change(recorded.stream_id).title = event.title

    def on_archive_changed(self, event: Chat.ArchiveChanged, recorded: Recorded) -> None:
        chat = self.chats.change(recorded.stream_id)
        self._count(chat.owner, chat.archived, -1)
        chat.archived = event.archived
        self._count(chat.owner, chat.archived, 1)

    def on_deleted(self, event: Chat.Deleted, recorded: Recorded) -> None:
        self._delete(recorded.stream_id)

    def on_erased(self, event: Chat.Erased, recorded: Recorded) -> None:
        if self.chats.find(recorded.stream_id) is not None:
            self._delete(recorded.stream_id)

    def on_claimed(self, event: Chat.Claimed, recorded: Recorded) -> None:
        chat = self.chats.change(recorded.stream_id)
        self._count(chat.owner, chat.archived, -1)
        chat.owner = event.owner
        self._count(chat.owner, chat.archived, 1)

    def on_message_sent(self, event: Chat.MessageSent, recorded: Recorded) -> None:
        self._active(recorded)

    def on_reply_started(self, event: Chat.ReplyStarted, recorded: Recorded) -> None:
        chat = self._active(recorded)
        chat.model = event.model
        chat.active_reply_id = event.reply_id

    def on_reply_ended(self, event: ReplyEnded, recorded: Recorded) -> None:
        self._active(recorded).active_reply_id = None

    def _active(self, recorded: Recorded) -> ChatRow:
        chat = self.chats.change(recorded.stream_id)
        # Clocks of nodes differ; a chat never moves back.
        chat.updated_at = max(chat.updated_at, recorded.event.timestamp)
        return chat

    def _delete(self, chat_id: UUID) -> None:
        chat = self.chats.remove(chat_id)
        self._count(chat.owner, chat.archived, -1)

    def _count(self, owner: UUID, archived: bool, change: int) -> None:
        if self.counts.find(owner) is None:
            self.counts.add(owner, CountsRow(owner))
        counts = self.counts.change(owner)
        if archived:
            counts.archived += change
        else:
            counts.active += change


chat_columns: tuple[ColumnElement[Any], ...] = (
    chats.c.id.label("listed_chat_id"),
    as_stored(chats.c.title),
    as_stored(chats.c.model, "chat_model"),
    as_stored(chats.c.archived),
    as_stored(chats.c.created_at, "chat_created_at"),
    as_stored(chats.c.updated_at),
    chats.c.active_reply_id,
    as_stored(branches.c.message_count),
    as_stored(branches.c.last_role),
    as_stored(branches.c.last_preview),
)
"""What `chat_of` needs of `chats` joined with `branches`; the names meet no message's column."""


class _Listed(msgspec.Struct, array_like=True):
    """A row's `chat_columns`. Times in microseconds since 1970."""

    id: UUID
    title: str | None
    model: str | None
    archived: bool | int
    created_at: int
    updated_at: int
    active_reply_id: UUID | None
    message_count: int
    last_role: Role | None
    last_preview: str | None


# Made once: to put a statement together costs about as much as to run it.
_listed = select(*chat_columns).join_from(chats, branches, branches.c.chat_id == chats.c.id)
_page = (
    _listed.where(
        chats.c.owner == bindparam("owner"),
        chats.c.archived == bindparam("archived"),
    )
    .order_by(chats.c.updated_at.desc(), chats.c.id.desc())
    .limit(bindparam("limit"))
)
_page_by_number = Prepared(_page.offset(bindparam("offset")), _Listed)
_page_by_cursor = Prepared(
    _page.where(
        tuple_(chats.c.updated_at, chats.c.id)
        < tuple_(bindparam("updated_at", type_=Instant()), bindparam("id", type_=Id()))
    ),
    _Listed,
)
_totals = Prepared(
    select(checkpoint.c.position, chat_counts.c.active, chat_counts.c.archived).select_from(
        checkpoint.outerjoin(chat_counts, chat_counts.c.owner == bindparam("owner", type_=Id()))
    ),
    tuple[int, int | None, int | None],
)
_one = _listed.add_columns(position_now.scalar_subquery().label("position")).where(
    chats.c.id == bindparam("chat_id"), chats.c.owner == bindparam("owner")
)
_ids = select(chats.c.id).where(chats.c.owner == bindparam("owner"))


def list_chats(connection: Connection, principal: UUID, request: ListChats) -> ChatsPage:
    """One page by keyset, or by number. Raises InvalidRequest for a bad cursor."""
    bounds = {"owner": principal, "archived": request.archived, "limit": request.limit + 1}
    if request.cursor is not None:
        after = decode_cursor(request.cursor, ChatCursor)
        rows = _page_by_cursor.rows(connection, **bounds, updated_at=after.updated_at, id=after.id)
    else:
        rows = _page_by_number.rows(connection, **bounds, offset=request.page * request.limit)
    ((position, active, archived),) = _totals.rows(connection, owner=principal)
    shown = [_chat_view(row) for row in rows[: request.limit]]
    has_more = len(rows) > request.limit
    return ChatsPage(
        chats=shown,
        page=request.page,
        limit=request.limit,
        total=(archived if request.archived else active) or 0,
        has_more=has_more,
        next_cursor=_cursor_after(shown[-1]) if has_more else None,
        position=position,
    )


def chat(connection: Connection, principal: UUID, chat_id: UUID) -> ChatAt:
    """Raises ChatNotFound."""
    row = connection.execute(_one, {"owner": principal, "chat_id": chat_id}).one_or_none()
    if row is None:
        raise ChatNotFound(chat_id)
    return ChatAt(chat_of(row[:-1]), row.position)


def chat_ids(connection: Connection, principal: UUID) -> Sequence[UUID]:
    return connection.scalars(_ids, {"owner": principal}).all()


def chat_of(row: Sequence[Any]) -> ChatView:
    """The chat of a row's `chat_columns`."""
    return _chat_view(msgspec.convert(tuple(row), _Listed))


def _chat_view(row: _Listed) -> ChatView:
    last = None
    if row.last_role is not None and row.last_preview is not None:
        last = LastMessage(row.last_role, row.last_preview)
    return ChatView(
        id=row.id,
        title=row.title,
        model=row.model,
        archived=bool(row.archived),
        created_at=time_of(row.created_at),
        updated_at=time_of(row.updated_at),
        message_count=row.message_count,
        last_message=last,
        active_reply_id=row.active_reply_id,
    )


def _cursor_after(chat: ChatView) -> str:
    return encode_cursor(ChatCursor(chat.updated_at, chat.id))
