"""Seals the log: reads what is new, adds it to the tree, and signs for it.

Appends never wait for this: the log is read in batches and hashed outside of any transaction, and
what follows under the write lock is some rows of hashes. Any number of processes may do so at once.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from typing import Protocol, TypeAlias

import msgspec
from sqlalchemy import Engine, insert

from application.audit import Checkpoint, EventDamaged, LogForked
from application.ledger.ports import LogReading, StoredEvent
from application.ports import Clock
from infrastructure.audit import merkle
from infrastructure.audit.checkpoints import checkpoints, last_checkpoint
from infrastructure.audit.signing import Signer
from infrastructure.audit.tree import StoredTree, metadata
from infrastructure.event_store.schema import micros

NUMBERS = ("version", "schema_version", "recorded_at")

Claim: TypeAlias = tuple[int, bytes | None]
"""A size that was signed for, and its root where that is known."""


class Witness(Protocol):
    """Remembers outside of the log's database how much of which log was signed for."""

    def sealed(self, log_id: str) -> int: ...

    def note_sealed(self, log_id: str, size: int) -> None: ...


class Sealer:
    """`reading` cannot write, `writing` begins each transaction with the write lock.

    `held` gives the newest checkpoint that the auditor is known to hold. With the `witness` it
    tells when this log was put back from a copy that is older than what was signed.
    """

    def __init__(
        self,
        log: LogReading,
        reading: Engine,
        writing: Engine,
        signer: Signer,
        clock: Clock,
        held: Callable[[], str | None] = lambda: None,
        witness: Witness | None = None,
    ) -> None:
        self._log = log
        self._reading = reading
        self._writing = writing
        self._signer = signer
        self._clock = clock
        self._held = held
        self._witness = witness
        self._outside_is_known = False
        with writing.begin() as connection:
            metadata.create_all(connection)
            self.size = StoredTree(connection).size
            last = last_checkpoint(connection)
        self.sealed = last.size if last else 0

    size: int
    """Events in the tree, as this process last saw it."""

    sealed: int
    """Events that were signed for, as this process last saw it."""

    def advance(self) -> bool:
        """Add the next batch of events to the tree. Returns whether there was any.

        Raises LogForked, EventDamaged, HashesMissing; the tree is then as it was.
        """
        with self._reading.begin() as connection:
            tree = StoredTree(connection)
            self.size = size = tree.size
            last_leaf = tree.leaf(size - 1) if size else None
        # From the last one in the tree on: it shows whether this is still the log it was.
        events = self._events(after=max(0, size - 1))
        if last_leaf is not None:
            if not events or _sound_hash(events[0], size) != last_leaf:
                raise LogForked(
                    f"position {size} was sealed, and is not in the log any more as it was: "
                    "the log was cut, changed, or put back from an older copy"
                )
            events = events[1:]
        if not events:
            return False
        hashes = [_sound_hash(event, size + n) for n, event in enumerate(events, start=1)]
        with self._writing.begin() as connection:
            tree = StoredTree(connection)
            # Another process may have come first; its work is then gone on with.
            if tree.size == size:
                tree.append(hashes)
            self.size = tree.size
        return True

    def sign(self) -> Checkpoint | None:
        """Sign for the tree as it is; None where that was done already.

        Raises LogForked; ConfigurationError where what the auditor holds cannot be read.
        """
        claims = self._claims_outside()
        with self._writing.begin() as connection:
            tree = StoredTree(connection)
            last = last_checkpoint(connection)
            self.sealed = last.size if last else 0
            self._require_extension(tree, last, claims)
            if tree.size == self.sealed:
                return None
            root = tree.root(tree.size)
            checkpoint = Checkpoint(
                size=tree.size,
                root=root,
                note=self._signer.checkpoint(tree.size, root),
                signed_at=micros(self._clock.now()),
            )
            connection.execute(insert(checkpoints), msgspec.structs.asdict(checkpoint))
        self.sealed = checkpoint.size
        self._outside_is_known = True
        if self._witness:
            self._witness.note_sealed(self._log.log_id, checkpoint.size)
        return checkpoint

    def _claims_outside(self) -> list[Claim]:
        """What others know to have been signed. Only asked for once: this process adds to it."""
        if self._outside_is_known:
            return []
        claims: list[Claim] = []
        if self._witness is not None:
            claims.append((self._witness.sealed(self._log.log_id), None))
        if (held := self._held()) is not None and (own := self._signer.own(held)) is not None:
            claims.append(own)
        return claims

    def _require_extension(
        self, tree: StoredTree, last: Checkpoint | None, claims: Sequence[Claim]
    ) -> None:
        """The new root is made of the same hashes that must give the earlier ones here."""
        signed = [(last.size, last.root)] if last else []
        for size, root in (*claims, *signed):
            if size > tree.size:
                raise LogForked(f"{size} events were signed for, and here are only {tree.size}")
            if root is not None and not tree.gives(size, root):
                raise LogForked(f"the first {size} events are not those that were signed for")
        if last and self._signer.contradicts(last.note, last.size, last.root):
            raise LogForked(f"the stored checkpoint of {last.size} events is not as it was signed")

    def _events(self, after: int) -> Sequence[StoredEvent]:
        with closing(self._log.batches(after)) as batches:  # type: ignore[type-var]
            return next(batches, ())


def damages(event: StoredEvent) -> dict[str, str]:
    """What is wrong with an event by itself, in words, by column."""
    found = {}
    personal = event.personal
    if sha256(event.payload).digest() != event.payload_digest:
        found["payload"] = "payload is not what payload_digest is of"
    if personal is not None and sha256(personal).digest() != event.personal_digest:
        found["personal"] = "personal is not what personal_digest is of"
    # SQLite keeps text in a column of numbers, if somebody writes it there.
    if not type(event.version) is type(event.schema_version) is type(event.recorded_at) is int:
        for column in NUMBERS:
            if not isinstance(getattr(event, column), int):
                found[column] = f"{column} is not a number"
    if not event.meta.isascii():
        try:
            event.meta.decode()
        except UnicodeDecodeError:
            found["meta"] = "meta is not text"
    return found


def _sound_hash(event: StoredEvent, position: int) -> bytes:
    """The leaf's hash of an event that is what it says, at the position where it must be."""
    if event.position != position:
        raise EventDamaged(f"position {position} is missing from the log")
    if damaged := damages(event):
        raise EventDamaged(f"position {position}: {', '.join(damaged.values())}")
    return hash_of(event)


def hash_of(event: StoredEvent) -> bytes:
    """The leaf's hash of an event without damages."""
    return merkle.leaf_hash(merkle.leaf_of(event).encode())
