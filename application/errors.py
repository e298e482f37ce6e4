"""What can go wrong beside the rules of the domain. The interfaces map each to a code."""

from typing import Literal
from uuid import UUID

from domain.refusal import Refusal

FailureCode = Literal[
    "PROVIDER_ERROR",
    "PROVIDER_TIMEOUT",
    "PROVIDER_RATE_LIMITED",
    "CONTEXT_TOO_LONG",
    "CONTENT_FILTERED",
    "INTERNAL",
]


class InvalidRequest(Refusal):
    """The request breaks the wire's schema. `path` is a JSON path such as `$.temperature`."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class Unauthorized(Refusal):
    """The credentials are missing, broken, expired, or of somebody else."""


class PrincipalErased(Unauthorized):
    """The caller was erased a moment ago; with the next request they begin anew."""

    def __init__(self) -> None:
        super().__init__("This account was erased.")


class Forbidden(Refusal):
    """The caller is known, but the scope is missing."""


class ContentTooLarge(Refusal):
    """A body or a message's content is over the limit."""


class ModelNotFound(Refusal):
    """No such model is configured."""


class ReplyNotFound(Refusal):
    """There is no such reply, or it is somebody else's."""


class IdempotencyKeyReused(Refusal):
    """The key was used before with another request."""


class AddressLimitReached(Refusal):
    """The client address has used up its window; `resets_at` is a Unix time in seconds."""

    def __init__(self, limit: int, used: int, resets_at: float) -> None:
        super().__init__("Too many anonymous messages from this address.")
        self.limit = limit
        self.used = used
        self.resets_at = resets_at


class RateLimited(Refusal):
    """Too many requests; `retry_after` in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many requests.")
        self.retry_after = retry_after


class ViewsBehind(Refusal):
    """The views did not reach the wanted position in time."""


class ServerDraining(Refusal):
    """The node is going down and takes no new sends."""


class ModelFailure(Exception):  # noqa: N818 - it ends a reply, it is no fault of ours
    """The provider did not answer. Never carries the provider's text, which can hold keys.

    `cause` is the class name of what was raised, for the log.
    """

    def __init__(self, code: FailureCode, cause: str) -> None:
        super().__init__(f"{code} ({cause})")
        self.code = code
        self.cause = cause


class StreamNotFound(Exception):  # noqa: N818 - the store's answer; commands translate it
    """The log has no event of this stream."""

    def __init__(self, stream_id: UUID) -> None:
        super().__init__(f"no stream {stream_id}")


class VersionConflict(Exception):  # noqa: N818 - decided again by the command
    """Another process appended to one of the streams first; nothing was written."""


class CommandRepeated(Exception):  # noqa: N818 - answered with the recorded result
    """The command's key is recorded already; nothing was written."""


class LeaseLost(Exception):  # noqa: N818 - the node stops what it no longer owns
    """The node's lease has another epoch or has run out; nothing was written."""


class ConfigurationError(ValueError):
    """A setting or a configuration file is wrong. Names the setting, never a secret's value."""
