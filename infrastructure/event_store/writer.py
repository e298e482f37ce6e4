"""The one writer of a process: a thread that commits whatever waits, together.

While one batch is being committed the next one gathers, so that under load many appends share
one flush to disk, and alone an append waits for nobody.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Connection, Engine

from application.ports import Clock
from infrastructure.event_store.batch import Refused, Write, commit_batch

MAX_BATCH = 256

T = TypeVar("T")
Job: TypeAlias = Callable[[Connection], Any]
Observe: TypeAlias = Callable[[int, float], None]


class _Task(msgspec.Struct):
    work: Write | Job
    answer: "asyncio.Future[Any]"


_Outcomes: TypeAlias = list[tuple["asyncio.Future[Any]", Any]]


class Writer:
    """Belongs to the event loop it was made in; `committed` is called there with each new head.

    `observe` is told of each batch in the writer's thread: how many commands, and the seconds.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        committed: Callable[[int], None],
        observe: Observe = lambda commands, seconds: None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Task] = []
        self._queue: SimpleQueue[list[_Task] | None] = SimpleQueue()
        self._closed = False
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="event-log-writer", daemon=True)
        self._thread.start()

    def append(self, write: Write) -> "asyncio.Future[int]":
        """The position of its last event. Cancelling the future leaves the write alone."""
        return self._submit(write)

    def run(self, job: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """Run a short function under the write lock; what it raises undoes its own writes only."""
        return self._submit(job)

    async def close(self) -> None:
        """Finish what is queued, and stop."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _submit(self, work: Write | Job) -> "asyncio.Future[Any]":
        if self._closed:
            raise RuntimeError("the log's writer is closed")
        answer = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Task(work, answer))
        return answer

    def _hand_over(self) -> None:
        """Once a turn of the loop: else the thread would start on the first of many at once."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    # In the writer's thread

    def _work(self) -> None:
        for batch in self._batches():
            began = monotonic()
            outcomes, head = self._commit(batch)
            self._observe(len(batch), monotonic() - began)
            self._call_loop(self._deliver, outcomes, head)
        self._call_loop(self._ended.set_result, None)

    def _batches(self) -> Iterator[list[_Task]]:
        """All that waits, in order, cut where it would hold the lock for long."""
        ending = False
        while not ending and (waiting := self._queue.get()) is not None:
            with suppress(Empty):
                while not (ending := (more := self._queue.get_nowait()) is None):
                    waiting += more
            for start in range(0, len(waiting), MAX_BATCH):
                yield waiting[start : start + MAX_BATCH]

    def _commit(self, batch: list[_Task]) -> tuple[_Outcomes, int | None]:
        """All in one transaction; where that fails, one by one, so that only the culprit fails.

        Catches everything: a caller hears of its failure, and the writer goes on.
        """
        began = False
        try:
            with self._engine.connect() as connection, connection.begin():
                began = True
                return self._run(connection, batch)
        except Exception as error:  # noqa: BLE001 - handed to those who wait for it
            # Without a transaction (the lock was not to be had) a second try would only wait again.
            if not began or len(batch) == 1:
                return [(task.answer, error) for task in batch], None
        singly = [self._commit([task]) for task in batch]
        outcomes = [outcome for each, _ in singly for outcome in each]
        return outcomes, max((head for _, head in singly if head is not None), default=None)

    def _run(self, connection: Connection, batch: list[_Task]) -> tuple[_Outcomes, int | None]:
        outcomes: _Outcomes = []
        admitted: list[int | Refused] = []
        writes: list[tuple[Write, asyncio.Future[Any]]] = []
        for task in batch:
            if isinstance(task.work, Write):
                writes.append((task.work, task.answer))
            else:
                outcomes.append((task.answer, _outcome_of(connection, task.work)))
        if writes:
            now = self._clock.now()
            admitted = commit_batch(connection, [write for write, _ in writes], now)
            outcomes += zip((answer for _, answer in writes), admitted, strict=True)
        return outcomes, max((a for a in admitted if isinstance(a, int)), default=None)

    def _call_loop(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: nobody is left to be told, and what was committed stays.
            return

    # In the event loop

    def _deliver(self, outcomes: _Outcomes, head: int | None) -> None:
        if head is not None:
            self._committed(head)
        for answer, outcome in outcomes:
            if answer.done():
                continue
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)


def _outcome_of(connection: Connection, job: Job) -> Any:
    try:
        with connection.begin_nested():
            return job(connection)
    except Exception as error:  # noqa: BLE001 - handed to the one who waits for it
        return error
