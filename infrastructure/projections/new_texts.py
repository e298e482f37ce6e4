"""New texts of messages, and how the process that fills a set with them is told of them.

Without SQLAlchemy, which that process does not load.
"""

import struct
from collections.abc import Sequence

import msgspec

LENGTH = struct.Struct("<Q")
"""Before each `Changes` in MessagePack: how many bytes it takes."""


class NewText(msgspec.Struct, frozen=True, array_like=True):
    """`owner` is a `search.term_of` the chat's owner."""

    number: int
    owner: str
    content: str
    reasoning: str | None


class Changes(msgspec.Struct, array_like=True):
    """Of one batch. `committed` is the position to commit with, where that is to be done."""

    new: Sequence[NewText]
    committed: int | None
