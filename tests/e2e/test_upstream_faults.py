"""Whatever the provider does: the right code, in time, and the money right."""

import time
from collections.abc import Iterator

import pytest

from tests.service import MODELS, Service, bearer, joined, named, send
from tests.upstream import Upstream

FIRST, BETWEEN = 1.0, 1.0
"""The server's deadlines, in seconds."""
SLACK = 1.0
BALANCE = 5.0

NOWHERE = """
[[models]]
id = "nowhere"
litellm_model = "openai/echo"
api_base = "http://127.0.0.1:9/v1"
api_key_env = "UPSTREAM_KEY"
context_window = 8000
max_output_tokens = 1000
input_price_per_million = "1"
output_price_per_million = "1000"
"""


@pytest.fixture(scope="module")
def impatient(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environ = {
        "DABIR_STARTING_BALANCE": str(BALANCE),
        "DABIR_FIRST_TOKEN_TIMEOUT": f"{FIRST:g}s",
        "DABIR_TOKEN_TIMEOUT": f"{BETWEEN:g}s",
    }
    folder = tmp_path_factory.mktemp("impatient") / "data"
    with Service(folder, upstream.api_base, models=MODELS + NOWHERE, environ=environ) as service:
        service.wait_ready()
        # What the first call of all loads is not the provider's to answer for.
        send(service, bearer("first"), "hello")
        yield service


@pytest.mark.parametrize(
    ("script", "code", "delivers", "deadline"),
    [
        ("refuse-500", "PROVIDER_ERROR", False, 0),
        ("refuse-401", "PROVIDER_ERROR", False, 0),
        ("rate-limited-429", "PROVIDER_RATE_LIMITED", False, 0),
        ("stall-first", "PROVIDER_TIMEOUT", False, FIRST),
        ("stall-middle", "PROVIDER_TIMEOUT", True, BETWEEN),
        ("cut", "PROVIDER_ERROR", True, 0),
        ("cut-clean", "PROVIDER_ERROR", True, 0),
        ("malformed", "PROVIDER_ERROR", True, 0),
        ("midstream-error", "PROVIDER_ERROR", True, 0),
        ("context-too-long", "CONTEXT_TOO_LONG", False, 0),
        ("content-filter", "CONTENT_FILTERED", False, 0),
    ],
)
def test_a_fault_ends_in_its_code_within_its_deadline_and_costs_only_what_came(
    impatient: Service, sub: str, script: str, code: str, delivers: bool, deadline: float
) -> None:
    began = time.monotonic()
    events = send(impatient, bearer(sub), f"[[{script}]]", model="paid")
    assert time.monotonic() - began < deadline + SLACK
    error, account = named(events, "assistant_error").data, named(events, "usage_info").data
    assert error["code"] == code
    assert error["content"] == joined(events)
    assert bool(error["content"]) == delivers
    assert account["reserved"] == "0"
    assert (float(account["spent"]) > 0) == delivers
    assert round(float(account["balance"]) + float(account["spent"]), 9) == BALANCE


def test_a_provider_that_refuses_the_connection_is_an_error(impatient: Service, sub: str) -> None:
    events = send(impatient, bearer(sub), "hello", model="nowhere")
    assert named(events, "assistant_error").data["code"] == "PROVIDER_ERROR"
    assert named(events, "usage_info").data["balance"] == "5"


@pytest.mark.parametrize("script", ["no-usage", "negative-usage", "absurd-usage"])
def test_without_plausible_usage_ours_is_taken_and_said_to_be_estimated(
    impatient: Service, sub: str, script: str
) -> None:
    events = send(impatient, bearer(sub), f"[[{script}]] a few words", model="paid")
    usage = named(events, "assistant_complete").data["usage"]
    assert usage["estimated"] is True
    assert 0 < usage["completion_tokens"] < 50
    account = named(events, "usage_info").data
    assert account["spent"] == usage["cost"]
    assert 0 < float(account["spent"]) < 0.1


def test_a_filter_after_some_words_ends_an_answer(impatient: Service, sub: str) -> None:
    events = send(impatient, bearer(sub), "[[content-filter-late]] x", model="paid")
    complete = named(events, "assistant_complete").data
    assert complete["finish_reason"] == "content_filter"
    assert complete["content"] == joined(events) != ""
