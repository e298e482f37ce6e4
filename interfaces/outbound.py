"""What goes out to clients: errors with their codes, and the messages that SSE and pushes share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from application.errors import (
    AddressLimitReached,
    ContentTooLarge,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelNotFound,
    PrincipalErased,
    RateLimited,
    ReplyNotFound,
    ServerDraining,
    Unauthorized,
    ViewsBehind,
)
from application.queries import decimal_of
from domain.chat import ChatBusy, ChatNotFound, MessageNotFound
from domain.usage import AccountErased, AnonymousLimitReached, InsufficientBalance


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as clients see it; `error` is a sentence for people."""

    code: str
    error: str
    retryable: bool = msgspec.field(default=False)
    details: dict[str, Any] | None = None

    def to_wire(self, **more: object) -> dict[str, Any]:
        """The error with `retryable` always there, and what else belongs to it."""
        wire: dict[str, Any] = {
            "code": self.code,
            "error": self.error,
            "retryable": self.retryable,
        }
        if self.details is not None:
            wire["details"] = msgspec.to_builtins(self.details)
        return wire | {name: value for name, value in more.items() if value is not None}


class Mapped(msgspec.Struct, frozen=True):
    """An error with the HTTP status it has before a stream starts."""

    status: int
    error: WireError
    retry_after: int | None = None
    reaches_sockets: bool = False
    """Limit and balance refusals are also told on the caller's sockets."""


def _details(**details: object) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value is not None}


def _limit(e: AnonymousLimitReached) -> Mapped:
    details = _details(limit=e.limit, used=e.used, resets_at=e.resets_at)
    error = WireError("ANON_LIMIT_REACHED", str(e), details=details)
    return Mapped(429, error, reaches_sockets=True)


def _address_limit(e: AddressLimitReached) -> Mapped:
    resets_at = datetime.fromtimestamp(e.resets_at, tz=UTC)
    details = _details(scope="address", limit=e.limit, used=e.used, resets_at=resets_at)
    error = WireError("ANON_LIMIT_REACHED", str(e), details=details)
    return Mapped(429, error, reaches_sockets=True)


def _balance(e: InsufficientBalance) -> Mapped:
    details = _details(
        required=decimal_of(e.required), available=decimal_of(e.available), currency=e.currency
    )
    error = WireError("INSUFFICIENT_BALANCE", str(e), details=details)
    return Mapped(402, error, reaches_sockets=True)


def _rate(e: RateLimited) -> Mapped:
    seconds = max(1, int(-(-e.retry_after // 1)))
    error = WireError("RATE_LIMITED", str(e), True, _details(retry_after=seconds))
    return Mapped(429, error, seconds, reaches_sockets=True)


def _plain(status: int, code: str, retryable: bool = False) -> Callable[[Any], Mapped]:
    return lambda e: Mapped(status, WireError(code, str(e), retryable))


_MAPPING: dict[type[Exception], Callable[[Any], Mapped]] = {
    InvalidRequest: lambda e: Mapped(
        400, WireError("VALIDATION_ERROR", str(e), details=_details(path=e.path))
    ),
    Unauthorized: _plain(401, "UNAUTHORIZED"),
    PrincipalErased: _plain(401, "UNAUTHORIZED"),
    AccountErased: _plain(401, "UNAUTHORIZED"),
    InsufficientBalance: _balance,
    Forbidden: _plain(403, "FORBIDDEN"),
    ChatNotFound: _plain(404, "CHAT_NOT_FOUND"),
    MessageNotFound: _plain(404, "MESSAGE_NOT_FOUND"),
    ReplyNotFound: _plain(404, "REPLY_NOT_FOUND"),
    ModelNotFound: _plain(404, "MODEL_NOT_FOUND"),
    ChatBusy: lambda e: Mapped(
        409, WireError("CHAT_BUSY", str(e), True, _details(reply_id=e.reply_id))
    ),
    ContentTooLarge: _plain(413, "CONTENT_TOO_LARGE"),
    IdempotencyKeyReused: _plain(422, "IDEMPOTENCY_KEY_REUSED"),
    AnonymousLimitReached: _limit,
    AddressLimitReached: _address_limit,
    RateLimited: _rate,
    ViewsBehind: _plain(503, "VIEWS_BEHIND", True),
    ServerDraining: _plain(503, "SERVER_DRAINING", True),
}

REPLY_ERRORS: dict[str, tuple[str, bool]] = {
    "PROVIDER_ERROR": ("The model's provider did not answer.", True),
    "PROVIDER_TIMEOUT": ("The model's provider took too long.", True),
    "PROVIDER_RATE_LIMITED": ("The model's provider is overloaded.", True),
    "CONTEXT_TOO_LONG": ("The conversation is too long for this model.", False),
    "CONTENT_FILTERED": ("The model's provider declined to answer this.", False),
    "INTERRUPTED": ("The answer was interrupted; what had arrived is kept.", True),
    "CHAT_NOT_FOUND": ("The chat was deleted.", False),
    "INTERNAL": ("Something went wrong on the server.", True),
}
"""What ends a reply: its code, a sentence, and whether trying again can help."""


def known_error(error: Exception) -> Mapped | None:
    """The one mapping from refusals to codes; None for what is a fault of ours."""
    mapping = _MAPPING.get(type(error))
    return mapping(error) if mapping else None


def internal_error(incident: UUID) -> Mapped:
    """For a fault of ours: only an id that is in the log goes out."""
    text, retryable = REPLY_ERRORS["INTERNAL"]
    return Mapped(500, WireError("INTERNAL", text, retryable, {"id": str(incident)}))


def reply_words(code: str) -> str:
    """The sentence for what ended a reply."""
    return REPLY_ERRORS.get(code, REPLY_ERRORS["INTERNAL"])[0]


def reply_error(code: str, reply_id: UUID) -> WireError:
    """The error that ends a reply. What the log has of a fault of ours is under the reply's id."""
    text, retryable = REPLY_ERRORS.get(code, REPLY_ERRORS["INTERNAL"])
    details = {"id": str(reply_id)} if code == "INTERNAL" else None
    return WireError(code, text, retryable, details)


def refusal_of(code: str) -> WireError:
    """A refusal that is told again by its code alone, without its details."""
    return WireError(code, f"The request was refused ({code}).", code in _RETRYABLE)


_RETRYABLE = {"CHAT_BUSY", "RATE_LIMITED", "VIEWS_BEHIND", "SERVER_DRAINING", "INTERNAL"}
