"""What went wrong upstream, as a code: judged by the cause, for the wrapping class says little."""

from collections.abc import Iterator
from types import TracebackType

from application.errors import FailureCode, ModelFailure

PROVIDER_PACKAGES = {"litellm", "openai", "httpx", "httpcore", "aiohttp", "ssl", "socket"}
"""Where the exceptions come from that stand for a provider's fault, beside OSError."""
CONTEXT_MARKS = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "maximum context length",
    "context window",
    "prompt is too long",
)
FILTER_MARKS = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
REFUSED_INPUT = {400, 413, 422}
TIMED_OUT = {408, 504}


class faults_as_failures:  # noqa: N801 - reads as the statement it makes
    """`with` it, a provider's exceptions become ModelFailure; a bug of ours stays what it is."""

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and (failure := failure_of(error)) is not error and failure:
            # Not chained where it would be printed: the original holds the provider's text.
            raise failure from None


def failure_of(error: Exception) -> ModelFailure | None:
    """The failure an exception of a model's call stands for; None for a bug of ours."""
    if isinstance(error, ModelFailure):
        return error
    if not _is_providers(error):
        return None
    causes = list(_causes(error))
    return ModelFailure(_code(causes), _name(causes))


def failure_in_stream(error: object) -> ModelFailure:
    """The failure that an error object in the middle of a stream stands for.

    `error` is what the provider sent: mostly an object with `code`, `type` and `message`.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    status = _status(fields.get("code")) or _status(fields.get("status"))
    words = " ".join(str(fields.get(key, "")) for key in ("code", "type", "message"))
    return ModelFailure(
        _code_of(status, set(), words), f"error in stream ({status or 'unnumbered'})"
    )


def _is_providers(error: Exception) -> bool:
    return isinstance(error, OSError) or any(
        kind.__module__.partition(".")[0] in PROVIDER_PACKAGES for kind in type(error).__mro__
    )


def _causes(error: Exception) -> Iterator[Exception]:
    """The exception and all it was raised from, outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, Exception) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [
            getattr(current, "original_exception", None),
            current.__cause__,
            current.__context__,
        ]


def _code(causes: list[Exception]) -> FailureCode:
    # The innermost numbered one is the provider's: litellm numbers 500 what has no status.
    statuses = [status for status in map(_status_of, causes) if status]
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    words = " ".join(_words(cause) for cause in causes)
    return _code_of(statuses[-1] if statuses else None, names, words)


def _code_of(status: int | None, names: set[str], words: str) -> FailureCode:
    """`words` is the provider's text: looked at, never kept."""
    words = words.lower()
    if status == 429 or "rate_limit_exceeded" in words:
        return "PROVIDER_RATE_LIMITED"
    if status in TIMED_OUT or names & {"TimeoutError", "TimeoutException", "APITimeoutError"}:
        return "PROVIDER_TIMEOUT"
    refused = status is None or status in REFUSED_INPUT
    if "ContextWindowExceededError" in names or (refused and _marked(words, CONTEXT_MARKS)):
        return "CONTEXT_TOO_LONG"
    if "ContentPolicyViolationError" in names or (refused and _marked(words, FILTER_MARKS)):
        return "CONTENT_FILTERED"
    return "PROVIDER_ERROR"


def _marked(words: str, marks: tuple[str, ...]) -> bool:
    return any(mark in words for mark in marks)


def _status_of(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return _status(getattr(error, "status_code", None)) or _status(
        getattr(response, "status_code", None)
    )


def _status(value: object) -> int | None:
    try:
        number = int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return None
    return number if 400 <= number <= 599 else None


def _words(error: Exception) -> str:
    return f"{error} {getattr(error, 'body', '') or ''}"


def _name(causes: list[Exception]) -> str:
    """Class names and a status, for the log: what was raised, and what it was raised from."""
    outermost, innermost = type(causes[0]).__name__, type(causes[-1]).__name__
    statuses = [status for status in map(_status_of, causes) if status]
    name = outermost if outermost == innermost else f"{outermost} from {innermost}"
    return f"{name}, status {statuses[-1]}" if statuses else name
