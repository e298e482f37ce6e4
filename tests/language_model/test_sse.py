"""Events are cut out of bytes, however these come."""

import pytest

from infrastructure.language_model.sse import MAX_EVENT, EventData, EventTooLong

STREAM = (
    '\ufeff: a comment\n\ndata: {"a":1}\n\nevent: x\nid: 7\ndata:{"b":\ndata: 2}\n\n'
    'data: "سلام\u2028و\u0085"\n\n: keepalive\n\nretry: 5\n\ndata: [DONE]\n\n'
).encode()
EVENTS = [b'{"a":1}', b'{"b":\n2}', '"سلام\u2028و\u0085"'.encode(), b"[DONE]"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_however_the_bytes_are_split(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    for border in range(len(stream)):
        assert _events([stream[:border], stream[border:]]) == EVENTS
    assert _events([bytes([byte]) for byte in stream]) == EVENTS
    assert _events([stream]) == EVENTS


def test_an_event_that_lacks_its_empty_line_ends_with_the_stream() -> None:
    assert _events([b"data: 1\n\ndata: 2"]) == [b"1", b"2"]
    assert _events([b"data: 1\r\n\r\ndata: 2\r"]) == [b"1", b"2"]


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    events = EventData()
    for _ in range(MAX_EVENT // len(piece)):
        events.feed(piece)
    with pytest.raises(EventTooLong):
        events.feed(piece * 2)


def _events(pieces: list[bytes]) -> list[bytes]:
    events = EventData()
    cut = [event for piece in pieces for event in events.feed(piece)]
    return cut + events.end()
