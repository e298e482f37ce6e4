"""How often principals and addresses may do things, with the `limits` library."""

import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from application.client_address import limited_address
from application.errors import RateLimited
from application.ports import Caller, Deed, RateLimits
from infrastructure.rate_windows import MemoryWindows, SharedWindows
from infrastructure.settings import Settings


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
        self._storage = storage
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
    def configured(cls, settings: Settings, log_id: str = "") -> "CountedRates":
        """Where a Valkey is set, all nodes of a log count together. Raises ConfigurationError."""
        url = settings.valkey_url
        return cls(
            SharedWindows(url.get_secret_value(), log_id) if url else MemoryWindows(),
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

    async def shared(self) -> bool:
        """Whether all nodes count together now."""
        return isinstance(self._storage, SharedWindows) and await self._storage.check()

    async def aclose(self) -> None:
        if isinstance(self._storage, SharedWindows):
            await self._storage.aclose()

    async def _count(self, limit: RateLimitItem | None, key: str) -> None:
        if limit is None or await self._windows.hit(limit, key):
            return
        window = await self._windows.get_window_stats(limit, key)
        raise RateLimited(max(window.reset_time - time.time(), 0))


def _a_minute(amount: int, name: str) -> RateLimitItem | None:
    return RateLimitItemPerMinute(amount, namespace=name) if amount else None


UNLIMITED = CountedRates(MemoryWindows())
