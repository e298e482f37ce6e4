"""Implements `application.audit.AuditTrail` on the log's database."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import msgspec
from sqlalchemy import URL, Connection, Engine, make_url, select

from application.audit import (
    Advance,
    Checkpoint,
    ConsistencyProof,
    EventDamaged,
    Fault,
    InclusionProof,
    NotSealed,
)
from application.errors import ConfigurationError
from application.ledger.ports import LogReading
from application.ports import Clock
from infrastructure.audit import merkle
from infrastructure.audit.checkpoints import checkpoint_at, checkpoint_of, last_checkpoint, rows
from infrastructure.audit.checkpoints import checkpoints as stored
from infrastructure.audit.delivery import Delivery, to_folder
from infrastructure.audit.inspection import Inspection
from infrastructure.audit.sealer import Sealer, Witness, damages, hash_of
from infrastructure.audit.signing import Signer, derived_signer, load_signer
from infrastructure.audit.tree import StoredTree
from infrastructure.data_folder import LOG_FILE
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog

AT_ONCE = 1000
"""Checkpoints read in one transaction."""


class SharedLog(msgspec.Struct, frozen=True):
    """A log on PostgreSQL: its address, and the secret that all its nodes have."""

    url: str
    secret: bytes


class SqlAuditTrail:
    """Belongs to nobody: any number may be open on one log, beside its server."""

    def __init__(
        self,
        log: LogReading,
        reading: Engine,
        writing: Engine,
        signer: Signer,
        clock: Clock,
        target: str | None,
        witness: Witness | None,
    ) -> None:
        """`target` is where checkpoints are handed out to, a folder or a URL."""
        self.verifier_key = signer.verifier_key
        self.delivery = Delivery(reading, writing, target, clock) if target else None
        held = self.delivery.newest_held if self.delivery else lambda: None
        self.sealer = Sealer(log, reading, writing, signer, clock, held, witness)
        self._log = log
        self._reading = reading
        self._signer = signer

    def seal(self, advance: Advance) -> Checkpoint | None:
        head = self._log.head()
        while self.sealer.advance():
            advance(self.sealer.size, max(head, self.sealer.size))
        return self.sealer.sign()

    def deliver(self) -> int:
        count = 0
        while self.delivery and (waiting := self.delivery.waiting()):
            for checkpoint in waiting:
                self.delivery.hand_out(checkpoint)
                self.delivery.taken(checkpoint)
            count += len(waiting)
        return count

    def head(self) -> int:
        return self._log.head()

    def last(self) -> Checkpoint | None:
        with self._reading.begin() as connection:
            return last_checkpoint(connection)

    def checkpoints(self, last: int | None = None) -> Iterator[Checkpoint]:
        newest = select(stored.c.size).order_by(stored.c.size.desc())
        batch = rows.order_by(stored.c.size).limit(AT_ONCE)
        after = 0
        if last is not None:
            with self._reading.begin() as connection:
                earlier = connection.scalar(newest.offset(last).limit(1))
            after = earlier or 0
        while True:
            with self._reading.begin() as connection:
                found = connection.execute(batch.where(stored.c.size > after)).all()
            if not found:
                return
            yield from map(checkpoint_of, found)
            after = found[-1].size

    def write(self, checkpoints: Iterable[Checkpoint], folder: Path) -> int:
        hand_out, count = to_folder(folder), 0
        for checkpoint in checkpoints:
            hand_out(checkpoint)
            count += 1
        return count

    def prove_inclusion(self, position: int, size: int | None) -> InclusionProof:
        with self._reading.begin() as connection:
            if size is None:
                checkpoint = last_checkpoint(connection)
            else:
                checkpoint = _required(connection, size)
            if checkpoint is None or not 1 <= position <= checkpoint.size:
                sealed = checkpoint.size if checkpoint else 0
                raise NotSealed(f"position {position} is not among the {sealed} events sealed")
            tree = StoredTree(connection)
            path = merkle.inclusion_path(tree.node, position - 1, checkpoint.size)
            sealed_hash = tree.leaf(position - 1)
        found = chain.from_iterable(self._log.batches(position - 1, position))
        event = next(found, None)
        if event is None or damages(event) or hash_of(event) != sealed_hash:
            raise EventDamaged(f"position {position} is not in the log any more as it was sealed")
        return InclusionProof(
            position=position, leaf=merkle.leaf_of(event), path=path, checkpoint=checkpoint.note
        )

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        with self._reading.begin() as connection:
            older, newer = _required(connection, old), _required(connection, new)
            if old > new:
                raise NotSealed(f"{old} is not before {new}")
            path = merkle.consistency_path(StoredTree(connection).node, old, new)
        return ConsistencyProof(old=older.note, new=newer.note, path=path)

    def faults(self, advance: Advance) -> Iterator[Fault]:
        inspection = Inspection(self._log, self._reading, self._signer, self.checkpoints())
        return inspection.faults(advance)


def _required(connection: Connection, size: int) -> Checkpoint:
    checkpoint = checkpoint_at(connection, size)
    if checkpoint is None:
        raise NotSealed(f"there is no checkpoint of {size} events")
    return checkpoint


@contextmanager
def open_trail(
    data_dir: Path,
    *,
    clock: Clock,
    target: str | None = None,
    witness: Witness | None = None,
    shared: SharedLog | None = None,
) -> Iterator[SqlAuditTrail]:
    """The trail of the log in a data folder, or of one that is `shared` by many nodes.

    Raises ConfigurationError where there is none.
    """
    path = data_dir / LOG_FILE
    if shared is None and not path.exists():
        raise ConfigurationError(f"{data_dir} holds no log.")
    url = make_url(shared.url) if shared else URL.create("sqlite", database=str(path))
    with ExitStack() as closing:
        reading = sync_reader_engine(url)
        # What a power cut takes is made again from the log, which is flushed, and is the same: so
        # that appends do not wait for a flush of hashes.
        writing = sync_writer_engine(url, synchronous="NORMAL", lock="audit")
        closing.callback(reading.dispose)
        closing.callback(writing.dispose)
        log = StoredLog(reading, codec)
        if shared:
            signer = derived_signer(shared.secret, log.log_id)
        else:
            signer = load_signer(data_dir, log.log_id)
        yield SqlAuditTrail(log, reading, writing, signer, clock, target, witness)
