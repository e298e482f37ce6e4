"""A message is sent, answered, paid for, and found again."""

from uuid import uuid4

import httpx
import pytest

from tests.service import (
    Service,
    attaching,
    bearer,
    joined,
    named,
    send,
    sending,
    until,
)
from tests.upstream import Upstream


def test_a_stream_tells_the_whole_reply_in_order(service: Service, sub: str) -> None:
    with sending(service, bearer(sub), content="one two three") as stream:
        events = stream.rest()
        response = stream.response
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    names = [event.name for event in events]
    assert names[0] == "assistant_typing"
    assert names[-2:] == ["assistant_complete", "usage_info"]
    assert set(names[1:-2]) == {"assistant_delta"}
    typing, complete = events[0].data, events[-2].data
    assert joined(events) == complete["content"] == "one two three"
    assert typing["chat_id"] == complete["chat_id"] == response.headers["x-chat-id"]
    assert typing["reply_id"] == response.headers["x-reply-id"]
    assert typing["stream_token"] == response.headers["x-stream-token"]
    assert complete["finish_reason"] == "stop"
    assert complete["message"]["status"] == "complete"
    assert "content" not in complete["message"]
    assert all(event.id.startswith(typing["stream_token"]) for event in events)


def test_frames_have_lf_ends_one_line_of_data_and_retry_once(service: Service, sub: str) -> None:
    with sending(service, bearer(sub), content="line one\nline two\r\nand \u2028 three") as stream:
        events = stream.rest()
    assert b"\r" not in stream.raw
    assert stream.raw.count(b"retry: 3000\n\n") == 1
    for block in stream.raw.decode().split("\n\n")[1:-1]:
        lines = block.split("\n")
        assert [line.split(":")[0] for line in lines] == ["id", "event", "data"]
    assert joined(events) == "line one\nline two\r\nand \u2028 three"


def test_a_user_pays_what_the_provider_counted(service: Service, sub: str) -> None:
    events = send(service, bearer(sub), "count my words", model="paid")
    usage = named(events, "assistant_complete").data["usage"]
    account = named(events, "usage_info").data
    assert usage["estimated"] is False
    assert usage["price_source"] == "models.toml"
    cost = usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 1_000_000
    assert round(float(usage["cost"]) * 10**9) == cost
    assert account["reserved"] == "0"
    assert round((5 - float(account["balance"])) * 10**9) == cost


def test_a_visitor_uses_the_allowance(service: Service, visitor: dict[str, str]) -> None:
    account = named(send(service, visitor, "hello"), "usage_info").data
    assert (account["kind"], account["used"], account["remaining"]) == ("anonymous", 1, 19)
    assert account["resets_at"] is not None


def test_an_id_is_minted_for_who_has_none(service: Service) -> None:
    with sending(service, {}, content="hello") as stream:
        anon_id = stream.response.headers["x-anon-id"]
        events = stream.rest()
    assert events[0].data["anon_id"] == anon_id
    again = named(send(service, {"x-anon-id": anon_id}, "again"), "usage_info").data
    assert again["used"] == 2


def test_the_history_reaches_the_model(service: Service, upstream: Upstream, sub: str) -> None:
    first = send(service, bearer(sub), "my name is Ada")
    chat_id = first[0].data["chat_id"]
    marker = f"what is my name {uuid4()}"
    send(service, bearer(sub), marker, chat_id=chat_id)
    body = next(body for body in upstream.bodies if body["messages"][-1]["content"] == marker)
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == "my name is Ada"
    assert body["max_tokens"] == 1000
    assert body["stream_options"] == {"include_usage": True}


def test_a_closed_tab_loses_nothing(service: Service, upstream: Upstream, sub: str) -> None:
    gate = f"gate-{uuid4().hex}"
    with sending(service, bearer(sub), content=f"[[{gate}]] the answer") as stream:
        first = stream.until("assistant_delta")
    upstream.release(gate.removeprefix("gate-"))
    with attaching(service, bearer(sub), reply_id=first[0].data["reply_id"]) as stream:
        events = stream.rest()
    assert named(events, "assistant_complete").data["content"] == joined(events)
    assert events[0].name == "assistant_typing"


@pytest.mark.parametrize("by", ["last_event_id", "stream_token", "chat_id", "newest"])
def test_a_reply_under_way_is_joined_by_any_of_its_names(
    service: Service, upstream: Upstream, sub: str, by: str
) -> None:
    gate = f"gate-{uuid4().hex}"
    with sending(service, bearer(sub), content=f"[[{gate}]] the answer") as stream:
        seen = stream.until("assistant_delta")
        typing = seen[0].data
        names: dict[str, dict[str, str]] = {
            "last_event_id": {"last_event_id": seen[-1].id},
            "stream_token": {"stream_token": typing["stream_token"]},
            "chat_id": {"chat_id": typing["chat_id"]},
            "newest": {},
        }
        credentials = bearer(sub) if by in ("chat_id", "newest") else {}
        with attaching(service, credentials, **names[by]) as other:
            upstream.release(gate.removeprefix("gate-"))
            there = other.rest()
        here = seen + stream.rest()
    whole = named(here, "assistant_complete").data["content"]
    missed = joined(seen) if by == "last_event_id" else ""
    assert missed + joined(there) == joined(here) == whole


