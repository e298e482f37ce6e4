"""Compares a live log, event by event, with the hashes that were stored when it was sealed.

The auditor's file needs nothing of ours, and so can name an interval only; the stored hashes name
the position. They are believed in nothing else: the roots are made anew from the events. Memory
grows with the number of streams, some hundred bytes each, and not with that of events.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Engine

from application.audit import Advance, Checkpoint, Fault
from application.ledger.ports import LogReading, StoredEvent
from infrastructure.audit.merkle import Frontier
from infrastructure.audit.sealer import damages, hash_of
from infrastructure.audit.signing import Signer
from infrastructure.audit.tree import StoredTree

ERASURES = frozenset({"chat.erased", "usage.principal-erased"})
"""Topics up to which a stream's words may be gone."""


class Inspection:
    """Of one log, once. `checkpoints` come from the smallest."""

    def __init__(
        self, log: LogReading, reading: Engine, signer: Signer, checkpoints: Iterator[Checkpoint]
    ) -> None:
        self._log = log
        self._reading = reading
        self._signer = signer
        self._checkpoints = checkpoints
        self._next = next(checkpoints, None)
        self._found = Frontier()
        self._versions: dict[UUID, int] = {}
        self._wordless: dict[UUID, list[int]] = {}
        """By stream, the positions whose words are gone and whose erasure was not met yet."""

    def faults(self, advance: Advance) -> Iterator[Fault]:
        head = self._log.head()
        position = 0
        for batch in self._log.batches():
            sealed = self._sealed(batch)
            for event in batch:
                if event.position != position + 1:
                    yield Fault(position + 1, f"missing, and all up to {event.position - 1}")
                position = event.position
                for what in self._take(event, sealed.get(position - 1)):
                    yield Fault(position, what)
                if self._next is not None and self._next.size == self._found.size:
                    yield from self._faults_of_checkpoint(self._next)
                    self._next = next(self._checkpoints, None)
            advance(position, max(head, position))
        for positions in self._wordless.values():
            for each in positions:
                yield Fault(each, "personal is missing, and its stream was not erased")
        if self._next is not None:
            what = f"missing, though {self._next.size} events and more were signed for"
            yield Fault(position + 1, what)

    def _take(self, event: StoredEvent, sealed: bytes | None) -> list[str]:
        """Add the event to what was found so far. Returns what is wrong with it."""
        damaged = damages(event)
        wrong = list(damaged.values()) if damaged else []
        # What has no leaf is not what was sealed either; any other hash stands for it.
        leaf = bytes(32) if "meta" in damaged else hash_of(event)
        if sealed is not None and leaf != sealed:
            wrong.append("its header or one of its digests is not as it was sealed")
        stream = event.stream_id
        known = self._versions.get(stream, 0)
        if event.version != known + 1:
            wrong.append(f"version {event.version} comes after {known} in its stream")
        self._versions[stream] = known + 1 if "version" in damaged else event.version
        if event.personal is None and event.personal_digest is not None:
            self._wordless.setdefault(stream, []).append(event.position)
        if event.topic in ERASURES:
            self._wordless.pop(stream, None)
        self._found.add(leaf)
        return wrong

    def _faults_of_checkpoint(self, checkpoint: Checkpoint) -> Iterator[Fault]:
        size, root = checkpoint.size, checkpoint.root
        with self._reading.begin() as connection:
            kept = StoredTree(connection).gives(size, root)
        if self._found.root() != root:
            yield Fault(None, f"the first {size} events are not those that were signed for")
        if not kept:
            yield Fault(None, f"the stored hashes do not give the root signed at {size} events")
        if self._signer.contradicts(checkpoint.note, size, root):
            yield Fault(None, f"the checkpoint of {size} events is not as it was signed")

    def _sealed(self, batch: Sequence[StoredEvent]) -> dict[int, bytes]:
        """The stored leaf hashes of a batch and of what lies around it, by number of the leaf."""
        with self._reading.begin() as connection:
            return StoredTree(connection).leaves(batch[0].position - 1, batch[-1].position)
