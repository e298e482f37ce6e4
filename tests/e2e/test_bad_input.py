"""Whatever is sent, the answer is an error of the protocol and nothing is half written."""

import json
import socket
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.service import Service, bearer, named, send, token

SEND = "/api/v1/messages/send"


def post(
    service: Service, body: bytes, headers: dict[str, str], route: str = SEND
) -> httpx.Response:
    return httpx.post(
        f"{service.url}{route}",
        content=body,
        headers={"content-type": "application/json", "accept": "application/json"} | headers,
    )


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "$"),
    (b"{", "$"),
    (b"[]", "$"),
    (b'"hello"', "$"),
    (b"\xff\xfe", "$"),
    (b'{"content": 5}', "$.content"),
    (b'{"content": ""}', "$.content"),
    (b'{"content": "x", "colour": "red"}', "$"),
    (b'{"content": "x", "chat_id": "not-an-id"}', "$.chat_id"),
    (b'{"content": "x", "temperature": NaN}', "$"),
    (b'{"content": "x", "temperature": 3}', "$.temperature"),
    (b'{"content": "x", "temperature": "0.7"}', "$.temperature"),
    (b'{"content": "x", "max_tokens": 0}', "$.max_tokens"),
    (b'{"content": "x", "top_p": 0}', "$.top_p"),
    (b'{"content": "\\ud83d"}', "$"),
    (b'{"content": "x", "parent_id": "018f0000-0000-7000-8000-000000000000"}', "$.chat_id"),
]


@pytest.mark.parametrize(("body", "path"), BAD_BODIES)
def test_a_bad_body_is_refused_with_the_place(
    service: Service, sub: str, body: bytes, path: str
) -> None:
    answer = post(service, body, bearer(sub))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "VALIDATION_ERROR"
    assert problem["retryable"] is False
    assert problem["details"]["path"].startswith(path)


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", ""])
def test_who_reads_the_stream_gets_the_error_as_an_event(
    service: Service, sub: str, accept: str
) -> None:
    answer = post(service, b"{}", bearer(sub) | {"accept": accept})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "event: assistant_error\n" in answer.text


def test_eight_megabytes_are_refused(service: Service, sub: str) -> None:
    body = json.dumps({"content": "x" * 8_000_000}).encode()
    answer = post(service, body, bearer(sub))
    assert (answer.status_code, answer.json()["code"]) == (413, "CONTENT_TOO_LARGE")


def test_content_over_the_limit_is_refused_and_up_to_it_is_not(service: Service, sub: str) -> None:
    over = post(service, json.dumps({"content": "é" * 100_001}).encode(), bearer(sub))
    assert (over.status_code, over.json()["code"]) == (413, "CONTENT_TOO_LARGE")
    within = send(service, bearer(sub), "é" * 100_000)
    assert named(within, "assistant_complete").data["content"] == "é" * 100_000


