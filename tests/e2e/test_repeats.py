"""The same key and request: one message, one call, one charge, whenever and however often."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest

from tests.node import run
from tests.service import Service, bearer, named, send, sending, token
from tests.upstream import Upstream


async def twins(service: Service, route: str, headers: dict[str, str], body: object) -> list[str]:
    """The streams of twenty requests made at once."""
    async with httpx.AsyncClient(timeout=60, headers=headers) as client:
        url = f"{service.url}/api/v1/messages/{route}"
        answers = await asyncio.gather(*(client.post(url, json=body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-reply-id"] for answer in answers]


@pytest.mark.parametrize("by", ["header", "client_message_id"])
def test_concurrent_twins_make_one_message_one_call_one_charge(
    service: Service, upstream: Upstream, sub: str, by: str
) -> None:
    marker, key = f"[[tokens-20-at-100]] {uuid4()}", str(uuid4())
    headers = bearer(sub) | ({"idempotency-key": key} if by == "header" else {})
    body = {"content": marker, "model": "paid"}
    if by == "client_message_id":
        body["client_message_id"] = key
    replies = asyncio.run(twins(service, "send", headers, body))
    assert len(set(replies)) == 1
    assert sum(marker in json.dumps(each) for each in upstream.bodies) == 1
    events = send(service, headers, **body)
    account, usage = named(events, "usage_info").data, named(events, "assistant_complete").data
    assert account["messages"] == 1
    assert account["spent"] == usage["usage"]["cost"]


def test_concurrent_twins_of_a_regeneration_are_one_too(
    service: Service, upstream: Upstream, sub: str
) -> None:
    marker = f"again and again {uuid4()}"
    chat_id = send(service, bearer(sub), marker)[0].data["chat_id"]
    headers = bearer(sub) | {"idempotency-key": str(uuid4())}
    replies = asyncio.run(twins(service, "regenerate", headers, {"chat_id": chat_id}))
    assert len(set(replies)) == 1
    assert sum(marker in json.dumps(each) for each in upstream.bodies) == 2


def test_without_a_key_every_send_is_its_own(service: Service, sub: str) -> None:
    first = send(service, bearer(sub), "twice")
    second = send(service, bearer(sub), "twice")
    assert first[0].data["chat_id"] != second[0].data["chat_id"]


def test_a_key_is_the_principals_own(service: Service, sub: str) -> None:
    key = {"idempotency-key": str(uuid4())}
    mine = send(service, bearer(sub) | key, "mine")
    theirs = send(service, bearer(f"other-{sub}") | key, "mine")
    assert mine[0].data["reply_id"] != theirs[0].data["reply_id"]


def test_a_key_opens_no_chat_that_somebody_else_has_claimed(
    service: Service, visitor: dict[str, str], sub: str
) -> None:
    headers = visitor | {"idempotency-key": str(uuid4())}
    chat_id = send(service, headers, "soon a user's")[0].data["chat_id"]
    assert run(service, "claim", f"{token(sub)} {visitor['x-anon-id']}") == [("ack", [chat_id])]
    with sending(service, headers, content="soon a user's") as stream:
        assert stream.rest()[0].data["code"] == "CHAT_NOT_FOUND"


def test_a_reply_that_failed_is_returned_as_failed(
    service: Service, upstream: Upstream, sub: str
) -> None:
    headers = bearer(sub) | {"idempotency-key": str(uuid4())}
    first = named(send(service, headers, "[[refuse-500]]"), "assistant_error")
    calls = upstream.calls
    assert named(send(service, headers, "[[refuse-500]]"), "assistant_error") == first
    assert upstream.calls == calls


def test_a_refusal_is_not_remembered(service: Service, sub: str) -> None:
    headers = bearer(sub) | {"idempotency-key": str(uuid4())}
    with sending(service, headers, content="x", model="nobodys") as refused:
        assert refused.rest()[0].data["code"] == "MODEL_NOT_FOUND"
    assert named(send(service, headers, "x", model="free"), "assistant_complete")
