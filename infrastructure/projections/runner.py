"""Keeps the views up with the log, or follows another node that does: one task a process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Protocol, TypeAlias, TypeVar

import structlog

from application.ports import Recorded
from infrastructure.projections.checkpoint import PositionMoved
from infrastructure.projections.progress import Progress
from infrastructure.projections.projector import Projector

BATCH = 1000
POLL_SECONDS = 0.5
"""How long it waits for the log before it looks for other things; the log wakes it on a commit."""

FOLLOWED_SECONDS = 0.25
AWAITED_SECONDS = 0.025
"""How often another node's work is looked at, and how often while somebody waits for it."""

LINGERS = 0.01
"""Seconds for which events are left alone that nobody asks for. What is appended is mostly the
beginning of a turn, and applying it takes the GIL from the call to the model.
"""

RETRY_SECONDS = 0.1
RETRY_SECONDS_MAX = 5.0
REPORT_EVERY = 100_000

log = structlog.get_logger()

T = TypeVar("T")
Observe: TypeAlias = Callable[[Sequence[Recorded], float], None]
"""Told of each batch that was applied, and of when that began, by `time.monotonic`."""


class EventLog(Protocol):
    """What the views read of the log."""

    @property
    def log_id(self) -> str: ...

    async def head(self) -> int: ...

    async def read_all(self, after: int, limit: int) -> list[Recorded]: ...

    async def read_on(self, after: int, limit: int) -> list[Recorded]: ...

    async def wait(self, after: int, timeout: float) -> int: ...


class Alone:
    """The turn of a process that nobody takes turns with."""

    held = True


class Turn(Protocol):
    """Whether it is for this process to apply events."""

    @property
    def held(self) -> bool: ...


class Runner:
    """Reads the log in batches and applies them in a thread of its own, as long as it is its turn.

    Else it asks every now and then how far the views are, and how many streams they set aside.
    """

    def __init__(
        self,
        store: EventLog,
        projector: Projector,
        look_around: Callable[[], Awaitable[None]] | None = None,
        turn: Turn | None = None,
        state: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """`look_around` is awaited between two batches, at most once in POLL_SECONDS.

        `state` blocks.
        """
        self._store = store
        self._projector = projector
        self._look_around = look_around
        self._looked = 0.0
        self._turn = turn or Alone()
        self._had_turn = self._turn.held
        self._state = state
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="views-writer")
        self._task: asyncio.Task[None] | None = None
        self._loaded = False
        self._aside = 0
        self._wake = asyncio.Event()
        self.progress = Progress(0, self._wake.set)
        self.failures = 0
        """How often a batch had to be tried again."""
        self.observers: list[Observe] = []

    async def catch_up(self, until: int | None = None) -> None:
        """Apply what there is, up to the log's head or to a position before it.

        Raises what the projector raises, and what the log does.
        """
        reported = self.progress.position
        while until is None or self.progress.position < until:
            limit = BATCH if until is None else min(BATCH, until - self.progress.position)
            if not await self._step(limit):
                return
            if self.progress.position - reported >= REPORT_EVERY:
                reported = self.progress.position
                log.info("views_catching_up", position=reported, head=await self._store.head())

    def start(self) -> None:
        """Follow the log until `close`."""
        self._task = asyncio.create_task(self._follow(), name="views")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        # A batch that is being applied is finished first.
        await asyncio.to_thread(self._thread.shutdown)

    def hurry(self, look: bool = False) -> None:
        """Do at once what would be done soon; `look` around before."""
        if look:
            self._looked = 0.0
        self._wake.set()

    async def _follow(self) -> None:
        delay = RETRY_SECONDS
        while True:
            try:
                await self._look()
                if not self._turn.held:
                    await self._watch()
                elif not self._loaded:
                    await self._step(BATCH)
                elif await self._is_behind():
                    await self._let_others_go_first()
                    await self._step(BATCH)
                delay = RETRY_SECONDS
            except PositionMoved:
                # Another process applies as well, and was faster. What it did is loaded.
                continue
            except Exception as error:  # noqa: BLE001 - a supervisor: told, counted, tried again
                # Its class alone, no traceback: an engine's text can hold what a person wrote.
                self.failures += 1
                log.error(  # noqa: TRY400
                    "views_failed", error=type(error).__name__, again_in=delay
                )
                self._wake.clear()
                await self._pause(delay)
                delay = min(delay * 2, RETRY_SECONDS_MAX)

    @property
    def set_aside(self) -> int:
        """How many streams some view no longer follows."""
        return self._projector.set_aside if self._turn.held else self._aside

    async def bring_up(self, projector: Projector) -> None:
        """Bring another set of views to the position of this one.

        Only to be awaited by `look_around`, as nothing may be applied meanwhile. Raises what the
        projector raises.
        """
        await self.in_thread(projector.load)
        while (behind := self.progress.position - projector.position) > 0:
            batch = await self._store.read_all(projector.position, min(BATCH, behind))
            await self.in_thread(projector.apply, batch)

    def turn_to(self, projector: Projector, position: int) -> None:
        """Go on with another set of views, which is at `position`."""
        self._projector = projector
        self._loaded = False
        if position < self.progress.position:
            self.progress.fall_back(position)
        self.progress.reach(position)

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run it where the batches are applied."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _is_behind(self) -> bool:
        """Told as soon as it is, or after a while."""
        position = self.progress.position
        return await self._store.wait(position, POLL_SECONDS) > position

    async def _let_others_go_first(self) -> None:
        """For a moment, unless somebody waits for what there is to apply."""
        time = asyncio.get_running_loop().time
        until = time() + LINGERS
        while not self.progress.is_urgent and (left := until - time()) > 0:
            self._wake.clear()
            await self._pause(left)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        has_turn = self._turn.held
        if has_turn and not self._had_turn:
            # Whoever had it may have gone on, and turned to another generation.
            self._loaded = False
            self._looked = 0.0
        self._had_turn = has_turn
        if self._look_around is not None and now - self._looked >= POLL_SECONDS:
            self._looked = now
            await self._look_around()

    async def _watch(self) -> None:
        # What was applied meanwhile, and by whom, is not known.
        self._loaded = False
        self._wake.clear()
        position, self._aside = await self.in_thread(self._state)
        self.progress.reach(position)
        await self._pause(AWAITED_SECONDS if self.progress.is_awaited else FOLLOWED_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Or until somebody is in a hurry."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _step(self, limit: int) -> bool:
        """Apply one batch; False where there was nothing to apply."""
        if not self._loaded:
            await self.in_thread(self._projector.load)
            self._loaded = True
            self.progress.reach(self._projector.position)
        batch = await self._store.read_on(self._projector.position, limit)
        if not batch:
            return False
        # Until it has gone well: after a failure what is stored decides where to go on.
        self._loaded = False
        began = monotonic()
        position = await self.in_thread(self._projector.apply, batch)
        self._loaded = True
        self.progress.reach(position)
        for observe in self.observers:
            observe(batch, began)
        return True
