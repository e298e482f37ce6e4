"""The end of the log as it is remembered: unbroken, and bounded."""

from uuid import uuid4

from infrastructure.event_store.codec import RowValues
from infrastructure.event_store.tail import MOST_BYTES, MOST_EVENTS, Tail


def rows(first: int, count: int, content: bytes = b"x") -> list[RowValues]:
    same: RowValues = {
        "stream_id": uuid4(),
        "version": 1,
        "topic": "chat.message-sent",
        "schema_version": 1,
        "payload": b"{}",
        "payload_digest": b"",
        "personal": content,
        "personal_digest": b"",
        "meta": b"{}",
        "recorded_at": 0,
    }
    return [same | {"position": position} for position in range(first, first + count)]


def positions(tail: Tail, after: int, limit: int = 1000) -> list[int]:
    return [row.position for row in tail.after(after, limit)]


def test_it_answers_for_what_it_holds_and_for_nothing_else() -> None:
    tail = Tail()
    assert positions(tail, 0) == []
    tail.extend(rows(11, 5))
    assert positions(tail, 10) == [11, 12, 13, 14, 15]
    assert positions(tail, 12, limit=2) == [13, 14]
    assert positions(tail, 15) == []
    assert positions(tail, 9) == []


def test_what_follows_a_gap_begins_anew() -> None:
    tail = Tail()
    tail.extend(rows(11, 2))
    tail.extend(rows(20, 2))
    assert positions(tail, 10) == []
    assert positions(tail, 19) == [20, 21]


def test_it_is_bounded_by_events_and_by_bytes() -> None:
    tail = Tail()
    tail.extend(rows(1, 3 * MOST_EVENTS))
    assert positions(tail, 2 * MOST_EVENTS) == [*range(2 * MOST_EVENTS + 1, 3 * MOST_EVENTS + 1)]
    assert positions(tail, 2 * MOST_EVENTS - 1) == []
    tail.clear()
    tail.extend(rows(1, 3, bytes(MOST_BYTES // 2 - 10)))
    assert positions(tail, 0) == [] and positions(tail, 1) == [2, 3]
