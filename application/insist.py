"""Trying until it is written: what an ended reply is owed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from application.errors import LeaseLost, VersionConflict
from application.live_replies import Observer

T = TypeVar("T")

RETRY_DELAY = 0.1
RETRY_DELAY_MAX = 5.0


async def insist(write: Callable[[bool], Awaitable[T]], reply_id: UUID, observer: Observer) -> T:
    """Try until it is appended: an answer is never lost to a passing fault of the store.

    `write` is told whether to read the streams afresh. Raises only LeaseLost.
    """
    delay = RETRY_DELAY
    fresh = False
    while True:
        try:
            return await write(fresh)
        except VersionConflict:
            fresh = True
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
            observer.fault("ending a reply", error, reply_id)
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY_DELAY_MAX)
            fresh = True
