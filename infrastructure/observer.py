"""What the node tells its operator: lines in the log and figures, never contents."""

from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from uuid import UUID

import structlog

from application.errors import LeaseLost
from application.live_replies import StartedReply
from application.ports import Clock, Recorded
from infrastructure.event_store.writer import WrittenBatch
from infrastructure.metrics import Metrics
from infrastructure.tracing import LogTracer

log = structlog.get_logger()

FRESH_SECONDS = 60.0
"""Events older than that were waiting for a runner or are read again: no part of a trace now."""


class NodeObserver:
    """Implements the application's and the interfaces' observers."""

    def __init__(self, metrics: Metrics, tracer: LogTracer, clock: Clock) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._clock = clock

    # Requests

    def answering(self, route: str, status: int) -> None:
        self._metrics.request_answered(route, status)

    def answered(
        self, method: str, route: str, status: int, seconds: float, *, quiet: bool
    ) -> None:
        """`quiet`: what machines ask every few seconds."""
        tell = log.debug if quiet else log.info
        tell("answered", method=method, route=route, status=status, ms=_ms(seconds))

    def socket_connected(self) -> None:
        self._metrics.socket_connected()
        log.info("socket connected")

    def socket_disconnected(self) -> None:
        self._metrics.socket_disconnected()

    def socket_answered(self, request: str, seconds: float) -> None:
        self._metrics.socket_request_answered(request, seconds)
        log.info("answered", method="socket", route=request, ms=_ms(seconds))

    def refused(self, where: str, code: str) -> None:
        self._metrics.refused(where, code)
        # The line that tells of the request follows, from the same task.
        structlog.contextvars.bind_contextvars(code=code)

    # Replies

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

    def next_token(self, seconds: float) -> None:
        self._metrics.token_arrived(seconds)

    def model_called(self, model: str, outcome: str, cause: str | None) -> None:
        """`outcome` is `answered`, `left`, or an error's code."""
        self._metrics.upstream_called(model, outcome)
        if cause is not None:
            log.warning("model failed", model=model, code=outcome, cause=cause)

    def reply_ended(self, started: StartedReply, outcome: str, cause: str | None) -> None:
        code = outcome if outcome.isupper() else ""
        self._metrics.reply_ended("failed" if code else outcome, code)
        log.info(
            "reply ended", reply_id=str(started.reply_id), outcome=outcome, **_given(cause=cause)
        )

    # The log and its views; from threads of their own

    def batch_written(self, batch: WrittenBatch) -> None:
        first = min((at for _, at in batch.handed_in), default=batch.began)
        self._metrics.batch_appended(
            batch.commands, batch.ended - batch.began, batch.began - first, batch.reached
        )
        for correlation, at in batch.handed_in:
            self._tracer.done(
                "append",
                correlation,
                at,
                batch.ended,
                batch_size=batch.commands,
                wait_ms=_ms(batch.began - at),
            )

    def views_applied(self, events: Sequence[Recorded], began: float) -> None:
        """`began` by `time.monotonic`."""
        now = self._clock.now()
        fresh = [each for each in events if _age(each, now) < FRESH_SECONDS]
        if not fresh:
            return
        ended = monotonic()
        self._metrics.views_applied(_age(fresh[0], now))
        applied: dict[UUID, int] = {}
        for each in fresh:
            correlation = each.meta.correlation
            applied[correlation] = applied.get(correlation, 0) + 1
        for correlation, count in applied.items():
            self._tracer.done(
                "views", correlation, began, ended, events=count, batch_size=len(events)
            )

    # Operators

    def operator_read(self, operator: UUID, what: str, of: UUID) -> None:
        """An operator is shown what people wrote: of a chat, or the titles of a principal's."""
        log.info("operator_read", principal=str(operator), what=what, of=str(of))

    # The node

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
        self._metrics.fault(where)
        if isinstance(error, LeaseLost):
            self._metrics.lease_lost()
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


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _age(event: Recorded, now: datetime) -> float:
    """Seconds since the event was appended."""
    return max(0.0, (now - event.recorded_at).total_seconds())
