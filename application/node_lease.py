"""This node's lease: taken at start, renewed while it lives, lost when it was away too long."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
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
    """`lost` is called when the lease is gone; a new one is taken right after."""

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

    @property
    def lease(self) -> Lease:
        """Raises LeaseLost while there is none."""
        if self._lease is None:
            raise LeaseLost("this node has no lease")
        return self._lease

    async def take(self) -> None:
        self._lease = await self._leases.acquire(self._node, self._duration)

    async def keep(self) -> None:
        """Renew it, three times in its duration."""
        while True:
            await asyncio.sleep(self._duration.total_seconds() / 3)
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("lease", error)

    async def _renew(self) -> None:
        try:
            await self._leases.renew(self.lease, self._duration)
        except LeaseLost as error:
            self._observer.fault("lease", error)
            self._lease = None
            self._lost()
            await self.take()

    async def give_up(self) -> None:
        """End it at once, so that nobody waits for a node that has gone in good order."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._leases.release(lease)
