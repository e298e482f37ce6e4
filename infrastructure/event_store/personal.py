"""The stored form of an event's personal fields. The first byte names the form.

Plain: 0x00, 16 random bytes, JSON. The random bytes keep the digest of a short text from telling
the text by trying.
"""

import os
from collections.abc import Iterator

PLAIN = b"\x00"
SALT_BYTES = 16
SALTS_AT_ONCE = 256
"""Asking the kernel for each event's own would cost more than all else of encoding it."""


class UnreadablePersonal(Exception):  # noqa: N818 - says what is wrong with the row
    """The stored bytes are of no known form."""


def wrap(content: bytes) -> bytes:
    return PLAIN + next(_salts) + content


def unwrap(stored: bytes) -> bytes:
    """Raises UnreadablePersonal."""
    if stored[:1] != PLAIN or len(stored) <= 1 + SALT_BYTES:
        raise UnreadablePersonal(f"form {stored[:1].hex() or 'missing'}")
    return stored[1 + SALT_BYTES :]


def _fresh_salts() -> Iterator[bytes]:
    while True:
        drawn = os.urandom(SALT_BYTES * SALTS_AT_ONCE)
        for start in range(0, len(drawn), SALT_BYTES):
            yield drawn[start : start + SALT_BYTES]


_salts = _fresh_salts()
