"""The one writer of a process: a thread that commits whatever waits, together.

While one batch is being committed the next one gathers, so that under load many appends share
one flush to disk, and alone an append waits for nobody.

Where the database goes away in the midst of a batch, the batch is run again. Where it goes away
during the commit, the log is asked first whether the batch is there: the lock that the lost commit
held is had only after it has ended, either way.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from application.ports import Clock
from infrastructure.database import is_gone
from infrastructure.event_store.batch import Refused, commit_batch, is_committed
from infrastructure.event_store.batch_tables import Write
from infrastructure.event_store.lease_time import LeaseTime

MAX_BATCH = 256

AGAIN_WITHIN = 8.0
"""Seconds for which a batch waits for a database that has gone away."""
AGAIN_AFTER = 0.1

T = TypeVar("T")
Job: TypeAlias = Callable[[Connection], Any]


class WrittenBatch(msgspec.Struct, frozen=True):
    """What one transaction came to; times are those of `time.monotonic`."""

    commands: int
    handed_in: list[tuple[UUID, float]]
    """Of each append its correlation, and when it was handed in."""
    began: float
    ended: float
    reached: bool
    """False where the database was away, or could not write."""


Observe: TypeAlias = Callable[[WrittenBatch], None]


class _Task(msgspec.Struct):
    work: Write | Job
    answer: "asyncio.Future[Any]"
    handed_in: float


_Outcomes: TypeAlias = list[tuple["asyncio.Future[Any]", Any]]


class _Ran(msgspec.Struct):
    """A batch that was run."""

    outcomes: _Outcomes
    head: int | None
    admitted: list[Write]

    @property
    def inserted(self) -> Write | None:
        """One that was admitted with events: where it is, all of the batch is."""
        return next((write for write in self.admitted if write.has_events), None)


class Writer:
    """Belongs to the event loop it was made in.

    `committed` is called there with each new head, and the appends that reached it, in order.

    `observe` is told of each batch in the writer's thread.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        time: LeaseTime,
        committed: Callable[[int, list[Write]], None],
        observe: Observe = lambda batch: None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._time = time
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
        self._gathered.append(_Task(work, answer, monotonic()))
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
            ran = self._commit(batch)
            self._observe(_written(batch, ran.outcomes, began))
            self._call_loop(self._deliver, ran)
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

    def _commit(self, batch: list[_Task]) -> _Ran:
        """All in one transaction; where that fails, one by one, so that only the culprit fails.

        Catches everything: a caller hears of its failure, and the writer goes on.
        """
        until = monotonic() + AGAIN_WITHIN
        while True:
            began, ran = False, None
            try:
                with self._engine.connect() as connection, connection.begin():
                    began = True
                    ran = self._run(connection, batch)
            except Exception as error:  # noqa: BLE001 - handed to those who wait for it
                gone = is_gone(error)
                there = self._is_there(ran, until) if gone and ran is not None else False
                if ran is not None and there:
                    return ran
                if gone and there is False and monotonic() < until:
                    sleep(AGAIN_AFTER)
                    continue
                # Without a transaction (the lock was not to be had) a second try would only wait.
                if gone or not began or len(batch) == 1:
                    return _Ran([(task.answer, error) for task in batch], None, [])
            else:
                return ran
            return _together([self._commit([task]) for task in batch])

    def _is_there(self, ran: _Ran, until: float) -> bool | None:
        """Whether a batch was committed though nobody answered; None if it cannot be learned."""
        if ran.inserted is None:
            return False  # nothing in it that may not be done twice
        while True:
            try:
                with self._engine.connect() as connection, connection.begin():
                    return is_committed(connection, ran.inserted)
            except SQLAlchemyError as error:
                if not is_gone(error) or monotonic() > until:
                    return None
                sleep(AGAIN_AFTER)

    def _run(self, connection: Connection, batch: list[_Task]) -> _Ran:
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
            admitted = commit_batch(connection, [write for write, _ in writes], now, self._time)
            outcomes += zip((answer for _, answer in writes), admitted, strict=True)
        head = max((a for a in admitted if isinstance(a, int)), default=None)
        pairs = zip(writes, admitted, strict=True)
        return _Ran(outcomes, head, [write for (write, _), a in pairs if isinstance(a, int)])

    def _call_loop(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: nobody is left to be told, and what was committed stays.
            return

    # In the event loop

    def _deliver(self, ran: _Ran) -> None:
        for answer, outcome in ran.outcomes:
            if answer.done():
                continue
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
        if ran.head is not None:
            # Those who wait for an append go on before those who wait for the log to grow.
            self._committed(ran.head, ran.admitted)


def _together(parts: Sequence[_Ran]) -> _Ran:
    heads = [part.head for part in parts if part.head is not None]
    return _Ran(
        outcomes=[outcome for part in parts for outcome in part.outcomes],
        head=max(heads, default=None),
        admitted=[write for part in parts for write in part.admitted],
    )


def _written(batch: list[_Task], outcomes: _Outcomes, began: float) -> WrittenBatch:
    return WrittenBatch(
        commands=len(batch),
        handed_in=[
            (task.work.append.meta.correlation, task.handed_in)
            for task in batch
            if isinstance(task.work, Write)
        ],
        began=began,
        ended=monotonic(),
        reached=not any(_failed_outside(each) for _, each in outcomes),
    )


def _failed_outside(outcome: object) -> bool:
    """The database is away, or cannot write: no space, a broken disk, a lock that never comes."""
    return isinstance(outcome, OperationalError | InterfaceError) or (
        isinstance(outcome, Exception) and is_gone(outcome)
    )


def _outcome_of(connection: Connection, job: Job) -> Any:
    try:
        with connection.begin_nested():
            return job(connection)
    except Exception as error:
        if is_gone(error):
            raise  # all of the batch is
        return error
