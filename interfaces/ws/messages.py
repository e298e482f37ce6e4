"""What goes out to sockets, beside the views: the very Structs that are encoded."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from application.queries import MessageView, Time
from domain.chat import ReplyKind
from domain.usage import Kind
from interfaces.outbound import WireError


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who the connection is. What the log holds beyond `position` is pushed."""

    principal: str
    """`user:SUB` or `anon:ID`."""
    kind: Kind
    anon_id: str | msgspec.UnsetType = msgspec.UNSET
    server_time: Time
    log_id: str
    position: int


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """Prices are decimal strings."""

    id: str
    name: str
    context_window: int
    input_price_per_million: str
    output_price_per_million: str


class ModelsList(msgspec.Struct, frozen=True):
    """`default` is the id of the model that answers where none is named."""

    models: list[ModelView]
    default: str


class ChatGone(msgspec.Struct, frozen=True):
    chat_id: UUID
    position: int


class ChatsClaimed(msgspec.Struct, frozen=True):
    """`chat_ids` are those that changed hands."""

    anon_id: str
    chat_ids: Sequence[UUID]
    position: int


class MessageAt(msgspec.Struct, frozen=True):
    message: MessageView
    position: int


class ReplyStarted(msgspec.Struct, frozen=True, kw_only=True):
    chat_id: UUID
    reply_id: UUID
    message_id: UUID
    kind: ReplyKind
    position: int


class MessageFailed(msgspec.Struct, frozen=True):
    message: MessageView
    code: str
    error: str
    position: int


class ServerDraining(msgspec.Struct, frozen=True):
    """Says all by coming."""


class SocketError(WireError, frozen=True):
    """`request` names the one that was refused; without it, something that was sent elsewhere."""

    request: str | msgspec.UnsetType = msgspec.UNSET


class Refused(msgspec.Struct, frozen=True):
    """How a request that was refused is acknowledged."""

    error: WireError
