"""The events of the streams: the very Structs that are encoded, and their names."""

from typing import TypeAlias
from uuid import UUID

import msgspec

from application.queries import MessageHead, MessageUsageView, UsageView
from interfaces.outbound import WireError


class ReplyBegun(msgspec.Struct, frozen=True, kw_only=True):
    """`anon_id` only where a visitor pays."""

    chat_id: UUID
    user_message_id: UUID
    message_id: UUID
    reply_id: UUID
    stream_token: str
    model: str | None
    anon_id: str | msgspec.UnsetType = msgspec.UNSET


class RegenerationBegun(ReplyBegun, frozen=True, kw_only=True):
    """`message_id` is the new version's, `replaces` the old one's."""

    replaces: UUID | None


class Delta(msgspec.Struct, frozen=True):
    """The next piece; `DeltaFrames` writes the same by hand, as there are so many of them."""

    message_id: UUID
    delta: str


class ReplyCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is that of the reply's end; `message` lacks the content, which is beside it."""

    chat_id: UUID
    message_id: UUID
    reply_id: UUID
    content: str
    position: int
    finish_reason: str | None
    usage: MessageUsageView | None
    message: MessageHead


class RegenerationCompleted(ReplyCompleted, frozen=True, kw_only=True):
    replaces: UUID | None
    version: int
    versions: list[UUID]


class ReplyError(WireError, frozen=True, kw_only=True):
    """The end of a reply without an answer. `content` is what had arrived."""

    chat_id: UUID
    message_id: UUID
    reply_id: UUID
    content: str
    position: int


class ProbeMessage(msgspec.Struct, frozen=True):
    counter: int
    message: str


class ProbeComplete(msgspec.Struct, frozen=True):
    message: str


Events: TypeAlias = dict[str, tuple[type[msgspec.Struct], ...]]
"""What the data of each event can be, by the event's name."""

_OF_BOTH: Events = {
    "assistant_reasoning": (Delta,),
    "assistant_delta": (Delta,),
    "assistant_error": (ReplyError, WireError),
    "usage_info": (UsageView,),
}
SEND_EVENTS: Events = {
    "assistant_typing": (ReplyBegun,),
    "assistant_complete": (ReplyCompleted,),
    **_OF_BOTH,
}
REGENERATE_EVENTS: Events = {
    "assistant_regenerating": (RegenerationBegun,),
    "assistant_regenerated": (RegenerationCompleted,),
    **_OF_BOTH,
}
REPLY_EVENTS: Events = SEND_EVENTS | REGENERATE_EVENTS

PROBE_EVENTS: Events = {
    "test_message": (ProbeMessage,),
    "test_complete": (ProbeComplete,),
}