BAD_TOKENS = {
    "word": "x",
    "three-words": "a.b.c",
    "expired": token("someone", expires_in=-60),
    "tampered": token("someone") + "x",
    "not-ascii": "é",
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_bad_token_is_refused_and_never_taken_for_anonymous(service: Service, bad: str) -> None:
    headers = {
        b"accept": b"application/json",
        b"authorization": f"Bearer {bad}".encode(),
        b"x-anon-id": b"a-valid-anonymous-id",
    }
    answer = httpx.post(
        f"{service.url}{SEND}",
        json={"content": "hello"},
        headers=headers,
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("anon_id", ["short", "has space in it", "x" * 129, "sla/shes/in/it"])
def test_a_bad_anonymous_id_is_refused(service: Service, anon_id: str) -> None:
    answer = post(service, b'{"content": "x"}', {"x-anon-id": anon_id})
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


def test_what_is_somebody_elses_does_not_exist(service: Service, sub: str) -> None:
    mine = send(service, bearer(sub), "mine")[0].data
    other = bearer(f"other-{uuid4()}") | {"accept": "application/json"}

    def asked(method: str, path: str, body: Any = None) -> tuple[int, str]:
        answer = httpx.request(
            method, f"{service.url}/api/v1/messages/{path}", json=body, headers=other
        )
        return answer.status_code, answer.json()["code"]

    chat_id, reply_id = mine["chat_id"], mine["reply_id"]
    no_chat, no_reply = (404, "CHAT_NOT_FOUND"), (404, "REPLY_NOT_FOUND")
    assert asked("POST", "send", {"content": "x", "chat_id": chat_id}) == no_chat
    assert asked("POST", "regenerate", {"chat_id": chat_id}) == no_chat
    assert asked("POST", "stop", {"chat_id": chat_id}) == no_chat
    assert asked("POST", "stop", {"reply_id": reply_id}) == no_reply
    assert asked("GET", f"send?reply_id={reply_id}") == no_reply
    assert asked("GET", f"send?chat_id={chat_id}") == no_chat
    missing = str(uuid4())
    assert asked("POST", "send", {"content": "x", "chat_id": missing}) == no_chat


def test_unknown_messages_and_models_are_told_apart(service: Service, sub: str) -> None:
    chat_id = send(service, bearer(sub), "mine")[0].data["chat_id"]
    for body, code in [
        ({"content": "x", "chat_id": chat_id, "parent_id": str(uuid4())}, "MESSAGE_NOT_FOUND"),
        ({"content": "x", "chat_id": chat_id, "edit_of": str(uuid4())}, "MESSAGE_NOT_FOUND"),
        ({"content": "x", "model": "no-such-model"}, "MODEL_NOT_FOUND"),
    ]:
        answer = post(service, json.dumps(body).encode(), bearer(sub))
        assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize(
    "query", ["last_event_id=nonsense", "reply_id=nonsense", "chat_id=nonsense"]
)
def test_a_malformed_name_of_a_reply_is_refused(service: Service, sub: str, query: str) -> None:
    answer = httpx.get(
        f"{service.url}{SEND}?{query}", headers=bearer(sub) | {"accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


def test_an_event_id_that_contradicts_the_reply_is_refused(service: Service, sub: str) -> None:
    event_id = send(service, bearer(sub), "mine")[0].id
    answer = httpx.get(
        f"{service.url}{SEND}",
        params={"reply_id": str(uuid4())},
        headers={"last-event-id": event_id, "accept": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


def test_an_event_id_agrees_with_its_reply_however_that_is_written(
    service: Service, sub: str
) -> None:
    typing = send(service, bearer(sub), "mine")[0]
    answer = httpx.get(
        f"{service.url}{SEND}",
        params={"reply_id": typing.data["reply_id"].upper()},
        headers={"last-event-id": typing.id},
    )
    assert answer.status_code == 200


def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(service: Service, sub: str) -> None:
    url = httpx.URL(service.url)
    faults = service.count_in_log('"fault"')
    with socket.create_connection((url.host, url.port or 80)) as leaving:
        head = f"POST {SEND} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
        leaving.sendall(head.encode() + b'{"con')
    # Whatever comes of it has come before a later request's answer.
    send(service, bearer(sub), "afterwards")
    assert service.count_in_log('"fault"') == faults


def test_a_made_up_refusal_in_a_cookie_counts_as_none(service: Service) -> None:
    answer = httpx.get(f"{service.url}{SEND}", headers={"cookie": "dabir_stream=refused.<b>"})
    assert answer.status_code == 204


def test_a_made_up_stream_token_opens_nothing(service: Service, sub: str) -> None:
    stream_token = send(service, bearer(sub), "mine")[0].data["stream_token"]
    made_up = stream_token[:-1] + ("A" if stream_token[-1] != "A" else "Q")
    answer = httpx.get(
        f"{service.url}{SEND}?stream_token={made_up}", headers={"accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "REPLY_NOT_FOUND")


def test_two_keys_that_differ_are_refused(service: Service, sub: str) -> None:
    answer = post(
        service,
        b'{"content": "x", "client_message_id": "one"}',
        bearer(sub) | {"idempotency-key": "another"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


def test_nothing_of_it_was_written(service: Service, sub: str) -> None:
    for body, _ in BAD_BODIES:
        post(service, body, bearer(sub))
    events = send(service, bearer(sub), "the first and only one")
    assert named(events, "usage_info").data["messages"] == 1


def test_no_secret_and_nobodys_words_are_in_the_log(service: Service, sub: str) -> None:
    marker = f"words-{uuid4()}"
    headers = bearer(sub)
    events = send(service, headers, f"{marker} [[refuse-500]]")
    httpx.get(f"{service.url}{SEND}?last_event_id={events[0].id}")
    log = "\n".join(service.log)
    for secret in (marker, headers["authorization"][7:], events[0].id, "sk-"):
        assert secret not in log
