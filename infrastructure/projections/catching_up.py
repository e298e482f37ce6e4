"""Bringing a set of views up to the log one batch after the other, and setting nothing aside."""

from collections.abc import Callable, Sequence

from application.ports import Recorded
from application.projections import EventNotApplied
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections.checkpoint import PositionMoved
from infrastructure.projections.projector import PoisonEvent, Projector


def catch_up(
    projector: Projector, log: StoredLog, until: int, reached: Callable[[int], None]
) -> None:
    """Bring a strict projector to a position. Raises EventNotApplied."""
    projector.load()
    reached(projector.position)
    while projector.position < until:
        try:
            for batch in log.batches(projector.position, until):
                _apply(projector, [log.decoded(stored) for stored in batch])
                reached(projector.position)
        except PositionMoved:
            # A server has turned to this set this very moment, and goes on with it.
            projector.load()


def _apply(projector: Projector, batch: Sequence[Recorded]) -> None:
    try:
        projector.apply(batch)
    except PoisonEvent as poison:
        if len(batch) == 1:
            at = batch[0]
            raise EventNotApplied(poison.view, at.stream_id, at.position, poison.error) from None
        for each in batch:
            _apply(projector, [each])
