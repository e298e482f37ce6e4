"""A failure's code follows from its cause; what is no provider's fault is no failure."""

import asyncio
import traceback

import httpx
import pytest

from application.errors import FailureCode, ModelFailure
from infrastructure.language_model.failures import (
    failure_in_stream,
    failure_of,
    faults_as_failures,
)

KEY = "sk-very-secret"


class WrappedError(httpx.HTTPError):
    """As litellm wraps: what happened is in `original_exception`."""

    def __init__(self, original: Exception) -> None:
        super().__init__(f"failed with {KEY}")
        self.original_exception = original
        self.status_code = 500


class NumberedError(Exception):
    def __init__(self, status_code: int, words: str = "") -> None:
        super().__init__(words)
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrappedError(NumberedError(429)), "PROVIDER_RATE_LIMITED"),
        (WrappedError(NumberedError(408)), "PROVIDER_TIMEOUT"),
        (WrappedError(httpx.ReadTimeout("slow")), "PROVIDER_TIMEOUT"),
        (WrappedError(TimeoutError()), "PROVIDER_TIMEOUT"),
        (WrappedError(NumberedError(400, "maximum context length is 5")), "CONTEXT_TOO_LONG"),
        (WrappedError(NumberedError(500, "maximum context length is 5")), "PROVIDER_ERROR"),
        (WrappedError(NumberedError(400, "content_filter")), "CONTENT_FILTERED"),
        (WrappedError(NumberedError(401)), "PROVIDER_ERROR"),
        (WrappedError(ValueError("strange")), "PROVIDER_ERROR"),
        (ConnectionResetError(), "PROVIDER_ERROR"),
    ],
)
def test_the_innermost_cause_decides(error: Exception, code: FailureCode) -> None:
    failure = failure_of(error)
    assert failure is not None
    assert failure.code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429, "message": KEY}, "PROVIDER_RATE_LIMITED"),
        ({"code": "rate_limit_exceeded", "message": KEY}, "PROVIDER_RATE_LIMITED"),
        ({"code": "context_length_exceeded", "message": KEY}, "CONTEXT_TOO_LONG"),
        ({"code": 400, "type": "exceed_context_size_error"}, "CONTEXT_TOO_LONG"),
        ({"code": None, "message": KEY}, "PROVIDER_ERROR"),
        (KEY, "PROVIDER_ERROR"),
        ([KEY], "PROVIDER_ERROR"),
    ],
)
def test_an_error_inside_a_stream_is_judged_alike(error: object, code: FailureCode) -> None:
    failure = failure_in_stream(error)
    assert failure.code == code
    assert KEY not in str(failure)


def test_a_traceback_does_not_print_the_providers_text() -> None:
    with pytest.raises(ModelFailure) as raised, faults_as_failures():
        raise WrappedError(NumberedError(500, KEY))
    assert KEY not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("bug", [TypeError(), KeyError("x"), AssertionError()])
def test_a_bug_of_ours_stays_what_it_is(bug: Exception) -> None:
    with pytest.raises(type(bug)), faults_as_failures():
        raise bug


def test_a_cancellation_is_no_failure() -> None:
    with pytest.raises(asyncio.CancelledError), faults_as_failures():
        raise asyncio.CancelledError
