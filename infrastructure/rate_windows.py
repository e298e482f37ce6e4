"""Fixed windows in which things are counted: on this node, or on all nodes together."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import structlog
from limits.aio.storage import RedisStorage, Storage

from infrastructure.valkey_server import valkey_at, valkey_failures

ANSWERS_WITHIN = 0.25
"""Seconds that a request waits for Valkey."""
AWAY_FOR = 1.5
"""Seconds until a Valkey that did not answer is asked again, by one request for all."""

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


class MemoryWindows(Storage):
    """Fixed windows in this process, each from its first use on.

    The library's own looks through all of its keys at almost every request; here windows of one
    length stand in the order in which they end, and each new one clears away two old ones.
    """

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._by_length: dict[int, dict[str, tuple[int, float]]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        windows = self._by_length.setdefault(expiry, {})
        now = time.time()
        count, ends = windows.get(key, (0, 0.0))
        if ends <= now:
            windows.pop(key, None)
            _clear_ended(windows, now)
            count, ends = 0, now + expiry
        windows[key] = (count + amount, ends)
        return count + amount

    async def get(self, key: str) -> int:
        count, ends = self._window(key)
        return count if ends > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        """When the window ends, in Unix seconds."""
        return self._window(key)[1] or time.time()

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self)
        self._by_length.clear()
        return count

    async def clear(self, key: str) -> None:
        for windows in self._by_length.values():
            windows.pop(key, None)

    def __len__(self) -> int:
        return sum(map(len, self._by_length.values()))

    def _window(self, key: str) -> tuple[int, float]:
        found = (windows[key] for windows in self._by_length.values() if key in windows)
        return next(found, (0, 0.0))


def _clear_ended(windows: dict[str, tuple[int, float]], now: float) -> None:
    for _ in range(2):
        oldest = next(iter(windows), None)
        if oldest is None or windows[oldest][1] > now:
            return
        del windows[oldest]


class SharedWindows(Storage):
    """Windows in Valkey. No request fails for want of it: meanwhile this node counts alone.

    All is counted here too, so that nobody begins anew when Valkey goes away.
    """

    STORAGE_SCHEME = None

    def __init__(self, url: str, log_id: str) -> None:
        """Windows of one log are apart from another's. Raises ConfigurationError."""
        super().__init__()
        self._valkey = valkey_at(
            url, socket_timeout=ANSWERS_WITHIN, socket_connect_timeout=ANSWERS_WITHIN
        )
        self._there = RedisStorage(
            "async+valkey://",
            key_prefix=f"dabir:{{{log_id}}}:rate",
            connection_pool=self._valkey.connection_pool,  # type: ignore[arg-type]
        )
        self._here = MemoryWindows()
        self._failures = valkey_failures()
        self._away = False
        self._ask_again = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        here = await self._here.incr(key, expiry, amount)
        there = await self._asked(self._there.incr, key, expiry, amount)
        return here if there is None else there

    async def get(self, key: str) -> int:
        there = await self._asked(self._there.get, key)
        return await self._here.get(key) if there is None else there

    async def get_expiry(self, key: str) -> float:
        """When the window ends, in Unix seconds."""
        there = await self._asked(self._there.get_expiry, key)
        return await self._here.get_expiry(key) if there is None else there

    async def check(self) -> bool:
        return not self._away

    async def reset(self) -> int:
        """Forget all windows, in Valkey too while it answers; returns how many there were here."""
        await self._asked(self._there.reset)
        return await self._here.reset()

    async def clear(self, key: str) -> None:
        await self._here.clear(key)
        await self._asked(self._there.clear, key)

    async def aclose(self) -> None:
        await self._valkey.aclose()

    async def _asked(
        self, ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """What Valkey says; None while it is away."""
        now = time.monotonic()
        if self._away:
            if now < self._ask_again:
                return None
            self._ask_again = now + AWAY_FOR  # the others do not wait for what this one learns
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                answer = await ask(*args, **kwargs)
        except self._failures as error:
            self._ask_again = time.monotonic() + AWAY_FOR
            if not self._away:
                self._away = True
                # Its class alone: the text could repeat the address, with what is in it.
                log.warning("rate limits are counted by node", cause=type(error).__name__)
            return None
        if self._away:
            self._away = False
            log.info("rate limits are shared again")
        return answer
