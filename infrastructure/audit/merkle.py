"""The arithmetic of RFC 9162 (2.1): roots and proofs from the hashes of complete subtrees.

`node(level, index)` gives the hash of the complete subtree over the leaves from `index << level` to
`(index + 1) << level`. Whoever checks a proof has arithmetic of their own, in the auditor's file.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias

from application.ledger.ports import StoredEvent

Node: TypeAlias = Callable[[int, int], bytes]

HEADER = "dabir-event/1"
"""Names the form of a leaf. Another form is a new name, and a new log."""

STREAMS_REMEMBERED = 10_000
"""Whose ids are not written anew for each of their events: half of what a leaf costs."""

EMPTY_ROOT = sha256().digest()


def leaf_of(event: StoredEvent) -> str:
    """What the tree holds of an event: its header and digests on one line, no newline at its end.

    `meta` comes last, as it alone may hold spaces. Raises UnicodeDecodeError.
    """
    personal = event.personal_digest
    return (
        f"{HEADER} {event.position} {_text_of(event.stream_id)} {event.version} {event.topic} "
        f"{event.schema_version} {event.recorded_at} {event.payload_digest.hex()} "
        f"{'-' if personal is None else personal.hex()} {event.meta.decode()}"
    )


_text_of = lru_cache(STREAMS_REMEMBERED)(str)


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Of a power of two of hashes that stand side by side on one level."""
    while len(hashes) > 1:
        hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


class Frontier:
    """A tree that is only ever added to: its complete subtrees, one of a size, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Takes a leaf's hash."""
        carried = leaf
        merges = self.size
        while merges & 1:
            carried = node_hash(self._subtrees.pop(), carried)
            merges >>= 1
        self._subtrees.append(carried)
        self.size += 1

    def root(self) -> bytes:
        if not self._subtrees:
            return EMPTY_ROOT
        *larger, found = self._subtrees
        for subtree in reversed(larger):
            found = node_hash(subtree, found)
        return found


def root(node: Node, size: int) -> bytes:
    """The hash of a tree of `size` leaves."""
    return _range_root(node, 0, size) if size else EMPTY_ROOT


def inclusion_path(node: Node, leaf: int, size: int) -> list[bytes]:
    """Hashes from the leaf's sibling upwards. Needs 0 <= leaf < size."""
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if leaf < middle:
            path.append(_range_root(node, middle, end))
            end = middle
        else:
            path.append(_range_root(node, start, middle))
            start = middle
    return path[::-1]


def consistency_path(node: Node, old: int, new: int) -> list[bytes]:
    """Needs 0 < old <= new; empty where they are equal."""
    path: list[bytes] = []
    start, end = 0, new
    # While the old tree ends inside of [start, end), and not where that ends.
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_root(node, middle, end))
            end = middle
        else:
            path.append(_range_root(node, start, middle))
            start = middle
    if start:
        path.append(_range_root(node, start, end))
    return path[::-1]


def _range_root(node: Node, start: int, end: int) -> bytes:
    """Of the leaves in [start, end), where start is a multiple of the next power of two."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range_root(node, start, middle), _range_root(node, middle, end))


def _split(count: int) -> int:
    """The largest power of two below `count`, for 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)
