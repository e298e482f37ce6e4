"""Threads that queries run in."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class _Query(NamedTuple):
    function: Callable[[], Any]
    answer: "asyncio.Future[Any]"


_Queue: TypeAlias = "SimpleQueue[_Query | None]"


class Readers:
    """A few threads of one event loop.

    What an executor has beyond that, a second future with a lock for each call, costs as much as a
    small query.
    """

    def __init__(self, count: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: _Queue = SimpleQueue()
        self._closed = False
        self._threads = [
            Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        """What it returns, or raises. It does not begin where nobody waits for it any more.

        Raises RuntimeError after `close`.
        """
        if self._closed:
            raise RuntimeError("the readers are closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Query(function, answer))
        return await answer

    async def close(self) -> None:
        """Finish what was asked."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        while (query := self._queue.get()) is not None:
            if query.answer.cancelled():
                del query
                continue
            settle: Callable[[Any], None] = query.answer.set_result
            try:
                outcome = query.function()
            except BaseException as error:  # noqa: BLE001 - raised where the caller waits
                settle, outcome = query.answer.set_exception, error
            self._loop.call_soon_threadsafe(_settle, query.answer, settle, outcome)
            # Not until the next one comes: a query holds on to whoever asked.
            del query, settle, outcome


def _settle(answer: "asyncio.Future[Any]", settle: Callable[[Any], None], outcome: object) -> None:
    if not answer.done():
        settle(outcome)
