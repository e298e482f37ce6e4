"""The live generation: kept up with the log, or followed, and left for the next one."""

import asyncio
from contextlib import suppress
from functools import partial

import structlog
from sqlalchemy import Connection

from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections.checkpoint import OtherLog
from infrastructure.projections.generation import VIEWS_VERSION, Generation, Succession
from infrastructure.projections.projector import Projector
from infrastructure.projections.runner import Runner
from infrastructure.projections.shelf import Shelf, Turn
from infrastructure.projections.tidying import Tidying

log = structlog.get_logger()


class LiveViews:
    """Belongs to the event loop it was opened in."""

    def __init__(
        self, shelf: Shelf, store: SqlEventStore, turn: Turn, generation: Generation
    ) -> None:
        self._shelf = shelf
        self._store = store
        self._turn = turn
        self._turned = asyncio.Event()
        self._tidying = Tidying(shelf, store.view_generations)
        self.succession = Succession(generation, shelf.bury)
        self.runner = Runner(
            store,
            Projector(generation.writing),
            self._look_around,
            turn,
            lambda: self.succession.live.state(),
        )

    @classmethod
    async def open(cls, shelf: Shelf, store: SqlEventStore) -> "LiveViews":
        """Wait until they are where the log's head was.

        Where there are none for this version of the code they are built, which takes as long as it
        takes; a start that was broken off is taken up again.
        """
        loop = asyncio.get_running_loop()
        views: LiveViews | None = None

        def go_on() -> None:
            if views is not None:
                views.runner.hurry()

        def gained() -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits for it
                loop.call_soon_threadsafe(go_on)

        turn = await asyncio.to_thread(shelf.take_turn, gained)
        try:
            generation = await _live_generation(shelf, store)
        except BaseException:
            await asyncio.to_thread(turn.close)
            raise
        views = cls(shelf, store, turn, generation)
        try:
            await views._begin()
        except BaseException:
            await views.close()
            views.close_readers()
            raise
        return views

    async def _begin(self) -> None:
        if self._shelf.shared:
            head = await self._store.head()
            self.runner.start()
            # Whoever brings them there.
            await self.runner.progress.wait(head, None)
            return
        await self.runner.catch_up()
        remove_others = self._shelf.remove_others
        await self._store.view_generations.forget_older(VIEWS_VERSION, remove_others)
        self.runner.start()

    async def close(self) -> None:
        await self.runner.close()
        # Not sooner: who has the turn next begins where this one ended.
        await asyncio.to_thread(self._turn.close)
        await self._tidying.close()

    def close_readers(self) -> None:
        """When nobody reads any more."""
        self.succession.close()

    @property
    def position(self) -> int:
        return self.runner.progress.position

    @property
    def shared(self) -> bool:
        """Whether other nodes may append, and follow these views, too."""
        return self._shelf.shared

    @property
    def keeps_up(self) -> bool:
        """Whether it is this process that keeps them up with the log."""
        return self._turn.held

    def is_gone(self, error: Exception) -> bool:
        """Whether a query failed because its generation was removed."""
        return self._shelf.is_gone(error)

    async def has_turned_from(self, generation: Generation, timeout: float) -> bool:
        """Look for the next one, as this one was removed; waits at most `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.succession.live is generation:
                    turned = self._turned
                    self.runner.hurry(look=True)
                    await turned.wait()
        return self.succession.live is not generation

    async def _look_around(self) -> None:
        if self._turn.held:
            await self._look_for_successor()
        else:
            await self._look_for_live()
        self._tidying.look(self._turn.held)

    async def _look_for_successor(self) -> None:
        """Turn to a generation that was built aside, where one is ready."""
        name = await self._store.view_generations.next(VIEWS_VERSION)
        generation = await self._opened(name)
        if generation is None:
            return
        projector = Projector(generation.writing)
        try:
            await self.runner.bring_up(projector)
            taken = await self._store.view_generations.take_over(VIEWS_VERSION, generation.name)
        except BaseException:
            generation.close()
            raise
        if not taken:
            generation.close()
            await asyncio.to_thread(self._shelf.remove, generation.name)
            return
        await self._turn_to(generation, projector, projector.position)

    async def _look_for_live(self) -> None:
        """Turn to what another node has turned to, as soon as that is as far as what is here."""
        old = self.succession.live
        generation = await self._opened(await self._store.view_generations.live(VIEWS_VERSION))
        if generation is None:
            return
        try:
            position, _ = await self.runner.in_thread(generation.state)
            if position < self.position and await asyncio.to_thread(self._shelf.holds, old.name):
                generation.close()
                return
        except BaseException:
            generation.close()
            raise
        await self._turn_to(generation, Projector(generation.writing), position)

    async def _opened(self, name: str | None) -> Generation | None:
        """The generation of that name, if it is not the live one, and is there and of this log."""
        if name is None or name == self.succession.live.name:
            return None
        if not await asyncio.to_thread(self._shelf.holds, name):
            return None  # taken back this very moment
        try:
            return await _open(self._shelf, self._store, name)
        except OtherLog:
            log.error("views_of_another_log", generation=name)  # noqa: TRY400 - nothing to trace
            return None

    async def _turn_to(self, generation: Generation, projector: Projector, position: int) -> None:
        log.info("views_generation_live", generation=generation.name, position=position)
        if position < self.position:
            # Nobody is told any more that what is lost was seen.
            self.runner.turn_to(projector, position)
        await asyncio.to_thread(self.succession.turn_to, generation)
        self.runner.turn_to(projector, position)
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()


async def _live_generation(shelf: Shelf, store: SqlEventStore) -> Generation:
    """The one the log's database points at, or a new one that it points at from now on."""
    name = await store.view_generations.live(VIEWS_VERSION)
    if name is not None and await asyncio.to_thread(shelf.holds, name):
        try:
            return await _open(shelf, store, name)
        except OtherLog:
            log.warning("views_of_another_log", generation=name)

    def begin(connection: Connection, in_use: set[str]) -> str:
        # Under a name that was never used: the rest of a lost one would spoil a new one.
        new = shelf.next_name(in_use)
        shelf.begin(connection, new, store.log_id)
        log.info("views_generation_begun", generation=new)
        return new

    name = await store.view_generations.begin(VIEWS_VERSION, name, begin)
    return await _open(shelf, store, name)


async def _open(shelf: Shelf, store: SqlEventStore, name: str) -> Generation:
    head = await store.head()
    return await asyncio.to_thread(partial(shelf.open, name, store.log_id, head))
