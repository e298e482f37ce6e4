"""The sealer of a running server: at its pace, in a thread of its own, beside everything else."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from infrastructure.audit.trail import SqlAuditTrail

T = TypeVar("T")


class Observer(Protocol):
    def fault(self, where: str, error: BaseException) -> None: ...

    def checkpoint_not_taken(self, error: OSError) -> None:
        """The auditor's side does not answer, or cannot be written to."""
        ...


class Sealing:
    """Seals what is new every `interval` seconds, and hands it out; 0: never."""

    def __init__(self, trail: SqlAuditTrail, interval: float, observer: Observer) -> None:
        self._trail = trail
        self._interval = interval
        self._observer = observer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-sealer")

    @property
    def sealed(self) -> int:
        """The last position that was signed for."""
        return self._trail.sealer.sealed

    async def keep(self) -> None:
        """Until cancelled. What fails is told, and tried again at the next turn."""
        if not self._interval:
            return
        try:
            while True:
                await self._try("sealer", self._seal)
                await self._try("checkpoint delivery", self._deliver)
                await asyncio.sleep(self._interval)
        finally:
            self._thread.shutdown(wait=False)

    async def _try(self, where: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
            self._observer.fault(where, error)

    async def _seal(self) -> None:
        # A batch at a time: cancelling waits for no more than one.
        while await self._in_thread(self._trail.sealer.advance):
            pass
        await self._in_thread(self._trail.sealer.sign)

    async def _deliver(self) -> None:
        delivery = self._trail.delivery
        if delivery is None:
            return
        while waiting := await self._in_thread(delivery.waiting):
            for checkpoint in waiting:
                try:
                    # In another thread, and not waited for when cancelled: the network may be slow.
                    await asyncio.to_thread(delivery.hand_out, checkpoint)
                except OSError as error:
                    self._observer.checkpoint_not_taken(error)
                    return
                await self._in_thread(partial(delivery.taken, checkpoint))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """The work ends before this does, cancelled or not: the database is closed after it."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
