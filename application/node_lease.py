"""This node's lease: taken at start, renewed while it lives, lost when it was away too long."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

from application.errors import LeaseLost
from application.live_replies import Observer
from application.ports import Lease


class Leases(Protocol):
    async def acquire(self, node: UUID, duration: timedelta) -> Lease: ...

    async def renew(self, lease: Lease, duration: timedelta) -> None: ...

    async def release(self, lease: Lease) -> None: ...


class NodeLease:
    """`lost` is called when the lease is gone; a new one is taken right after.

    It counts as gone as soon as it must have run out by this process's own clock, which goes on
    while the process is paused or the database is away.
    """

    def __init__(
        self,
        leases: Leases,
        node: UUID,
        seconds: float,
        observer: Observer,
        lost: Callable[[], None],
    ) -> None:
        self._leases = leases
        self._node = node
        self._duration = timedelta(seconds=seconds)
        self._observer = observer
        self._lost = lost
        self._lease: Lease | None = None
        self._ends = 0.0

    @property
    def is_held(self) -> bool:
        return self._lease is not None and monotonic() <= self._ends

    @property
    def lease(self) -> Lease:
        """Raises LeaseLost while there is none."""
        if self._lease is None or monotonic() > self._ends:
            raise LeaseLost("this node has no lease")
        return self._lease

    async def take(self) -> None:
        asked = monotonic()
        self._lease = await self._leases.acquire(self._node, self._duration)
        self._ends = asked + self._duration.total_seconds()

    async def keep(self) -> None:
        """Renew it, three times in its duration."""
        while True:
            await asyncio.sleep(self._duration.total_seconds() / 3)
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("lease", error)

    async def _renew(self) -> None:
        asked = monotonic()
        try:
            await self._leases.renew(self.lease, self._duration)
            self._ends = asked + self._duration.total_seconds()
        except LeaseLost as error:
            self._observer.fault("lease", error)
            self._lease = None
            self._lost()
            await self.take()

    async def give_up(self) -> None:
        """End it at once, so that nobody waits for a node that has gone in good order."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(LeaseLost):  # it has run out by itself
                await self._leases.release(lease)
