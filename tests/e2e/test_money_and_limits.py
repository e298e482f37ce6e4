"""What is held, charged, given back and refused, by the real server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.node import run
from tests.service import Service, attaching, bearer, named, send, sending, token
from tests.upstream import Upstream

ADMIN = bearer("operator", "dabir:admin")


def top_up(service: Service, sub: str, amount: str, reference: str) -> httpx.Response:
    return httpx.post(
        f"{service.url}/api/v1/admin/usage/user:{sub}/top-up",
        json={"amount": amount, "reference": reference},
        headers=ADMIN,
    )


def account(service: Service, principal: str) -> dict[str, str]:
    answer = httpx.get(f"{service.url}/api/v1/admin/usage/{principal}", headers=ADMIN)
    found: dict[str, str] = answer.json()
    return found


@pytest.fixture(scope="module")
def strict(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server that gives nothing away: no starting balance, two messages for a visitor."""
    folder = tmp_path_factory.mktemp("strict") / "data"
    environ = {"DABIR_ANON_MESSAGE_LIMIT": "2", "DABIR_ANON_ADDRESS_LIMIT": "6"}
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


def test_two_hundred_sends_on_credit_for_one_make_one_model_call(
    strict: Service, upstream: Upstream, sub: str
) -> None:
    # A hold is a thousand tokens of 1000 a million, so about 1 and a little.
    assert top_up(strict, sub, "1.5", "enough-for-one").status_code == 200
    marker = f"[[gate-{uuid4().hex}]] on credit"
    before = sum(marker in json.dumps(body) for body in upstream.bodies)

    async def race() -> list[tuple[int, str]]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=60, limits=limits, headers=bearer(sub)) as client:

            async def one() -> tuple[int, str]:
                url = f"{strict.url}/api/v1/messages/send"
                body = {"content": marker, "model": "paid"}
                async with client.stream("POST", url, json=body) as answer:
                    if answer.status_code == 200:
                        return answer.status_code, answer.headers["x-reply-id"]
                    return answer.status_code, (await answer.aread()).decode()

            return await asyncio.gather(*(one() for _ in range(200)))

    answers = asyncio.run(race())
    granted = [reply_id for status, reply_id in answers if status == 200]
    refused = [body for status, body in answers if status == 402]
    assert (len(granted), len(refused)) == (1, 199)
    assert all("INSUFFICIENT_BALANCE" in body for body in refused)
    assert upstream.wait_calls(1)
    upstream.release(marker[7 : marker.index("]]")])
    with attaching(strict, bearer(sub), reply_id=granted[0]) as stream:
        stream.rest()
    assert sum(marker in json.dumps(body) for body in upstream.bodies) - before == 1
    assert account(strict, f"user:{sub}")["reserved"] == "0"


def test_a_refused_send_leaves_nothing_behind(strict: Service, sub: str) -> None:
    with sending(strict, bearer(sub), content="too dear", model="paid") as stream:
        error = stream.rest()[0].data
    assert stream.response.status_code == 402
    assert error["code"] == "INSUFFICIENT_BALANCE"
    assert error["details"]["available"] == "0"
    assert float(error["details"]["required"]) > 1
    assert error["details"]["currency"] == "USD"
    assert "refused.INSUFFICIENT_BALANCE" in stream.response.headers["set-cookie"]
    assert account(strict, f"user:{sub}")["reserved"] == "0"
    # A retry after a top-up works: refusals are not remembered.
    top_up(strict, sub, "5", "now-it-is-enough")
    assert named(send(strict, bearer(sub), "too dear", model="paid"), "assistant_complete")


def test_a_top_up_counts_once_for_each_reference(strict: Service, sub: str) -> None:
    assert top_up(strict, sub, "2.5", "invoice-1").status_code == 200
    assert top_up(strict, sub, "2.50", "invoice-1").status_code == 200
    assert top_up(strict, sub, "3", "invoice-1").status_code == 422
    assert account(strict, f"user:{sub}")["balance"] == "2.5"


def test_the_allowance_ends_and_a_reply_without_output_gives_it_back(
    upstream: Upstream, tmp_path: Path
) -> None:
    visitor = {"x-anon-id": f"visitor-{uuid4()}"}
    environ = {"DABIR_ANON_MESSAGE_LIMIT": "2", "DABIR_ANON_ADDRESS_LIMIT": "3"}
    with Service(tmp_path / "data", upstream.api_base, environ=environ) as service:
        failed = send(service, visitor, "[[refuse-500]]")
        assert named(failed, "usage_info").data["used"] == 0
        send(service, visitor, "one")
        assert named(send(service, visitor, "two"), "usage_info").data["remaining"] == 0
        with sending(service, visitor, content="three") as stream:
            error = stream.rest()[0].data
        assert stream.response.status_code == 429
        assert error["code"] == "ANON_LIMIT_REACHED"
        assert error["details"]["limit"] == error["details"]["used"] == 2
        # Another id from the same address gets what is left of the address's limit.
        other = {"x-anon-id": f"visitor-{uuid4()}"}
        send(service, other, "three")
        with sending(service, other, content="four") as stream:
            error = stream.rest()[0].data
        assert error["code"] == "ANON_LIMIT_REACHED"
        assert error["details"]["scope"] == "address"
        assert error["details"]["limit"] == 3


def test_who_stops_before_the_first_word_has_used_the_allowance(
    service: Service, upstream: Upstream, visitor: dict[str, str]
) -> None:
    with sending(service, visitor, content="[[stall-first]]") as stream:
        typing = stream.until("assistant_typing")[0].data
        httpx.post(
            f"{service.url}/api/v1/messages/stop",
            json={"reply_id": typing["reply_id"]},
            headers=visitor,
        )
        events = stream.rest()
    assert named(events, "assistant_complete").data["usage"] is None
    assert named(events, "usage_info").data["used"] == 1


@pytest.mark.parametrize(
    ("kind", "code"), [("user", "INSUFFICIENT_BALANCE"), ("visitor", "ANON_LIMIT_REACHED")]
)
def test_a_refusal_reaches_the_callers_sockets_too(
    strict: Service, sub: str, visitor: dict[str, str], kind: str, code: str
) -> None:
    if kind == "visitor":
        send(strict, visitor, "one")
        send(strict, visitor, "two")
    who = f"anon:{visitor['x-anon-id']}" if kind == "visitor" else token(sub)
    seen = dict(run(strict, "refused_send", who, "one too many"))
    assert seen["answer"]["code"] == seen["assistant_error"]["code"] == code
    assert seen["assistant_error"]["details"] == seen["answer"]["details"]


def test_an_eventsource_opened_after_a_refusal_hears_of_it_once(strict: Service, sub: str) -> None:
    with sending(strict, bearer(sub), content="too dear", model="paid") as stream:
        cookie = stream.response.headers["set-cookie"].split(";")[0]
    with attaching(strict, {"cookie": cookie}) as stream:
        events = stream.rest()
    assert stream.response.status_code == 200
    assert [event.data["code"] for event in events] == ["INSUFFICIENT_BALANCE"]
    assert "Max-Age=0" in stream.response.headers["set-cookie"]
