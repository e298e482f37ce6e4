"""Removing generations that several nodes have read, when the last of them has turned."""

import asyncio

import structlog

from infrastructure.event_store.view_generations import ViewGenerations
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.shelf import Shelf

EVERY = 1.0
GRACE = 1.0
"""Seconds for all nodes to turn; a query that comes too late is run again on the next one."""

OLDER_AFTER = 10.0
"""Seconds for the nodes of an older release to be heard of, after all were cut off."""

log = structlog.get_logger()


class Tidying:
    """Done by whoever has the turn. Belongs to an event loop."""

    def __init__(self, shelf: Shelf, generations: ViewGenerations) -> None:
        self._shelf = shelf
        self._generations = generations
        self._task: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._older_at: float | None = None
        self._left: dict[str, float] = {}

    def look(self, has_turn: bool) -> None:
        """What there is to do, is done in the background."""
        now = asyncio.get_running_loop().time()
        if not has_turn:
            self._older_at = None
        elif self._shelf.shared and now - self._looked >= EVERY and self._is_done():
            self._looked = now
            self._older_at = self._older_at or now + OLDER_AFTER
            self._task = asyncio.create_task(self._tidy(now), name="views-tidying")

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    def _is_done(self) -> bool:
        return self._task is None or self._task.done()

    async def _tidy(self, now: float) -> None:
        try:
            if self._older_at is not None and now >= self._older_at:
                self._older_at = now + OLDER_AFTER
                if await self._generations.older(VIEWS_VERSION):
                    await self._generations.forget_unkept(VIEWS_VERSION)
            in_use = await self._generations.in_use()
            left = await asyncio.to_thread(self._shelf.others, in_use)
            self._left = {name: self._left.get(name, now) for name in left}
            for name, since in self._left.items():
                if now - since >= GRACE:
                    await asyncio.to_thread(self._shelf.remove, name)
                    log.info("views_generation_removed", generation=name)
        except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
            # Somebody reads it yet, or the database is away: the next time.
            log.info("views_not_tidied", error=type(error).__name__)
