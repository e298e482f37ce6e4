"""What a real server's log and figures say of what was done, and what they never say."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import socketio
from prometheus_client.parser import text_string_to_metric_families

from tests.service import Service, bearer, joined, named, send, sending, token, until
from tests.upstream import SECRET, Upstream

CANARY = "a-word-that-only-this-test-writes"


@pytest.fixture(scope="module")
def seen(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server of this module, as its figures are looked at as a whole. Says all that it can."""
    environ = {"DABIR_STARTING_BALANCE": "5", "DABIR_LOG_LEVEL": "debug"}
    folder = tmp_path_factory.mktemp("seen") / "data"
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


class Figures:
    """What /metrics says now, by name and labels, and by how much that is more than before."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._before = self._read()

    def grown(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return self._read().get(key, 0.0) - self._before.get(key, 0.0)

    def now(self, name: str, **labels: str) -> float:
        return self._read()[name, frozenset(labels.items())]

    def _read(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        page = httpx.get(f"{self._service.url}/metrics").text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }


def line(service: Service, **fields: Any) -> dict[str, Any]:
    """The one line of the log with these fields."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(each) for each in list(service.log)]
        return [each for each in lines if fields.items() <= each.items()]

    until(found)
    [one] = found()
    return one


def ask(service: Service, auth: dict[str, str], *requests: tuple[str, dict[str, Any]]) -> list[Any]:
    """Requests on one socket, and what each was answered."""

    async def asked() -> list[Any]:
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(
            service.url, auth=auth, transports=["websocket"], namespaces=["/chats"]
        )
        try:
            return [
                await client.call(name, payload, namespace="/chats", timeout=10)
                for name, payload in requests
            ]
        finally:
            await client.disconnect()

    return asyncio.run(asked())


def test_the_lines_of_a_send_carry_its_request_its_principal_and_its_reply(
    seen: Service, sub: str
) -> None:
    events = send(seen, bearer(sub), "hello")
    reply_id = named(events, "assistant_typing").data["reply_id"]
    started = line(seen, event="reply started", reply_id=reply_id)
    ended = line(seen, event="reply ended", reply_id=reply_id)
    answered = line(seen, event="answered", reply_id=reply_id)
    ids = {(each["request"], each["principal"]) for each in (started, ended, answered)}
    assert ids == {(started["request"], started["payer"])}
    assert ended["outcome"] == "complete"
    assert (answered["method"], answered["route"]) == ("POST", "/api/v1/messages/send")
    assert (answered["status"], answered["level"]) == (200, "info")
    assert answered["ms"] > 0


def test_a_refused_request_is_told_with_its_code(seen: Service) -> None:
    figures = Figures(seen)
    url = f"{seen.url}/api/v1/messages/stop"
    done = httpx.post(url, json={}, headers={"authorization": f"Bearer {CANARY}"})
    assert done.status_code == 401
    answered = line(seen, event="answered", route="/api/v1/messages/stop", status=401)
    assert answered["code"] == "UNAUTHORIZED"
    assert "principal" not in answered
    assert figures.grown("dabir_refusals_total", where="http", code="UNAUTHORIZED") == 1
    told = {"route": "/api/v1/messages/stop", "status": "401"}
    assert figures.grown("dabir_http_requests_total", **told) == 1


def test_two_requests_on_one_socket_are_told_apart(seen: Service, sub: str) -> None:
    figures = Figures(seen)
    unknown = f"no-{CANARY}"
    _, _, refused = ask(
        seen, {"token": token(sub)}, ("list_chats", {}), ("search_messages", {"q": CANARY}),
        (unknown, {}),
    )  # fmt: skip
    assert refused["error"]["code"] == "VALIDATION_ERROR"
    listed = line(seen, event="answered", method="socket", route="list_chats")
    other = line(seen, event="answered", method="socket", route="unknown")
    assert listed["principal"] == other["principal"]
    assert listed["request"] != other["request"]
    assert ("code" in listed, other["code"]) == (False, "VALIDATION_ERROR")
    assert figures.grown("dabir_socket_request_seconds_count", request="list_chats") == 1
    assert figures.grown("dabir_socket_request_seconds_count", request="unknown") == 1
    refusals = {"where": "socket request", "code": "VALIDATION_ERROR"}
    assert figures.grown("dabir_refusals_total", **refusals) >= 1


def test_what_machines_ask_is_told_to_who_wants_all(seen: Service) -> None:
    httpx.get(f"{seen.url}/healthz")
    told = line(seen, event="answered", route="/healthz", status=200)
    assert told["level"] == "debug"


