"""One trace a request, from its first byte to the views; nothing of it says what people wrote."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.observability.collector import Collector, Seen
from tests.service import ROOT, Service, bearer, named, send, token, until
from tests.upstream import Upstream

CANARY = "a-word-that-only-this-test-writes"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
PARTS = {"POST /api/v1/messages/send", "command", "reply", "model", "append", "views"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(
    collector: Collector, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    environ = {
        "DABIR_OTEL_ENDPOINT": collector.url,
        "DABIR_STARTING_BALANCE": "5",
        **SOON,
    }
    folder = tmp_path_factory.mktemp("traced") / "data"
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


def traces_of(collector: Collector, reply_id: str) -> str:
    """The trace that tells of a reply."""

    def found() -> list[str]:
        spans = list(collector.spans)
        return [s.trace for s in spans if s.attributes.get("dabir.reply_id") == reply_id]

    until(found)
    return found()[0]


def test_a_send_is_one_tree_from_the_request_to_the_views(
    traced: Service, collector: Collector, sub: str
) -> None:
    events = send(traced, bearer(sub), f"{CANARY} and more", model="paid")
    reply_id = named(events, "assistant_typing").data["reply_id"]
    trace = traces_of(collector, reply_id)
    logged = traced.dabir("events", "--principal", f"user:{sub}", "--json").stdout.splitlines()
    until(lambda: collector.viewed(trace) == len(logged) > 0)
    until(lambda: set(collector.trace(trace)) >= PARTS)
    spans = collector.trace(trace)
    assert set(spans) == PARTS

    [root] = spans["POST /api/v1/messages/send"]
    everything: list[Seen] = [span for each in spans.values() for span in each]
    assert root.parent == ""
    known = {span.id for span in everything}
    assert len(known) == len(everything)
    assert all(span.parent in known for span in everything if span is not root)

    [command], [reply], [model] = spans["command"], spans["reply"], spans["model"]
    assert (command.parent, model.parent) == (root.id, reply.id)
    assert root.attributes["http.route"] == "/api/v1/messages/send"
    assert root.attributes["http.response.status_code"] == 200
    assert reply.attributes["dabir.outcome"] == "complete"
    assert model.attributes["gen_ai.request.model"] == "paid"
    assert model.attributes["gen_ai.usage.output_tokens"] > 0
    assert model.events == ["first token"]
    assert len(spans["append"]) >= 2
    assert all(span.attributes["dabir.batch_size"] >= 1 for span in spans["append"])
    assert all(span.began <= span.ended for span in everything)
    now = time.time_ns()
    assert all(abs(now - span.began) < 60e9 for span in everything)
    assert root.resource["service.name"] == "dabir"


def test_the_trace_has_the_correlation_that_the_events_keep(
    traced: Service, collector: Collector, sub: str
) -> None:
    send(traced, bearer(sub), "hello")
    done = traced.dabir("events", "--principal", f"user:{sub}", "--json")
    assert done.returncode == 0, done.stderr
    correlations = {
        line.split('"correlation":')[1].split('"')[1] for line in done.stdout.splitlines()
    }
    [correlation] = correlations
    trace = correlation.replace("-", "")
    until(lambda: "views" in collector.trace(trace))


def test_a_failed_call_is_told_by_its_class_and_code_alone(
    traced: Service, collector: Collector, sub: str
) -> None:
    events = send(traced, bearer(sub), f"[[refuse-500]] {CANARY}")
    trace = traces_of(collector, named(events, "assistant_typing").data["reply_id"])
    until(lambda: set(collector.trace(trace)) >= PARTS)
    spans = collector.trace(trace)
    assert spans["model"][0].attributes["error.type"] == "ModelFailure"
    assert spans["reply"][0].attributes["dabir.outcome"] == "PROVIDER_ERROR"


def test_no_span_holds_contents_names_or_tokens(
    traced: Service, collector: Collector, sub: str
) -> None:
    secret = token(sub)
    headers = {"authorization": f"Bearer {secret}"}
    events = send(traced, headers, CANARY)
    started = named(events, "assistant_typing").data
    httpx.get(
        f"{traced.url}/api/v1/messages/send", params={"stream_token": started["stream_token"]}
    )
    traces_of(collector, started["reply_id"])
    httpx.get(f"{traced.url}/{CANARY}?word={CANARY}", headers=headers)
    until(lambda: any(span.name == "GET unknown" for span in list(collector.spans)))
    sent = b"".join(collector.bodies)
    assert b"/api/v1/messages/send" in sent
    for private in (CANARY, secret, sub, started["stream_token"], "sk-the-operators-own-key"):
        assert private.encode() not in sent


def test_some_of_the_requests_are_traced_and_each_of_those_entirely(
    collector: Collector, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    environ = {"DABIR_OTEL_ENDPOINT": f"{collector.url}/v1/traces", "DABIR_OTEL_RATIO": "0.5"}
    with Service(tmp_path / "data", upstream.api_base, environ=environ | SOON) as service:
        service.wait_ready()
        # Each by a route that nothing else here asks for.
        for _ in range(64):
            httpx.get(f"{service.url}/api/v1/admin/usage/user:{uuid4()}", headers=bearer(sub))
        assert service.stop() == 0
    traced = [span for span in collector.spans if "/admin/usage" in span.name]
    assert 10 < len({span.trace for span in traced}) < 54


def test_the_last_spans_are_sent_when_the_server_stops(
    collector: Collector, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    environ = {"DABIR_OTEL_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with Service(tmp_path / "data", upstream.api_base, environ=environ) as service:
        events = send(service.wait_ready(), bearer(sub), "hello")
        reply_id = named(events, "assistant_typing").data["reply_id"]
        assert service.stop() == 0
    assert traces_of(collector, reply_id)


def test_a_collector_that_is_away_holds_up_neither_requests_nor_the_stop(
    upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    with Collector() as gone:
        nowhere = gone.url
    environ = {"DABIR_OTEL_ENDPOINT": nowhere} | SOON
    with Service(tmp_path / "data", upstream.api_base, environ=environ) as service:
        events = send(service.wait_ready(), bearer(sub), "hello")
        assert named(events, "assistant_complete")
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 10


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys; from infrastructure.tracing import tracer_of; import infrastructure.observer;"
        "tracer_of(None, 1.0, '0'); assert not [m for m in sys.modules if 'opentelemetry' in m]"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_the_setting_without_the_extra_is_refused_in_one_line(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from application.errors import ConfigurationError\n"
        "from infrastructure.tracing import tracer_of\n"
        "try: tracer_of('http://127.0.0.1:4318', 1.0, '0')\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert "dabir[otel]" in done.stdout