def test_a_reply_is_found_by_its_name_from_its_first_event_on(service: Service, sub: str) -> None:
    headers = bearer(sub)
    for _ in range(15):
        with sending(service, headers, content="[[gate-never]] x") as stream:
            typing = next(iter(stream)).data
            with attaching(service, headers, reply_id=typing["reply_id"]) as there:
                assert there.response.status_code == 200
            stopped = httpx.post(
                f"{service.url}/api/v1/messages/stop",
                json={"reply_id": typing["reply_id"]},
                headers=headers,
            )
            assert stopped.json() == {"reply_id": typing["reply_id"], "stopping": True}
            stream.rest()
        with attaching(service, stream_token=typing["stream_token"]) as there:
            assert named(there.rest(), "assistant_complete").data["finish_reason"] == "stopped"


def test_a_chats_newest_reply_is_read_after_its_end_its_very_first_one_too(
    service: Service, sub: str
) -> None:
    first = send(service, bearer(sub), "the first")
    chat_id = first[0].data["chat_id"]
    with attaching(service, bearer(sub), chat_id=chat_id) as stream:
        assert joined(stream.rest()) == joined(first)
    second = send(service, bearer(sub), "the second", chat_id=chat_id)
    with attaching(service, bearer(sub), chat_id=chat_id) as stream:
        assert joined(stream.rest()) == joined(second)


def test_an_ended_reply_is_joined_from_any_of_its_events(service: Service, sub: str) -> None:
    events = send(service, bearer(sub), "a few words to come back to")
    for index, event in enumerate(events):
        with attaching(service, last_event_id=event.id) as stream:
            there = stream.rest()
        if index == len(events) - 1:
            assert stream.response.status_code == 204
            assert there == []
            continue
        wanted = events[index + 1 :]
        assert joined(there) == joined(wanted)
        assert there[-1] == wanted[-1]
        assert ("assistant_complete" in [e.name for e in there]) == (index < len(events) - 2)


def test_stop_keeps_the_text_and_closes_upstream(
    service: Service, upstream: Upstream, sub: str
) -> None:
    with sending(service, bearer(sub), content="[[gate]] never said") as stream:
        seen = stream.until("assistant_delta")
        answer = httpx.post(
            f"{service.url}/api/v1/messages/stop",
            json={"reply_id": seen[0].data["reply_id"]},
            headers=bearer(sub),
        )
        assert (answer.status_code, answer.json()["stopping"]) == (202, True)
        events = seen + stream.rest()
    complete = named(events, "assistant_complete").data
    assert complete["finish_reason"] == "stopped"
    assert complete["message"]["status"] == "stopped"
    assert complete["content"] == joined(events) != ""
    again = httpx.post(
        f"{service.url}/api/v1/messages/stop",
        json={"chat_id": complete["chat_id"]},
        headers=bearer(sub),
    )
    assert again.json() == {"reply_id": complete["reply_id"], "stopping": False}


def test_regenerating_keeps_the_old_version(service: Service, sub: str) -> None:
    first = named(send(service, bearer(sub), "say it"), "assistant_complete").data
    with sending(service, bearer(sub), route="regenerate", chat_id=first["chat_id"]) as stream:
        events = stream.rest()
    assert events[0].name == "assistant_regenerating"
    assert events[0].data["replaces"] == first["message_id"]
    done = named(events, "assistant_regenerated").data
    assert (done["version"], done["versions"]) == (2, [first["message_id"], done["message_id"]])


def test_the_same_key_attaches_and_another_request_under_it_is_refused(
    service: Service, upstream: Upstream, sub: str
) -> None:
    headers = bearer(sub) | {"idempotency-key": str(uuid4())}
    marker = f"only once {uuid4()}"
    first = send(service, headers, marker)
    second = send(service, headers, marker)
    assert second[0] == first[0]
    assert joined(second) == joined(first) == marker
    assert second[-2:] == first[-2:]
    assert sum(body["messages"][-1]["content"] == marker for body in upstream.bodies) == 1
    with sending(service, headers, content="something else") as stream:
        events = stream.rest()
    assert stream.response.status_code == 422
    assert [event.data["code"] for event in events] == ["IDEMPOTENCY_KEY_REUSED"]


def test_a_chat_answers_one_message_at_a_time(
    service: Service, upstream: Upstream, sub: str
) -> None:
    gate = f"gate-{uuid4().hex}"
    with sending(service, bearer(sub), content=f"[[{gate}]] first") as stream:
        typing = stream.until("assistant_delta")[0].data
        with sending(service, bearer(sub), content="x", chat_id=typing["chat_id"]) as refused:
            error = refused.rest()[0].data
        assert refused.response.status_code == 409
        assert error["code"] == "CHAT_BUSY"
        assert error["details"] == {"reply_id": typing["reply_id"]}
        upstream.release(gate.removeprefix("gate-"))
        stream.rest()


def test_after_the_end_nothing_is_held_and_the_reply_is_no_longer_open(
    service: Service, sub: str
) -> None:
    send(service, bearer(sub), "hello", model="paid")
    with httpx.Client(headers=bearer("operator", "dabir:admin")) as client:
        url = f"{service.url}/api/v1/admin/usage/user:{sub}"
        until(lambda: client.get(url).json()["reserved"] == "0")