def test_figures_move_with_a_reply(seen: Service, upstream: Upstream, sub: str) -> None:
    figures = Figures(seen)
    with sending(seen, bearer(sub), content="[[gate-figures]] hello", model="paid") as stream:
        stream.until("assistant_delta")
        assert figures.now("dabir_open_streams") == 1
        assert figures.now("dabir_holds_open") == 1
        until(lambda: figures.now("dabir_oldest_hold_seconds") > 0)
        upstream.release("figures")
        stream.rest()
    until(lambda: figures.now("dabir_open_streams") == 0)
    assert figures.now("dabir_holds_open") == 0
    assert figures.now("dabir_oldest_hold_seconds") == 0
    assert figures.grown("dabir_replies_started_total") == 1
    assert figures.grown("dabir_replies_ended_total", outcome="complete", code="") == 1
    assert figures.grown("dabir_time_to_first_token_seconds_count") == 1
    assert figures.grown("dabir_token_gap_seconds_count") >= 1
    assert figures.grown("dabir_upstream_calls_total", model="paid", outcome="answered") == 1
    assert figures.grown("dabir_append_batch_size_count") >= 2
    assert figures.grown("dabir_append_wait_seconds_count") >= 2
    until(lambda: figures.grown("dabir_views_delay_seconds_count") >= 2)
    until(lambda: figures.now("dabir_views_lag") == 0)
    assert figures.now("dabir_unready", reason="model") == 0
    assert (figures.now("dabir_database_up"), figures.now("dabir_live_store_up")) == (1, 1)


def test_a_failed_call_is_counted_by_its_model_and_cause(seen: Service, sub: str) -> None:
    figures = Figures(seen)
    events = send(seen, bearer(sub), "[[refuse-429]]", model="paid")
    reply_id = named(events, "assistant_typing").data["reply_id"]
    code = "PROVIDER_RATE_LIMITED"
    assert figures.grown("dabir_upstream_calls_total", model="paid", outcome=code) == 1
    assert figures.grown("dabir_replies_ended_total", outcome="failed", code=code) == 1
    failed = line(seen, event="model failed", reply_id=reply_id)
    assert (failed["model"], failed["code"]) == ("paid", code)


def test_a_call_that_a_stop_cuts_is_no_failure_of_the_model(
    seen: Service, upstream: Upstream, sub: str
) -> None:
    figures = Figures(seen)
    with sending(seen, bearer(sub), content="[[gate-cut]] hello", model="paid") as stream:
        reply_id = named(stream.until("assistant_delta"), "assistant_typing").data["reply_id"]
        url = f"{seen.url}/api/v1/messages/stop"
        httpx.post(url, json={"reply_id": reply_id}, headers=bearer(sub))
        stream.rest()
    upstream.release("cut")
    until(lambda: figures.grown("dabir_upstream_calls_total", model="paid", outcome="left") == 1)
    assert figures.grown("dabir_replies_ended_total", outcome="stopped", code="") == 1


def test_no_line_holds_contents_keys_tokens_or_names(seen: Service, sub: str) -> None:
    secret = token(sub)
    headers = {"authorization": f"Bearer {secret}", "idempotency-key": f"key-{CANARY}"}
    events = send(seen, headers, f"{CANARY} said once")
    assert CANARY in joined(events)
    stream_token = named(events, "assistant_typing").data["stream_token"]
    send(seen, bearer(sub), f"[[refuse-401]] {CANARY}")
    send(seen, bearer(sub), f"[[malformed]] {CANARY}")
    send(seen, {"x-anon-id": f"visitor-{CANARY}"}, CANARY)
    for query in ({"stream_token": stream_token}, {"stream_token": CANARY}, {"chat_id": CANARY}):
        httpx.get(f"{seen.url}/api/v1/messages/send", params=query)
    httpx.get(f"{seen.url}/{CANARY}", headers={"authorization": f"Bearer {CANARY}"})
    httpx.post(f"{seen.url}/api/v1/messages/send", content=f'{{"{CANARY}": 1}}', headers=headers)
    created, *_ = ask(
        seen, {"token": secret}, ("create_chat", {"title": CANARY}),
        ("search_messages", {"q": CANARY}), (CANARY, {"word": CANARY}),
    )  # fmt: skip
    assert created["chat"]["title"] == CANARY
    line(seen, event="answered", method="socket", route="create_chat")
    page = httpx.get(f"{seen.url}/metrics").text
    written = "\n".join(list(seen.log))
    assert "create_chat" in written
    for private in (CANARY, secret, stream_token, sub, SECRET, "sk-the-operators-own-key"):
        assert private not in written
        assert private not in page
