"""What operators ask of the sealed log, and how they are refused.

A hash is 32 bytes of SHA-256; a tree is RFC 9162's, and its leaf number `position - 1` is the event
at that position. All of it is synchronous, as in `application.ledger.ports`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from domain.refusal import Refusal


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement of what the first `size` events are.

    `note` is the checkpoint as it is handed out (C2SP tlog-checkpoint). Times are microseconds
    since 1970, UTC; `delivered_at` is None until the auditor's folder or URL has taken it.
    """

    size: int
    root: bytes
    note: str
    signed_at: int
    delivered_at: int | None = None


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """That the event at `position`, whose header is `leaf`, is among those of `checkpoint`."""

    format: str = "dabir-inclusion/1"
    position: int
    leaf: str
    path: Sequence[bytes]
    checkpoint: str


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """That the events of checkpoint `new` begin with those of checkpoint `old`, unchanged."""

    format: str = "dabir-consistency/1"
    old: str
    new: str
    path: Sequence[bytes]


class Fault(msgspec.Struct, frozen=True):
    """Something that is not as it was sealed. `position` is None where it is no single event's."""

    position: int | None
    what: str


class LogForked(Refusal):
    """The log is not a continuation of what was signed before: sealing on would sign a fork."""


class EventDamaged(Refusal):
    """An event is not what its own digests say, or is missing: it must not be sealed like that."""


class HashesMissing(Refusal):
    """Stored hashes of the tree are gone; the log itself may be sound."""


class NotSealed(Refusal):
    """No checkpoint covers what was asked for."""


Advance = Callable[[int, int | None], None]
"""Called with how many of how many events are done."""


class AuditTrail(Protocol):
    """The sealed log of one data folder."""

    @property
    def verifier_key(self) -> str:
        """The public key, as `name+id+base64` (C2SP signed-note)."""
        ...

    def seal(self, advance: Advance) -> Checkpoint | None:
        """Seal all events there are and sign for them; None where no event is new.

        Raises LogForked, EventDamaged, HashesMissing.
        """
        ...

    def deliver(self) -> int:
        """Hand out what was signed, if anybody is to have it. Returns how many were taken.

        Raises OSError.
        """
        ...

    def head(self) -> int:
        """The last position, sealed or not."""
        ...

    def last(self) -> Checkpoint | None: ...

    def checkpoints(self, last: int | None = None) -> Iterator[Checkpoint]:
        """The last so many or all of them, from the smallest."""
        ...

    def write(self, checkpoints: Iterable[Checkpoint], folder: Path) -> int:
        """As files for auditors; returns how many. Raises OSError."""
        ...

    def prove_inclusion(self, position: int, size: int | None) -> InclusionProof:
        """Against the checkpoint of `size` events, the last one where that is None.

        Raises NotSealed, EventDamaged, HashesMissing.
        """
        ...

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        """Between the checkpoints of `old` and of `new` events.

        Raises NotSealed, HashesMissing.
        """
        ...

    def faults(self, advance: Advance) -> Iterator[Fault]:
        """Compares each event with what was sealed, and the checkpoints with both."""
        ...
