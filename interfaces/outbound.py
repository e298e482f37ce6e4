"""What goes out to clients: errors with their codes, and the messages that SSE and pushes share."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypeVar, cast
from uuid import UUID

import msgspec

from application.console.ports import AlreadyRunning
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

ErrorCode = Literal[
    "VALIDATION_ERROR",
    "UNAUTHORIZED",
    "INSUFFICIENT_BALANCE",
    "FORBIDDEN",
    "CHAT_NOT_FOUND",
    "MESSAGE_NOT_FOUND",
    "REPLY_NOT_FOUND",
    "MODEL_NOT_FOUND",
    "CHAT_BUSY",
    "CONTENT_TOO_LARGE",
    "IDEMPOTENCY_KEY_REUSED",
    "ANON_LIMIT_REACHED",
    "RATE_LIMITED",
    "PROVIDER_ERROR",
    "PROVIDER_TIMEOUT",
    "PROVIDER_RATE_LIMITED",
    "CONTEXT_TOO_LONG",
    "CONTENT_FILTERED",
    "INTERRUPTED",
    "VIEWS_BEHIND",
    "SERVER_DRAINING",
    "INTERNAL",
]

W = TypeVar("W", bound="WireError")


class WireError(msgspec.Struct, frozen=True):
    """An error as clients see it; `error` is a sentence for people."""

    code: ErrorCode
    error: str
    retryable: bool
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for what encodes no Structs."""
        wire: dict[str, Any] = msgspec.to_builtins(self)
        return wire

    def within(self, kind: type[W], **more: Any) -> W:
        """The same error as part of a message that says more."""
        return kind(self.code, self.error, self.retryable, self.details, **more)


class Problem(msgspec.Struct, frozen=True, rename={"kind": "type"}):
    """An error as RFC 9457 has it."""

    kind: str
    title: str
    status: int
    code: ErrorCode
    error: str
    retryable: bool
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Mapped(msgspec.Struct, frozen=True):
    """An error with the HTTP status it has before a stream starts."""

    status: int
    error: WireError
    retry_after: int | None = None
    reaches_sockets: bool = False
    """Limit and balance refusals are also told on the caller's sockets."""


Details: TypeAlias = dict[str, Any]


class WireForm(msgspec.Struct, frozen=True):
    """How the errors of one kind are told. `details` takes the error."""

    status: int
    code: ErrorCode
    retryable: bool = False
    details: Callable[[Any], Details] | None = None
    reaches_sockets: bool = False

    def of(self, error: Exception) -> Mapped:
        details = msgspec.UNSET if self.details is None else _told(self.details(error))
        wire = WireError(self.code, str(error), self.retryable, details)
        retry_after = details.get("retry_after") if isinstance(details, dict) else None
        return Mapped(self.status, wire, retry_after, self.reaches_sockets)


def _told(details: Details) -> Details:
    return {name: value for name, value in details.items() if value is not None}


def _limit(e: AnonymousLimitReached) -> Details:
    return {"limit": e.limit, "used": e.used, "resets_at": e.resets_at}


def _address_limit(e: AddressLimitReached) -> Details:
    resets_at = datetime.fromtimestamp(e.resets_at, tz=UTC)
    return {"scope": "address", "limit": e.limit, "used": e.used, "resets_at": resets_at}


def _balance(e: InsufficientBalance) -> Details:
    return {
        "required": decimal_of(e.required),
        "available": decimal_of(e.available),
        "currency": e.currency,
    }


def _rate(e: RateLimited) -> Details:
    return {"retry_after": max(1, math.ceil(e.retry_after))}


def _path(e: InvalidRequest) -> Details:
    return {"path": e.path}


def _under_way(e: ChatBusy) -> Details:
    return {"reply_id": e.reply_id}


REFUSALS: dict[type[Exception], WireForm] = {
    InvalidRequest: WireForm(400, "VALIDATION_ERROR", details=_path),
    Unauthorized: WireForm(401, "UNAUTHORIZED"),
    PrincipalErased: WireForm(401, "UNAUTHORIZED"),
    AccountErased: WireForm(401, "UNAUTHORIZED"),
    InsufficientBalance: WireForm(
        402, "INSUFFICIENT_BALANCE", details=_balance, reaches_sockets=True
    ),
    Forbidden: WireForm(403, "FORBIDDEN"),
    ChatNotFound: WireForm(404, "CHAT_NOT_FOUND"),
    MessageNotFound: WireForm(404, "MESSAGE_NOT_FOUND"),
    ReplyNotFound: WireForm(404, "REPLY_NOT_FOUND"),
    ModelNotFound: WireForm(404, "MODEL_NOT_FOUND"),
    ChatBusy: WireForm(409, "CHAT_BUSY", retryable=True, details=_under_way),
    AlreadyRunning: WireForm(400, "VALIDATION_ERROR"),
    ContentTooLarge: WireForm(413, "CONTENT_TOO_LARGE"),
    IdempotencyKeyReused: WireForm(422, "IDEMPOTENCY_KEY_REUSED"),
    AnonymousLimitReached: WireForm(
        429, "ANON_LIMIT_REACHED", details=_limit, reaches_sockets=True
    ),
    AddressLimitReached: WireForm(
        429, "ANON_LIMIT_REACHED", details=_address_limit, reaches_sockets=True
    ),
    RateLimited: WireForm(429, "RATE_LIMITED", retryable=True, details=_rate, reaches_sockets=True),
    ViewsBehind: WireForm(503, "VIEWS_BEHIND", retryable=True),
    ServerDraining: WireForm(503, "SERVER_DRAINING", retryable=True),
}
"""The one mapping from what refuses to what clients are told."""

REPLY_ERRORS: dict[ErrorCode, tuple[str, bool]] = {
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
    """What clients are told of a refusal; None for what is a fault of ours."""
    refusal = REFUSALS.get(type(error))
    return refusal.of(error) if refusal else None


def internal_error(incident: UUID) -> Mapped:
    """For a fault of ours: only an id that is in the log goes out."""
    text, retryable = REPLY_ERRORS["INTERNAL"]
    return Mapped(500, WireError("INTERNAL", text, retryable, {"id": str(incident)}))


def reply_words(code: str) -> str:
    """The sentence for what ended a reply."""
    return REPLY_ERRORS.get(cast(ErrorCode, code), REPLY_ERRORS["INTERNAL"])[0]


def reply_error(code: str, reply_id: UUID) -> WireError:
    """The error that ends a reply. What the log has of a fault of ours is under the reply's id."""
    known = cast(ErrorCode, code)
    text, retryable = REPLY_ERRORS.get(known, REPLY_ERRORS["INTERNAL"])
    details = {"id": str(reply_id)} if code == "INTERNAL" else msgspec.UNSET
    return WireError(known, text, retryable, details)


def refusal_of(code: str) -> WireError:
    """A refusal that is told again by its code alone, without its details."""
    known = cast(ErrorCode, code)
    return WireError(known, f"The request was refused ({code}).", code in _RETRYABLE)


_RETRYABLE = {"CHAT_BUSY", "RATE_LIMITED", "VIEWS_BEHIND", "SERVER_DRAINING", "INTERNAL"}
