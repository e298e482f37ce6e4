"""What the node tells its operator: lines in the log and figures, never contents."""

from uuid import UUID

import structlog

from application.live_replies import StartedReply
from infrastructure.observability import Metrics

log = structlog.get_logger()


class NodeObserver:
    """Implements the application's and the interfaces' observers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def reply_started(self, started: StartedReply) -> None:
        self._metrics.reply_started()
        log.info(
            "reply started",
            reply_id=str(started.reply_id),
            chat_id=str(started.chat_id),
            payer=str(started.payer),
            model=started.model,
            kind=started.kind,
        )

    def first_token(self, started: StartedReply, seconds: float) -> None:
        self._metrics.first_token_arrived(seconds)

    def reply_ended(self, started: StartedReply, outcome: str, cause: str | None) -> None:
        code = outcome if outcome.isupper() else ""
        self._metrics.reply_ended("failed" if code else outcome, code)
        self._metrics.upstream_called(started.model, outcome)
        log.info(
            "reply ended", reply_id=str(started.reply_id), outcome=outcome, **_given(cause=cause)
        )

    def drains(self, what: str) -> None:
        """The node is going down, and this is what it waits for now."""
        log.info("draining", waits_for=what)

    def unsealed(self) -> None:
        """The operator has set no master key."""
        log.warning(
            "nothing is sealed",
            why="no DABIR_MASTER_KEY: what people write lies in the data folder as it is",
        )

    def checkpoint_not_taken(self, error: OSError) -> None:
        # Its class alone: the text could hold a password of the auditor's address.
        log.warning("checkpoint not taken", cause=type(error).__name__)

    def fault(
        self,
        where: str,
        error: BaseException,
        reply_id: UUID | None = None,
        incident: UUID | None = None,
    ) -> None:
        log.error(
            "fault",
            where=where,
            **_given(
                reply_id=str(reply_id) if reply_id else None,
                incident=str(incident) if incident else None,
            ),
            exc_info=error,
        )


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
