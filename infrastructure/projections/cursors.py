"""Cursors: where the next page begins, opaque to clients."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from application.errors import InvalidRequest

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class ChatCursor(msgspec.Struct, frozen=True):
    """The last chat of a page."""

    updated_at: Annotated[datetime, Meta(tz=True)]
    id: UUID


class MessageCursor(msgspec.Struct, frozen=True):
    """The message a page goes on with, on the branch that ends in `leaf_id`."""

    leaf_id: UUID
    message_id: UUID


class SearchCursor(msgspec.Struct, frozen=True):
    """The number of the last message of a page."""

    before: Integer


C = TypeVar("C", ChatCursor, MessageCursor, SearchCursor)


def encode_cursor(cursor: ChatCursor | MessageCursor | SearchCursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: type[C]) -> C:
    """Raises InvalidRequest."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(content, type=kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
        raise unknown_cursor() from None


def unknown_cursor() -> InvalidRequest:
    return InvalidRequest("The cursor is not one that was given out.", "$.cursor")
