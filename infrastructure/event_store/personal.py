"""The stored form of an event's personal fields. The first byte names the form.

Plain: 0x00, 16 random bytes, JSON. The random bytes keep the digest of a short text from telling
the text by trying.
"""

import os
from collections.abc import Iterator
from typing import Protocol
from uuid import UUID

PLAIN = b"\x00"
SALT_BYTES = 16
SALTS_AT_ONCE = 256
"""Asking the kernel for each event's own would cost more than all else of encoding it."""


class UnreadablePersonal(Exception):  # noqa: N818 - says what is wrong with the row
    """The stored bytes are of no known form."""


class PersonalForm(Protocol):
    """How personal bytes are stored. The stream, version and topic are those of their event."""

    def seal(self, content: bytes, stream_id: UUID, version: int, topic: str) -> bytes: ...

    def open(self, stored: bytes, stream_id: UUID, version: int, topic: str) -> bytes | None:
        """None where the stream was erased. Raises UnreadablePersonal."""
        ...


class PlainForm:
    def seal(self, content: bytes, stream_id: UUID, version: int, topic: str) -> bytes:
        return PLAIN + fresh_salt() + content

    def open(self, stored: bytes, stream_id: UUID, version: int, topic: str) -> bytes | None:
        if stored[:1] != PLAIN or len(stored) < 1 + SALT_BYTES:
            raise UnreadablePersonal(f"form {stored[:1].hex() or 'missing'}")
        return stored[1 + SALT_BYTES :]


def fresh_salt() -> bytes:
    """Sixteen random bytes. For one thread, that of the event loop."""
    return next(_salts)


def _fresh_salts() -> Iterator[bytes]:
    while True:
        drawn = os.urandom(SALT_BYTES * SALTS_AT_ONCE)
        for start in range(0, len(drawn), SALT_BYTES):
            yield drawn[start : start + SALT_BYTES]


_salts = _fresh_salts()
