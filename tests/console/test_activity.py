"""What a node counts, step by step, without counting it twice."""

from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.console.activity import KEPT_MINUTES, STEP_SECONDS, NodeActivity
from infrastructure.figures import Buckets
from infrastructure.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=STEP_SECONDS)
        return self.time


class Node:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.head = self.lag = self.replies = 0
        self.activity = NodeActivity(
            self.metrics.figures,
            Clock(),
            head=lambda: self.head,
            lag=lambda: self.lag,
            open_replies=lambda: self.replies,
        )


def test_a_step_has_what_came_since_the_one_before() -> None:
    node = Node()
    node.metrics.refused("http", "RATE_LIMITED")
    node.head = 100
    node.activity.sample()
    assert node.activity.activity(60).times == []
    node.metrics.request_answered("/a", 200)
    node.metrics.request_answered("/b", 500)
    node.metrics.socket_request_answered("list_chats", 0.1)
    node.metrics.stream_opened()
    node.metrics.socket_connected()
    node.metrics.reply_started()
    node.metrics.first_token_arrived(0.15)
    node.metrics.token_arrived(0.01)
    node.metrics.refused("http", "VALIDATION_ERROR")
    node.metrics.refused("socket", "VALIDATION_ERROR")
    node.head, node.lag, node.replies = 103, 2, 1
    node.activity.sample()
    node.metrics.stream_closed()
    node.metrics.reply_ended("complete")
    node.metrics.reply_ended("failed", "PROVIDER_ERROR")
    node.metrics.fault("lease")
    node.activity.sample()
    seen = node.activity.activity(60)
    assert (seen.times[1] - seen.times[0]).total_seconds() == STEP_SECONDS
    assert (seen.events, seen.requests, seen.pieces) == ([3, 0], [3, 0], [2, 0])
    assert (seen.replies_started, seen.replies_ended) == ([1, 0], [0, 2])
    assert (seen.open_streams, seen.open_sockets) == ([1, 0], [1, 1])
    assert (seen.open_replies, seen.lag) == ([1, 1], [2, 2])
    assert seen.refusals == {"VALIDATION_ERROR": [2, 0]}
    assert (seen.faults, seen.failures) == ({"lease": [0, 1]}, {"PROVIDER_ERROR": [0, 1]})
    assert seen.first_token_p50 == [pytest.approx(0.15), None]
    counted = node.activity.counted()
    totals = counted.totals
    assert (totals.requests, totals.refusals, totals.faults) == (3, 3, 1)
    assert (counted.open_streams, counted.open_sockets) == (0, 1)


def test_an_hour_is_kept_and_no_more() -> None:
    node = Node()
    for head in range(KEPT_MINUTES * 60 // STEP_SECONDS + 100):
        node.head = head
        node.activity.sample()
    hour = node.activity.activity(KEPT_MINUTES)
    assert (hour.times[-1] - hour.times[0]) == timedelta(minutes=60, seconds=-STEP_SECONDS)
    assert set(hour.events) == {1}
    assert node.activity.activity(1).times == hour.times[-60 // STEP_SECONDS :]


def test_percentiles_lie_within_their_bucket() -> None:
    infinite = float("inf")
    measured = Buckets((0.1, 0.2, 0.4, infinite), (0, 10, 20, 20))
    assert measured.percentile(0.5) == pytest.approx(0.2)
    assert measured.percentile(0.25) == pytest.approx(0.15)
    assert measured.percentile(0.95) == pytest.approx(0.38)
    assert Buckets((0.1, infinite), (0, 4)).percentile(0.5) == 0.1
    assert Buckets((0.1, infinite), (0, 0)).percentile(0.5) is None
    assert measured.since(measured).percentile(0.95) is None
