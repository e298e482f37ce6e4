"""What the console asks for: query parameters of `/api/v1/admin/`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[datetime, Meta(tz=True)]


class ShowActivity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minutes: Annotated[int, Meta(ge=1, le=60)] = 60


class ShowSpend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    days: Annotated[int, Meta(ge=1, le=366)] = 30
    """Today (UTC) is the last of them."""


class FindEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Newest first, between the positions `after` and `before`, both not included.

    `principal` is `user:SUB`, `anon:ID` or an internal id; `type` a topic or its beginning; `since`
    is included, `until` is not.
    """

    before: Position | None = None
    after: Position = 0
    stream: UUID | None = None
    principal: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    type: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    since: Time | None = None
    until: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ShowChatAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chat_id: UUID
    position: Position


class ShowCheckpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    checkpoints: Annotated[int, Meta(ge=1, le=100)] = 20


class ListChatsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    archived: bool = False
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Annotated[str, Meta(max_length=500)] | None = None
