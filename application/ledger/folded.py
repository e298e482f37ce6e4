"""All aggregates of a log while it is folded: the ones in use as they are, the others packed."""

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha256
from types import UnionType
from typing import Any, cast
from uuid import UUID

import msgspec

from application.ports import Recorded
from domain.chat import Chat, ChatState
from domain.refusal import Refusal
from domain.usage import Usage, UsageState

CAPACITY = 100_000
"""Messages and holds of aggregates in use, about 1 KB each."""

AGGREGATE_WEIGHT = 10

_packer = msgspec.msgpack.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")
_unpackers: dict[type, msgspec.msgpack.Decoder[Any]] = {
    Chat: msgspec.msgpack.Decoder(ChatState),
    Usage: msgspec.msgpack.Decoder(UsageState),
}


class Inapplicable(Refusal):
    """An event does not fit on the state before it."""


def applied(before: Chat | Usage | None, recorded: Recorded) -> Chat | Usage:
    """The aggregate after an event, which nobody doubts. Raises Inapplicable."""
    try:
        after = recorded.event.mutate(before)
    except Exception as error:  # whatever applying raises, the event does not fit
        words = f"position {recorded.position} cannot be applied ({type(error).__name__}: {error})"
        raise Inapplicable(words) from error
    return cast(Chat | Usage, after)


class Folded:
    """Whoever takes an aggregate puts it back, or it is gone."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._weight = 0
        self._in_use: OrderedDict[UUID, tuple[Chat | Usage, int]] = OrderedDict()
        self._packed: dict[UUID, tuple[Chat | Usage, bytes]] = {}

    def __len__(self) -> int:
        return len(self._in_use) + len(self._packed)

    def take(self, stream_id: UUID) -> Chat | Usage | None:
        if (entry := self._in_use.pop(stream_id, None)) is not None:
            aggregate, weight = entry
            self._weight -= weight
            return aggregate
        if (packed := self._packed.pop(stream_id, None)) is not None:
            return _unpacked(*packed)
        return None

    def put(self, aggregate: Chat | Usage) -> None:
        weight = _weight(aggregate)
        self._in_use[aggregate.id] = (aggregate, weight)
        self._weight += weight
        while self._weight > self._capacity and len(self._in_use) > 1:
            stream_id, (oldest, weight) = self._in_use.popitem(last=False)
            self._weight -= weight
            state = _packer.encode(oldest.state)
            # The aggregate stays as a shell: its id, version and times.
            del oldest.state
            self._packed[stream_id] = (oldest, state)

    def accounts(self) -> Iterator[Usage]:
        yield from (each for each in self._all(Usage) if isinstance(each, Usage))

    def digest(self) -> str:
        """SHA-256 over the state of every stream, in the order of their ids, in hexadecimal.

        Each is a line of canonical JSON: kind, id, version, state. Whether a chat has a title is
        left out: it is told by contents, which may be erased, or sealed with a key elsewhere.
        """
        hashed = sha256()
        for aggregate in self._all(Chat | Usage):
            state = aggregate.state
            if isinstance(state, ChatState):
                state = msgspec.structs.replace(state, titled=False)
            line = (type(aggregate).TOPIC, aggregate.id, aggregate.version, state)
            # Ids as keys can only be put in order once they are strings.
            plain = msgspec.to_builtins(line, str_keys=True)
            hashed.update(_canonical.encode(plain) + b"\n")
        return hashed.hexdigest()

    def _all(self, kind: type | UnionType) -> Iterator[Chat | Usage]:
        """Those of a kind, in the order of ids. What is packed stays so."""
        for stream_id in sorted([*self._in_use, *self._packed]):
            aggregate, kept = self._in_use.get(stream_id) or self._packed[stream_id]
            if not isinstance(aggregate, kind):
                continue
            if isinstance(kept, bytes):
                yield _unpacked(aggregate, kept)
                del aggregate.state
            else:
                yield aggregate


def _unpacked(aggregate: Chat | Usage, state: bytes) -> Chat | Usage:
    aggregate.state = _unpackers[type(aggregate)].decode(state)
    return aggregate


def _weight(aggregate: Chat | Usage) -> int:
    if isinstance(aggregate, Chat):
        return AGGREGATE_WEIGHT + len(aggregate.state.messages)
    return AGGREGATE_WEIGHT + len(aggregate.state.holds)
