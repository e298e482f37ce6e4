"""Halves of UTF-16 pairs that JSON escapes let through, which no UTF-8 can carry."""

import re

SURROGATE = re.compile(r"[\ud800-\udfff]")
HIGH = re.compile(r"[\ud800-\udbff]\Z")
REPLACEMENT = "\ufffd"


class Pairs:
    """Joins a pair that was split over two pieces of text; a half alone becomes U+FFFD."""

    def __init__(self) -> None:
        self._high = ""

    def join(self, piece: str) -> str:
        """The piece with its pairs whole; a high half at its end waits for the next piece."""
        if not self._high and piece.isascii():
            return piece  # most of them, and told sooner than by a search
        text = self._high + piece
        self._high = ""
        if not SURROGATE.search(text):
            return text
        if HIGH.search(text):
            text, self._high = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def end(self) -> str:
        """What the last piece left behind."""
        left, self._high = self._high, ""
        return REPLACEMENT if left else ""
