"""The bytes of a stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.sse.frames import DeltaFrames, event_without_id, frame

LIMIT = 8 * 1024
TOKEN = "t" * 43
MESSAGE = "0" * 36

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda text: text * 200)


def parsed(frame: bytes) -> tuple[str, str, str]:
    lines = frame.decode().removesuffix("\n\n").split("\n")
    assert [line.partition(": ")[0] for line in lines] == ["id", "event", "data"]
    event_id, event, data = (line.partition(": ")[2] for line in lines)
    return event_id, event, json.loads(data)["delta"]


@given(texts)
def test_joined_deltas_are_the_text_and_no_frame_is_over_the_limit(text: str) -> None:
    frames = list(DeltaFrames(TOKEN, MESSAGE).text(bytearray(text.encode()), 0, 0))
    assert all(len(frame) <= LIMIT for frame in frames)
    assert "".join(parsed(frame)[2] for frame in frames) == text


@given(texts.filter(bool), st.data())
def test_from_any_event_id_on_the_rest_is_exactly_what_was_missed(
    text: str, data: st.DataObject
) -> None:
    utf8 = bytearray(text.encode())
    frames = list(DeltaFrames(TOKEN, MESSAGE).text(utf8, 0, 7))
    seen = data.draw(st.integers(1, len(frames)))
    event_id = parsed(frames[seen - 1])[0]
    _, phase, offset, reasoning = event_id.split(".")
    assert (phase, reasoning) == ("x", "7")
    rest = DeltaFrames(TOKEN, MESSAGE).text(utf8, int(offset), 7)
    there = "".join(parsed(frame)[2] for frame in [*frames[:seen], *rest])
    assert there == text


@pytest.mark.parametrize("character", ["\x00", '"', "\\", "é", "ی", "🎈", "\u2028", "\n"])
def test_what_json_escapes_keeps_under_the_limit_too(character: str) -> None:
    text = character * 20_000
    frames = list(DeltaFrames(TOKEN, MESSAGE).text(bytearray(text.encode()), 0, 0))
    assert max(map(len, frames)) <= LIMIT
    assert "".join(parsed(frame)[2] for frame in frames) == text


def test_an_offset_inside_a_code_point_goes_back_to_its_border() -> None:
    (only,) = DeltaFrames(TOKEN, MESSAGE).text(bytearray("a🎈".encode()), 3, 0)
    assert parsed(only)[2] == "🎈"


def test_reasoning_counts_its_own_offset() -> None:
    (only,) = DeltaFrames(TOKEN, MESSAGE).reasoning(bytearray(b"thinking"), 5, 12)
    event_id, event, delta = parsed(only)
    assert (event_id, event, delta) == (f"{TOKEN}.x.12.8", "assistant_reasoning", "ing")


def test_an_event_is_id_event_and_one_line_of_data() -> None:
    assert frame("1", "x", {"a": "b\nc"}) == b'id: 1\nevent: x\ndata: {"a":"b\\nc"}\n\n'
    assert event_without_id("x", {}) == b"event: x\ndata: {}\n\n"
