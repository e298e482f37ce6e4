"""A proxy may cut a stream's bytes anywhere; whoever parses them must not notice."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator

import httpx
import httpx_sse
import pytest
import sseclient

from tests.node import CLIENTS
from tests.proxy.speech import chunks
from tests.service import Service, bearer, sending
from tests.upstream import Upstream

CONTENT = (
    'emoji 🎈👩‍👩‍👧, فارسی، «نقل‌قول», "quoted", \\ back, \u2028\u2029\x85, and\r\nline\rends\n\n'
)

CONTENT = 'سی «\u200c» 🎈👩‍👧 \u2028\u2029\x85"\\\r\n\r.\n\n'
"""A character a delta. All that some parser somewhere takes for the end of a line is in it."""

Events = list[tuple[str, str, str]]
"""Id, name and data of each."""


@pytest.fixture(scope="module")
def reply(service: Service, upstream: Upstream) -> bytes:
    """The bytes of a whole stream, as they came from the server."""
    upstream.script("lines", chunks(CONTENT))
    with sending(service, bearer("somebody"), content="[[lines]]") as stream:
        events = stream.rest()
    assert events[-2].data["content"] == CONTENT
    return stream.raw


def by_httpx_sse(writes: Iterable[bytes]) -> Events:
    response = httpx.Response(
        200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=iter(writes)
    )
    events = httpx_sse.EventSource(response).iter_sse()
    # It gives a block that has no data, such as `retry`, as an event too.
    return [(event.id, event.event, event.data) for event in events if event.data]


def by_sseclient(writes: Iterable[bytes]) -> Events:
    events = sseclient.SSEClient(iter(writes)).events()
    return [(event.id or "", event.event, event.data) for event in events]


def divided(data: bytes) -> Iterator[list[bytes]]:
    """Every byte alone, and the whole in two at every place."""
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def expected(reply: bytes) -> Events:
    """By the rules of the wire: three lines an event, each in its place."""
    events = []
    for block in reply.decode().split("\n\n")[1:-1]:
        id_, name, data = block.split("\n")
        events.append((id_[4:], name[7:], data[6:]))
    return events


@pytest.mark.parametrize("parsed", [by_httpx_sse, by_sseclient])
def test_python_parsers_see_the_same_events_however_the_bytes_are_cut(
    reply: bytes, parsed: Callable[[Iterable[bytes]], Events]
) -> None:
    whole = parsed([reply])
    assert whole == expected(reply)
    assert all(parsed(writes) == whole for writes in divided(reply))


def test_eventsource_parser_sees_the_same_events_however_the_bytes_are_cut(reply: bytes) -> None:
    done = subprocess.run(
        ["node", "rechunk.mjs"],
        cwd=CLIENTS,
        input=reply,
        capture_output=True,
        timeout=60,
        check=True,
    )
    whole, different, _ = done.stdout.split(b"\n")
    assert [tuple(event) for event in json.loads(whole)] == expected(reply)
    assert int(different) == 0
