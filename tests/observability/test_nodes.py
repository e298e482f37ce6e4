"""What is seen of several nodes on one database, and of a database that goes away."""

from pathlib import Path

import httpx

from tests.engines import Postgres
from tests.observability.collector import Collector
from tests.service import Service, bearer, named, send, until
from tests.upstream import Upstream

SECRET = "a secret of all nodes, longer than 32 bytes"

ROUTE = "POST /api/v1/messages/send"


def figure(service: Service, name: str) -> float:
    page = httpx.get(f"{service.url}/metrics").text
    return next(float(each.split()[1]) for each in page.splitlines() if each.startswith(f"{name} "))


def test_a_trace_goes_on_where_another_node_keeps_the_views_up(
    database_url: str, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    with Collector() as collector:
        environ = {
            "DABIR_DATABASE_URL": database_url,
            "DABIR_SECRET": SECRET,
            "DABIR_OTEL_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        one = Service(tmp_path / "one", upstream.api_base, environ=environ)
        other = Service(tmp_path / "other", upstream.api_base, environ=environ)
        with one, other:
            nodes = {service: service.wait_ready() for service in (one, other)}
            until(lambda: sum(figure(each, "dabir_views_runner") for each in nodes) == 1)
            [asked] = [each for each in nodes if figure(each, "dabir_views_runner") == 0]
            events = send(asked, bearer(sub), "hello")
            reply_id = named(events, "assistant_typing").data["reply_id"]

            def trace() -> str:
                spans = list(collector.spans)
                ids = [s.trace for s in spans if s.attributes.get("dabir.reply_id") == reply_id]
                return ids[0] if ids else ""

            until(trace)
            logged = asked.dabir(
                "events", "--principal", f"user:{sub}", "--json"
            ).stdout.splitlines()
            until(lambda: collector.viewed(trace()) == len(logged) > 0)
            # Each node sends its own spans, when it comes to it.
            until(lambda: {ROUTE, "append"} <= set(collector.trace(trace())))
            spans = collector.trace(trace())
    [request] = spans[ROUTE]
    instance = "service.instance.id"
    assert {span.resource[instance] for span in spans["append"]} == {request.resource[instance]}
    for span in spans["views"]:
        assert span.resource[instance] != request.resource[instance]
        assert span.parent == request.id


def test_a_database_that_cannot_be_written_to_is_seen(
    postgres: Postgres, upstream: Upstream, tmp_path: Path
) -> None:
    url = postgres.create()
    environ = {"DABIR_DATABASE_URL": url, "DABIR_SECRET": SECRET, "DABIR_LEASE": "1s"}
    with Service(tmp_path / "data", upstream.api_base, environ=environ) as service:
        service.wait_ready()
        assert figure(service, "dabir_database_up") == 1
        postgres.allow_connections(url, False)
        postgres.disconnect(url)
        until(lambda: figure(service, "dabir_database_up") == 0, 30)
        assert figure(service, "dabir_append_batch_size_count") > 0
        unready = httpx.get(f"{service.url}/readyz")
        assert (unready.status_code, list(unready.json()["reasons"])) == (503, ["store"])
        postgres.allow_connections(url, True)
        service.wait_ready()
    postgres.drop(url)
