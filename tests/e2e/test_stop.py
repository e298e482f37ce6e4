"""Stopping from anywhere: quick, paid by what was delivered, one end in every order of things."""

import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.service import Event, Service, attaching, bearer, joined, named, sending, until
from tests.upstream import Upstream


def stop(service: Service, headers: dict[str, str], **name: str) -> httpx.Response:
    return httpx.post(f"{service.url}/api/v1/messages/stop", json=name, headers=headers)


def stopped_in_mid_answer(service: Service, headers: dict[str, str]) -> tuple[float, list[Event]]:
    """How many seconds a stop took, and the stream's events."""
    with sending(service, headers, content="[[tokens-500-at-50]]", model="paid") as stream:
        seen = [*stream.until("assistant_delta")]
        seen += itertools.islice(stream, 20)
        asked = time.monotonic()
        assert stop(service, headers, reply_id=seen[0].data["reply_id"]).json()["stopping"]
        seen += stream.until("assistant_complete")
        return time.monotonic() - asked, seen + stream.rest()


@pytest.mark.alone
def test_stop_ends_within_200_ms_closes_upstream_and_charges_what_came(
    service: Service, upstream: Upstream, sub: str
) -> None:
    before = upstream.stats()["closed_early"]
    took, events = stopped_in_mid_answer(service, bearer(sub))
    until(lambda: upstream.stats()["closed_early"] > before, timeout=1)
    complete, account = named(events, "assistant_complete").data, named(events, "usage_info").data
    assert complete["content"] == joined(events)
    assert complete["usage"]["estimated"] is True
    assert 20 <= complete["usage"]["completion_tokens"] < 500
    assert account["reserved"] == "0"
    assert account["spent"] == complete["usage"]["cost"]
    # The median, as the machine's other work can hold up any one of them.
    others = [stopped_in_mid_answer(service, bearer(f"{sub}-{n}"))[0] for n in range(4)]
    assert statistics.median([took, *others]) < 0.2


def test_a_stop_before_the_first_word_costs_nothing(
    service: Service, upstream: Upstream, sub: str
) -> None:
    headers = bearer(sub)
    with sending(service, headers, content="[[stall-first]]", model="paid") as stream:
        typing = stream.until("assistant_typing")[0].data
        stop(service, headers, chat_id=typing["chat_id"])
        events = stream.rest()
    complete, account = named(events, "assistant_complete").data, named(events, "usage_info").data
    assert (complete["content"], complete["finish_reason"]) == ("", "stopped")
    assert complete["usage"] is None
    assert (account["spent"], account["reserved"]) == ("0", "0")


def test_stop_by_the_clients_own_id(service: Service, sub: str) -> None:
    headers, own_id = bearer(sub), str(uuid4())
    with sending(service, headers, content="[[gate-never]] x", client_message_id=own_id) as stream:
        seen = stream.until("assistant_delta")
        assert stop(service, headers, client_message_id=own_id).json() == {
            "reply_id": seen[0].data["reply_id"],
            "stopping": True,
        }
        assert named(stream.rest(), "assistant_complete").data["finish_reason"] == "stopped"
    assert stop(service, headers, client_message_id="unknown").status_code == 404


@pytest.mark.parametrize("order", list(itertools.permutations(["stop", "disconnect", "resume"])))
def test_stop_disconnect_and_resume_in_every_order_leave_one_end(
    service: Service, sub: str, order: tuple[str, ...]
) -> None:
    headers = bearer(sub)
    there: list[Event] = []
    sent = sending(service, headers, content="[[gate-never]] the answer", model="paid")
    stream = sent.__enter__()
    seen = stream.until("assistant_delta")
    reply_id = seen[0].data["reply_id"]
    joining = attaching(service, last_event_id=seen[-1].id)

    def disconnect() -> None:
        sent.__exit__(None, None, None)

    def resume() -> None:
        there.append(named([*joining.__enter__()], "assistant_complete")) if stopped else None

    stopped = False
    resumed_live = None
    for step in order:
        if step == "stop":
            stop(service, headers, reply_id=reply_id)
            stopped = True
        elif step == "disconnect":
            disconnect()
        elif stopped:
            resume()
        else:
            resumed_live = joining.__enter__()
    if resumed_live is not None:
        there += [event for event in resumed_live if event.name == "assistant_complete"]
    joining.__exit__(None, None, None)
    assert [event.data["finish_reason"] for event in there] == ["stopped"]
    with attaching(service, headers, reply_id=reply_id) as again:
        events = again.rest()
    assert [e.name for e in events].count("assistant_complete") == 1
    assert named(events, "assistant_complete").data["content"] == joined(seen)
    assert named(events, "usage_info").data["reserved"] == "0"


def many_at_once(count: int, act: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(act) for _ in range(count)]]


def test_many_stops_at_once_are_one_end(service: Service, sub: str) -> None:
    headers = bearer(sub)
    with sending(service, headers, content="[[gate-never]] x", model="paid") as stream:
        reply_id = stream.until("assistant_delta")[0].data["reply_id"]
        answers = many_at_once(10, lambda: stop(service, headers, reply_id=reply_id))
        events = stream.rest()
    assert all(answer.status_code == 202 for answer in answers)
    assert answers[0].json()["reply_id"] == reply_id
    assert [event.name for event in events].count("assistant_complete") == 1
