"""What clients see (view Structs, the outbound schema) and the port that reads it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Protocol
from uuid import UUID

import msgspec
from msgspec import Meta

from application.commands import Command, MinPosition
from application.ports import Principal
from domain.chat import ReplyKind, Role, Status

Page = Annotated[int, Meta(ge=0, le=1_000_000)]
Cursor = Annotated[str, Meta(max_length=500)]
Time = Annotated[datetime, Meta(tz=True)]

NANOS = 1_000_000_000


def decimal_of(nanos: int) -> str:
    """An amount in nanos as a plain decimal string, without exponent or trailing zeros."""
    text = f"{Decimal(nanos) / NANOS:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def nanos_of(decimal: str) -> int:
    """The amount in nanos of a plain decimal string with at most nine places."""
    return int(Decimal(decimal).scaleb(9))


# Requests


class ListChats(Command, frozen=True):
    page: Page = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Cursor | None = None
    archived: bool = False
    min_position: MinPosition = 0


class ListMessages(Command, frozen=True):
    chat_id: UUID
    page: Page = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Cursor | None = None
    branch: UUID | None = None
    min_position: MinPosition = 0


class SearchMessages(Command, frozen=True):
    query: Annotated[str, Meta(min_length=1, max_length=200)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Cursor | None = None
    min_position: MinPosition = 0


class UsageInfo(Command, frozen=True):
    min_position: MinPosition = 0


class ListModels(Command, frozen=True):
    min_position: MinPosition = 0


# Views


class LastMessage(msgspec.Struct, frozen=True):
    role: Role
    preview: str


class ChatView(msgspec.Struct, frozen=True, kw_only=True):
    """`message_count` and `last_message` are those of the active branch."""

    id: UUID
    title: str | None
    model: str | None
    archived: bool
    created_at: Time
    updated_at: Time
    message_count: int
    last_message: LastMessage | None
    active_reply_id: UUID | None


class MessageUsageView(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: str
    currency: str
    estimated: bool
    price_source: str


class MessageHead(msgspec.Struct, frozen=True, kw_only=True):
    """A message without its content.

    `version` counts from 1 among `versions`, all siblings of the role in time order.
    """

    id: UUID
    chat_id: UUID
    parent_id: UUID | None
    role: Role
    status: Status
    model: str | None
    created_at: Time
    completed_at: Time | None
    version: int
    versions: list[UUID]
    usage: MessageUsageView | None
    finish_reason: str | None
    error: str | None
    """The code of what made the reply fail."""


class MessageView(MessageHead, frozen=True, kw_only=True):
    content: str


class UsageView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of an anonymous id: limit, used, remaining, resets_at. Of a user: the rest.

    Amounts are decimal strings.
    """

    kind: Literal["anonymous", "user"]
    limit: int | msgspec.UnsetType = msgspec.UNSET
    used: int | msgspec.UnsetType = msgspec.UNSET
    remaining: int | msgspec.UnsetType = msgspec.UNSET
    resets_at: Time | msgspec.UnsetType | None = msgspec.UNSET
    balance: str | msgspec.UnsetType = msgspec.UNSET
    reserved: str | msgspec.UnsetType = msgspec.UNSET
    available: str | msgspec.UnsetType = msgspec.UNSET
    spent: str | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    messages: int | msgspec.UnsetType = msgspec.UNSET
    position: int | msgspec.UnsetType = msgspec.UNSET


class ChatsPage(msgspec.Struct, frozen=True):
    chats: list[ChatView]
    page: int
    limit: int
    total: int
    has_more: bool
    next_cursor: str | None
    position: int


class MessagesPage(msgspec.Struct, frozen=True):
    chat_id: UUID
    messages: list[MessageView]
    page: int
    limit: int
    total: int
    has_more: bool
    next_cursor: str | None
    position: int


class SearchHit(msgspec.Struct, frozen=True):
    """`snippet` is plain text around the first match."""

    chat: ChatView
    message: MessageView
    snippet: str


class SearchPage(msgspec.Struct, frozen=True):
    results: list[SearchHit]
    has_more: bool
    next_cursor: str | None
    position: int


class ChatAt(msgspec.Struct, frozen=True):
    chat: ChatView
    position: int


class ReplyView(msgspec.Struct, frozen=True, kw_only=True):
    """A reply with its assistant message, for those who attach late. `position` is its end's."""

    reply_id: UUID
    chat_id: UUID
    owner: UUID
    payer: UUID
    user_message_id: UUID
    kind: ReplyKind
    replaces: UUID | None
    started_at: datetime
    ended_at: datetime | None
    position: int
    reasoning: str | None
    message: MessageView
    chat_deleted: bool = False


class HistoryMessage(msgspec.Struct, frozen=True):
    id: UUID
    parent_id: UUID | None
    role: Role
    content: str


class Views(Protocol):
    """Reads of the views. Each takes the caller's principal and checks the owner itself.

    Each waits, bounded, until the views hold `min_position` and this principal's last append on
    this node. Raises ViewsBehind, ChatNotFound, MessageNotFound, InvalidRequest (a bad cursor).
    """

    async def list_chats(self, principal: UUID, request: ListChats) -> ChatsPage: ...

    async def chat(self, principal: UUID, chat_id: UUID, min_position: int = 0) -> ChatAt: ...

    async def chat_ids(self, principal: UUID) -> Sequence[UUID]:
        """All chats of a principal, archived ones too."""
        ...

    async def list_messages(self, principal: UUID, request: ListMessages) -> MessagesPage: ...

    async def message(
        self, principal: UUID, chat_id: UUID, message_id: UUID, min_position: int = 0
    ) -> MessageView: ...

    async def history(
        self, principal: UUID, chat_id: UUID, message_id: UUID, limit: int
    ) -> list[HistoryMessage]:
        """The branch upwards from `message_id`, itself first, at most `limit` messages."""
        ...

    async def search(self, principal: UUID, request: SearchMessages) -> SearchPage: ...

    async def usage(self, principal: Principal, min_position: int = 0) -> UsageView: ...

    async def reply(self, reply_id: UUID, min_position: int = 0) -> ReplyView | None:
        """Any principal's: the caller checks `owner`, or came by the reply's own token."""
        ...

    async def newest_reply(
        self, principal: UUID, started_since: datetime, chat_id: UUID | None = None
    ) -> UUID | None: ...

    @property
    def position(self) -> int:
        """How far the views are."""
        ...

    async def wait(self, position: int, timeout: float, *, patient: bool = False) -> None:
        """Until the views hold `position`, or a moment later for who is `patient`.

        Raises ViewsBehind.
        """
        ...
