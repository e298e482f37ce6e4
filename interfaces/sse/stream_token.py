"""Stream tokens and event ids: what lets a client come back to one reply, and to nothing else.

A token is a reply's id and a 128-bit HMAC of it, so that it is stored nowhere and the same on
every node. An event id begins with the token and names a phase of the stream and offsets in bytes:
`TOKEN.s` started, `TOKEN.x.TEXT.REASONING` text so far, `TOKEN.t` terminal, `TOKEN.u` usage.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Literal
from uuid import UUID

import msgspec

Phase = Literal["s", "x", "t", "u"]

_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_EVENT_ID = re.compile(
    r"(?P<token>[A-Za-z0-9_-]{43})\."
    r"(?:(?P<phase>[stu])|x\.(?P<text>\d{1,12})\.(?P<reasoning>\d{1,12}))",
    re.ASCII,
)


class Place(msgspec.Struct, frozen=True):
    """How far a client is in a reply's stream; offsets in bytes of UTF-8."""

    reply_id: UUID
    phase: Phase
    text: int = 0
    reasoning: int = 0


class StreamTokens:
    def __init__(self, secret: bytes) -> None:
        # A key of its own, so that no other HMAC under the same secret is a stream token.
        self._key = hmac.new(secret, b"stream token", hashlib.sha256).digest()

    def mint(self, reply_id: UUID) -> str:
        return base64.urlsafe_b64encode(reply_id.bytes + self._mac(reply_id)).decode().rstrip("=")

    def reply_of(self, token: str) -> UUID | None:
        """The reply that a token is for; None for one that was not minted here."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=")
        except binascii.Error:
            return None
        reply_id = UUID(bytes=raw[:16])
        return reply_id if hmac.compare_digest(raw[16:], self._mac(reply_id)) else None

    def place_of(self, event_id: str) -> Place | None:
        """The place that an event id names; None for a malformed or made-up one."""
        match = _EVENT_ID.fullmatch(event_id)
        reply_id = self.reply_of(match["token"]) if match else None
        if match is None or reply_id is None:
            return None
        if match["phase"]:
            phase: Phase = match["phase"]  # type: ignore[assignment]
            return Place(reply_id, phase)
        return Place(reply_id, "x", int(match["text"]), int(match["reasoning"]))

    def _mac(self, reply_id: UUID) -> bytes:
        return hmac.new(self._key, reply_id.bytes, hashlib.sha256).digest()[:_MAC_BYTES]
