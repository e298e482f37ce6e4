"""How often principals and addresses may do things, with the `limits` library."""

import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from application.client_address import limited_address
from application.errors import RateLimited
from application.ports import Caller, Deed, RateLimits
from infrastructure.settings import Settings


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


class CountedRates(RateLimits):
    """Counts in windows of a minute; strangers in windows of an hour. 0 is no limit.

    Any storage of the library will do: one that nodes share makes the limits shared.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        sends: int = 0,
        requests: int = 0,
        address_sends: int = 0,
        address_requests: int = 0,
        strangers: int = 0,
    ) -> None:
        self._windows = FixedWindowRateLimiter(storage)
        self._principals: dict[Deed, RateLimitItem | None] = {
            "send": _a_minute(sends, "send"),
            "request": _a_minute(requests, "request"),
        }
        self._address_sends = _a_minute(address_sends, "address-send")
        self._address_requests = _a_minute(address_requests, "address-request")
        self._strangers = (
            RateLimitItemPerHour(strangers, namespace="stranger") if strangers else None
        )

    @classmethod
    def configured(cls, settings: Settings) -> "CountedRates":
        return cls(
            MemoryWindows(),
            sends=settings.send_rate,
            requests=settings.request_rate,
            address_sends=settings.address_send_rate,
            address_requests=settings.address_request_rate,
            strangers=settings.address_strangers,
        )

    async def admit(self, address: str) -> None:
        await self._count(self._address_requests, limited_address(address))

    async def admit_stranger(self, address: str) -> None:
        await self._count(self._strangers, limited_address(address))

    async def spend(self, deed: Deed, caller: Caller) -> None:
        await self._count(self._principals[deed], caller.principal.id.hex)
        if deed == "send":
            await self._count(self._address_sends, limited_address(caller.address))

    async def _count(self, limit: RateLimitItem | None, key: str) -> None:
        if limit is None or await self._windows.hit(limit, key):
            return
        window = await self._windows.get_window_stats(limit, key)
        raise RateLimited(max(window.reset_time - time.time(), 0))


def _a_minute(amount: int, name: str) -> RateLimitItem | None:
    return RateLimitItemPerMinute(amount, namespace=name) if amount else None


UNLIMITED = CountedRates(MemoryWindows())
