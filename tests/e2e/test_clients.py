"""The clients that people use, from the registries they come from, against the real server."""

import pytest

from tests.node import run
from tests.service import Service, token


def test_the_first_snippet_lists_chats_and_hears_of_usage(service: Service, sub: str) -> None:
    seen = dict(run(service, "snippet_connect", token(sub)))
    assert seen["Usage:"]["balance"] == "5"
    assert seen["Chats:"]["chats"] == []
    assert seen["Chats:"]["total"] == 0


def test_the_second_snippet_reads_the_answer(service: Service, visitor: dict[str, str]) -> None:
    seen = run(service, "snippet_send", f"anon:{visitor['x-anon-id']}", "hello from a snippet")
    text = "".join(data["delta"] for event, data in seen if event == "assistant_delta")
    assert text == "hello from a snippet"
    assert [event for event, _ in seen][-2:] == ["assistant_complete", "usage_info"]


def test_the_second_snippet_reads_a_refusal_too(service: Service) -> None:
    seen = run(service, "snippet_send", "not-a-token", "hello")
    assert [(event, data["code"]) for event, data in seen] == [("assistant_error", "UNAUTHORIZED")]


def test_the_third_snippet_never_reads_its_post_and_gets_all_of_it(
    service: Service, sub: str
) -> None:
    seen = run(service, "snippet_event_source", token(sub), "every word of this")
    assert "".join(data for what, data in seen if what == "delta") == "every word of this"
    assert seen[-1][0] == "complete"
    assert seen[-1][1]["content"] == "every word of this"


def test_the_probe_runs_in_an_event_source(service: Service) -> None:
    seen = run(service, "snippet_test_sse", "anon:whoever-it-is")
    assert [what for what, _ in seen] == [f"Test {n}" for n in range(1, 6)] + ["Test completed"]


def test_eventsource_parser_agrees(service: Service, sub: str) -> None:
    content = "emoji 🎈, فارسی, \u2028, and\r\nline ends"
    seen = run(service, "parser", token(sub), content)
    assert "".join(data["delta"] for event, data in seen if event == "assistant_delta") == content
    assert all(data["id"] for _, data in seen)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_channels_tell_the_same_chat(service: Service, sub: str, transport: str) -> None:
    seen = run(service, "both_channels", token(sub), transport)
    pushed = [event for event, _ in seen]
    assert pushed[:2] == ["session", "usage_info"]
    for earlier, later in [
        ("chat_created", "message_created"),
        ("message_created", "reply_started"),
        ("reply_started", "message_completed"),
    ]:
        assert pushed.index(earlier) < pushed.index(later)
    positions = [
        data["position"] for event, data in seen if event not in ("session", "ack", "chats_list")
    ]
    assert all(pushed.count(event) == 1 for event in ("chat_created", "message_completed"))
    chats, messages = (data for event, data in seen if event == "ack")
    assert chats["chats"][0]["message_count"] == 2
    assert [m["content"] for m in messages["messages"]] == [transport, transport]
    assert messages["position"] >= max(p for p in positions if p is not None) - 1


def test_a_refused_handshake_says_why(service: Service) -> None:
    ((event, data),) = run(service, "refused", "not-a-token")
    assert event == "connect_error"
    assert data["code"] == "UNAUTHORIZED"
