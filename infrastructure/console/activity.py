"""What a node did in the last hour, in steps of some seconds, kept in memory."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from application.console.answers import Activity, Totals
from application.console.ports import Counted
from application.ports import Clock
from infrastructure.figures import Buckets, Figures

STEP_SECONDS = 5
KEPT_MINUTES = 60


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted by a time. `head` is the log's last position, `lag` is in events."""

    at: datetime
    figures: Figures
    head: int
    lag: int
    open_replies: int


class NodeActivity:
    """Implements `application.console.ports.NodeFigures`."""

    def __init__(
        self,
        figures: Callable[[], Figures],
        clock: Clock,
        *,
        head: Callable[[], int],
        lag: Callable[[], int],
        open_replies: Callable[[], int],
    ) -> None:
        self._figures = figures
        self._clock = clock
        self._head = head
        self._lag = lag
        self._open_replies = open_replies
        # One more than there are steps: each step is what lies between two.
        self._samples: deque[Sample] = deque(maxlen=KEPT_MINUTES * 60 // STEP_SECONDS + 1)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(STEP_SECONDS)

    def sample(self) -> None:
        self._samples.append(
            Sample(
                at=self._clock.now(),
                figures=self._figures(),
                head=self._head(),
                lag=self._lag(),
                open_replies=self._open_replies(),
            )
        )

    def counted(self) -> Counted:
        figures = self._figures()
        totals = Totals(
            replies_started=figures.replies_started,
            replies_ended=figures.replies_ended,
            requests=figures.requests,
            refusals=sum(figures.refusals.values()),
            faults=sum(figures.faults.values()),
        )
        return Counted(totals, figures.open_streams, figures.open_sockets)

    def activity(self, minutes: int) -> Activity:
        kept = list(self._samples)[-(minutes * 60 // STEP_SECONDS + 1) :]
        figures = [sample.figures for sample in kept]
        now = kept[1:]
        tokens = _between(each.first_token for each in figures)
        appends = _between(each.append for each in figures)
        return Activity(
            step_seconds=STEP_SECONDS,
            times=[sample.at for sample in now],
            events=_grown(sample.head for sample in kept),
            requests=_grown(each.requests for each in figures),
            replies_started=_grown(each.replies_started for each in figures),
            replies_ended=_grown(each.replies_ended for each in figures),
            pieces=_grown(each.pieces for each in figures),
            open_replies=[sample.open_replies for sample in now],
            open_streams=[sample.figures.open_streams for sample in now],
            open_sockets=[sample.figures.open_sockets for sample in now],
            lag=[sample.lag for sample in now],
            refusals=_grown_by_code([each.refusals for each in figures]),
            faults=_grown_by_code([each.faults for each in figures]),
            failures=_grown_by_code([each.failures for each in figures]),
            first_token_p50=[each.percentile(0.5) for each in tokens],
            first_token_p95=[each.percentile(0.95) for each in tokens],
            append_p50=[each.percentile(0.5) for each in appends],
            append_p95=[each.percentile(0.95) for each in appends],
        )


def _grown(counts: Iterable[int]) -> list[int]:
    return [now - before for before, now in pairwise(counts)]


def _grown_by_code(counts: Sequence[dict[str, int]]) -> dict[str, list[int]]:
    """Only what grew: a code that was met before that time is none of it."""
    codes = sorted({code for each in counts for code in each})
    grown = {code: _grown(each.get(code, 0) for each in counts) for code in codes}
    return {code: steps for code, steps in grown.items() if any(steps)}


def _between(buckets: Iterable[Buckets]) -> list[Buckets]:
    return [now.since(before) for before, now in pairwise(buckets)]
