"""Keeps the unfinished text of replies under way, so that a crash loses a moment of it at most.

Where it cannot be kept, nothing more is shown: what a client has read is at most a moment ahead of
what would be left of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from uuid import UUID

from application.errors import LeaseLost
from application.live_replies import LeaseHolder, LiveReply, Observer
from application.ports import Draft, EventStore

INTERVAL = 0.25
BYTES_PER_SECOND = 100_000
"""Of one reply: each checkpoint writes its whole text, so a long one is kept less often."""


SHOWN_AHEAD = 1.0
"""Seconds for which text is shown that is not kept: an interval, and the writes of a busy node."""


class Pace:
    """Whether what is shown is kept soon enough.

    By a clock that goes on while a process is paused, so that one which wakes up shows nothing of
    what has come meanwhile before it knows that its replies are still its own.
    """

    def __init__(self) -> None:
        self._kept_at = monotonic()
        self._caught_up = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        return monotonic() - self._kept_at > SHOWN_AHEAD

    def keep(self, at: float) -> None:
        """All that was shown up to a time (of the monotonic clock) is kept."""
        self._kept_at = at
        self._caught_up.set()

    async def caught_up(self) -> None:
        while self.is_behind:
            self._caught_up.clear()
            await self._caught_up.wait()


class Checkpoints:
    """`replies` are this node's, `lost` is called when its lease turns out to be gone.

    `ended` is told of a reply that another process has ended, with its chat or its principal.
    """

    def __init__(
        self,
        store: EventStore,
        leases: LeaseHolder,
        observer: Observer,
        replies: Callable[[], Sequence[LiveReply]],
        lost: Callable[[], None],
        ended: Callable[[UUID], None],
        pace: Pace,
    ) -> None:
        self._pace = pace
        self._store = store
        self._leases = leases
        self._observer = observer
        self._replies = replies
        self._lost = lost
        self._ended = ended
        self._kept: dict[UUID, tuple[int, float]] = {}
        """For each reply the bytes kept, and the loop's time of its next checkpoint."""

    async def keep(self) -> None:
        """Write what has grown, a few times a second, all replies in one write."""
        while True:
            await asyncio.sleep(INTERVAL)
            began = monotonic()
            try:
                await self._write()
                self._pace.keep(began)
            except LeaseLost:
                self._lost()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("checkpoint", error)

    async def _write(self) -> None:
        lease = self._leases.lease
        now = asyncio.get_running_loop().time()
        replies = {reply.started.reply_id: reply for reply in self._replies()}
        self._kept = {key: kept for key, kept in self._kept.items() if key in replies}
        drafts = [
            Draft(reply_id, reply.started.chat_id, bytes(reply.text), bytes(reply.reasoning))
            for reply_id, reply in replies.items()
            if self._is_due(reply_id, _size(reply), now)
        ]
        if not drafts:
            return
        ended = await self._store.checkpoint(lease, drafts)
        for draft in drafts:
            size = len(draft.text) + len(draft.reasoning)
            self._kept[draft.reply_id] = (size, now + size / BYTES_PER_SECOND)
        for reply_id in ended:
            self._ended(reply_id)

    def _is_due(self, reply_id: UUID, size: int, now: float) -> bool:
        kept, due = self._kept.get(reply_id, (0, 0.0))
        return size > kept and now >= due


def _size(reply: LiveReply) -> int:
    return len(reply.text) + len(reply.reasoning)
