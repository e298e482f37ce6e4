"""The bytes of a stream's events: LF line ends, one line of JSON, at most 8 KB but for the end."""

from collections.abc import Iterable, Iterator

import msgspec

KEEPALIVE = b": keepalive\n\n"
RETRY = b"retry: 3000\n\n"

PIECE = 7_000
"""Bytes of text in one delta: with id, name and message id it stays under 8 KB."""
ENCODED_PIECE = 7_600
SHORT = ENCODED_PIECE // 6
"""Bytes of text that fit into one delta whatever they are: JSON makes none more than six of one."""

_encode = msgspec.json.encode


def frame(event_id: str, event: str, data: object) -> bytes:
    """One event."""
    return f"id: {event_id}\nevent: {event}\ndata: ".encode() + _encode(data) + b"\n\n"


def event_without_id(event: str, data: object) -> bytes:
    """One event of a stream that cannot be resumed."""
    return f"event: {event}\ndata: ".encode() + _encode(data) + b"\n\n"


def on_border(text: bytes | bytearray, offset: int) -> bool:
    """Whether an offset lies between two code points (or at the end, or beyond it)."""
    return offset >= len(text) or (text[offset] & 0xC0) != 0x80


class DeltaFrames:
    """Makes a reply's delta events; what is the same in each of them is made once."""

    def __init__(self, token: str, message_id: str) -> None:
        self._id = f"id: {token}.x.".encode()
        self._text = self._middle("assistant_delta", message_id)
        self._reasoning = self._middle("assistant_reasoning", message_id)

    @staticmethod
    def _middle(event: str, message_id: str) -> bytes:
        return f'\nevent: {event}\ndata: {{"message_id":"{message_id}","delta":'.encode()

    def text(self, text: bytearray, start: int, reasoning_offset: int) -> Iterable[bytes]:
        """The events for `text[start:]`."""
        if (encoded := _only_piece(text, start)) is not None:
            return (self._text_event(len(text), reasoning_offset, encoded),)
        pieces = _pieces(text, start)
        return (self._text_event(end, reasoning_offset, encoded) for end, encoded in pieces)

    def reasoning(self, reasoning: bytearray, start: int, text_offset: int) -> Iterable[bytes]:
        """The events for `reasoning[start:]`."""
        for end, encoded in _pieces(reasoning, start):
            yield b"%b%d.%d%b%b}\n\n" % (self._id, text_offset, end, self._reasoning, encoded)

    def _text_event(self, end: int, reasoning_offset: int, encoded: bytes) -> bytes:
        return b"%b%d.%d%b%b}\n\n" % (self._id, end, reasoning_offset, self._text, encoded)


def _only_piece(text: bytearray, start: int) -> bytes | None:
    """`text[start:]` as a JSON string, where it is so short that it is one piece for sure."""
    if 0 < len(text) - start <= SHORT and on_border(text, start):
        return _encode(text[start:].decode())
    return None


def _pieces(text: bytearray, start: int) -> Iterator[tuple[int, bytes]]:
    """Pieces of the text as JSON strings, each with the offset at which it ends."""
    size = len(text)
    while not on_border(text, start):
        start -= 1  # no offset of ours: better a character twice than half of one
    while start < size:
        end = min(start + PIECE, size)
        while True:
            while not on_border(text, end):
                end -= 1
            encoded = _encode(text[start:end].decode())
            if len(encoded) <= ENCODED_PIECE:
                break
            end = start + (end - start) // 2  # what JSON escapes grows up to six times
        yield end, encoded
        start = end
