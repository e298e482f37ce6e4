"""What of the log is sealed, and what was signed for it."""

from datetime import timedelta

from application.audit import AuditTrail, Checkpoint
from application.console.answers import AuditState, SignedCheckpoint
from application.ledger.event_view import EPOCH


class AuditDesk:
    """The trail of a running server. Blocks."""

    def __init__(self, trail: AuditTrail, target: str | None, interval: float) -> None:
        """`target` is where checkpoints are handed out to, `interval` in seconds."""
        self._trail = trail
        self._target = target
        self._interval = interval

    def state(self, checkpoints: int) -> AuditState:
        """With the last so many of them."""
        signed = list(self._trail.checkpoints(checkpoints))
        head, sealed = self._trail.head(), signed[-1].size if signed else 0
        return AuditState(
            head=head,
            sealed=sealed,
            unsealed=head - sealed,
            verifier_key=self._trail.verifier_key,
            # What follows an address may be there to open it.
            target=self._target and self._target.partition("?")[0],
            interval_seconds=self._interval,
            checkpoints=[_shown(each) for each in reversed(signed)],
        )


def _shown(checkpoint: Checkpoint) -> SignedCheckpoint:
    delivered = checkpoint.delivered_at
    return SignedCheckpoint(
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        signed_at=EPOCH + timedelta(microseconds=checkpoint.signed_at),
        delivered_at=None if delivered is None else EPOCH + timedelta(microseconds=delivered),
        note=checkpoint.note,
    )
