"""A node that dies, or is taken for dead: another one ends its replies, once, with their text."""

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.checkpoints import SHOWN_AHEAD
from tests.engines import Postgres
from tests.many_nodes.nodes import LEASE, serving
from tests.service import Service, Stream, attaching, bearer, joined, named, send, sending
from tests.upstream import Upstream

ENDS_WITHIN = LEASE + 2.0
LONG = "[[tokens-2000-at-50]]"


@pytest.fixture
def two(postgres: Postgres, upstream: Upstream, tmp_path: Path) -> Iterator[list[Service]]:
    """Without Valkey: what is promised needs none."""
    database = postgres.create()
    with serving(tmp_path, upstream.api_base, 2, database) as nodes:
        yield nodes
    postgres.drop(database)


def ended_elsewhere(node: Service, stream: Stream, since: float) -> tuple[float, str]:
    """How long it took, and the text that is left, as another node tells it."""
    token = stream.response.headers["x-stream-token"]
    with attaching(node, stream_token=token) as elsewhere:
        events = elsewhere.rest()
    took = time.monotonic() - since
    error = named(events, "assistant_error").data
    assert error["code"] == "INTERRUPTED"
    assert error["content"] == joined(events)
    return took, error["content"]


def ends_in_log(node: Service, reply_id: str) -> int:
    told = node.dabir("events", "--type", "chat.reply-interrupted", "--limit", "0", "--json")
    assert told.returncode == 0, told.stderr
    return sum(reply_id in line for line in told.stdout.splitlines())


@pytest.mark.alone
def test_a_lost_nodes_reply_is_ended_by_another_within_the_lease_and_two_seconds(
    two: list[Service], sub: str
) -> None:
    _paused_beyond_its_lease(two, sub)
    _killed(two, sub)


def _paused_beyond_its_lease(two: list[Service], sub: str) -> None:
    """It wakes up, and writes and shows nothing more."""
    with sending(two[0], bearer(sub), content=LONG) as stream:
        seen = stream.until("assistant_delta")
        seen += itertools.islice(stream, 20)
        two[0].signal(signal.SIGSTOP)
        took, text = ended_elsewhere(two[1], stream, time.monotonic())
        two[0].signal(signal.SIGCONT)
        rest = stream.rest()
    assert took < ENDS_WITHIN
    # It sent what it had on its way; then it asks the log, as everybody.
    assert named(rest, "assistant_error").data["content"] == text
    shown = joined(seen + rest)
    assert len(shown.split()) < len(text.split()) + 50 * (SHOWN_AHEAD + 0.5)
    assert ends_in_log(two[1], stream.response.headers["x-reply-id"]) == 1
    assert named(send(two[0], bearer(sub), "[[tokens-2]]"), "assistant_complete")


def _killed(two: list[Service], sub: str) -> None:
    headers = bearer(sub)
    with sending(two[0], headers, content=LONG, model="paid") as stream:
        seen = stream.until("assistant_delta")
        seen += itertools.islice(stream, 40)
        since = time.monotonic()
        two[0].kill()
        took, text = ended_elsewhere(two[1], stream, since)
    assert took < ENDS_WITHIN
    # What was read is at most a checkpoint ahead of what is left.
    assert joined(seen).startswith(text[: len(joined(seen))])
    assert len(text.split()) > len(joined(seen).split()) - 50
    assert ends_in_log(two[1], stream.response.headers["x-reply-id"]) == 1
    account = named(send(two[1], headers, "[[tokens-1]]", model="paid"), "usage_info").data
    assert account["reserved"] == "0"
