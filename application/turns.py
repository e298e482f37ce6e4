"""One principal's commands, one at a time, and safe to repeat."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from application.commands import Command
from application.errors import (
    CommandRepeated,
    IdempotencyKeyReused,
    LeaseLost,
    VersionConflict,
)
from application.ports import (
    Append,
    Caller,
    CommandKey,
    CommandRecord,
    EventStore,
    Ids,
    Meta,
)
from application.tracing import UNTRACED, Tracer
from domain.refusal import Refusal
from domain.usage import HoldNotOpen

R = TypeVar("R")

DEADLINE = 10.0
"""Seconds for which a command is decided again over conflicts with other processes."""
LEASE_RETRY = 0.2


class Decision(msgspec.Struct, Generic[R], frozen=True):
    """What a command came to: the write to do, and its result once that is done.

    `then` runs right after the append, whether or not the client still waits.
    """

    append: Append
    result: R
    then: Callable[[], None] | None = None


class Outcome(msgspec.Struct, Generic[R], frozen=True):
    """`repeated`: the command had been carried out before, and `result` is that one's."""

    result: R
    position: int
    repeated: bool = False


class Turns:
    """Runs commands: one at a time for each principal, decided again when that can help.

    Deciding one at a time in a process leaves conflicts to come only from other processes, so
    that many sends at once on credit for one make one model call and no storm of retries.
    """

    def __init__(
        self, store: EventStore, ids: Ids, secret: bytes, tracer: Tracer = UNTRACED
    ) -> None:
        self._store = store
        self._ids = ids
        self._secret = secret
        self._tracer = tracer
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def of(self, principal: UUID) -> AsyncIterator[None]:
        """Holds the principal's turn; forgotten when nobody waits for it."""
        lock, users = self._locks.get(principal) or (asyncio.Lock(), 0)
        self._locks[principal] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[principal]
            if users == 1:
                del self._locks[principal]
            else:
                self._locks[principal] = (lock, users - 1)

    async def carry_out(
        self,
        caller: Caller,
        command: Command,
        key: str | None,
        result_type: type[R],
        decide: Callable[["Attempt"], Awaitable[Decision[R]]],
    ) -> Outcome[R]:
        """Decide and append, or return what the same key came to before.

        A client that goes away does not stop it. Raises what `decide` refuses, and
        IdempotencyKeyReused.
        """
        task = asyncio.ensure_future(self._traced(caller, command, key, result_type, decide))
        self._running.add(task)
        task.add_done_callback(self._running_ended)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Return when every command that is under way now has ended."""
        if self._running:
            await asyncio.wait(self._running)

    def _running_ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited for it was told, or is gone

    async def _traced(
        self,
        caller: Caller,
        command: Command,
        key: str | None,
        result_type: type[R],
        decide: Callable[["Attempt"], Awaitable[Decision[R]]],
    ) -> Outcome[R]:
        with self._tracer.span("command", caller.correlation, command=command.route) as span:
            outcome = await self._in_turn(caller, command, key, result_type, decide)
            span.note(repeated=outcome.repeated, position=outcome.position)
        return outcome

    async def _in_turn(
        self,
        caller: Caller,
        command: Command,
        key: str | None,
        result_type: type[R],
        decide: Callable[["Attempt"], Awaitable[Decision[R]]],
    ) -> Outcome[R]:
        attempt = Attempt(
            key=CommandKey(command.route, caller.principal.id, key or str(self._ids.new())),
            digest=self._digest(command),
            meta=Meta(correlation=caller.correlation, actor=caller.principal.id),
        )
        async with self.of(caller.principal.id):
            if key is not None:
                repeated = await self._repeated(attempt, result_type)
                if repeated is not None:
                    return repeated
            return await self._decided(attempt, result_type, decide)

    async def _decided(
        self,
        attempt: "Attempt",
        result_type: type[R],
        decide: Callable[["Attempt"], Awaitable[Decision[R]]],
    ) -> Outcome[R]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE
        while True:
            try:
                decision = await decide(attempt)
                if decision.append.changes_nothing and not attempt.fresh:
                    # By what this process remembers; another one may have changed it since.
                    attempt = msgspec.structs.replace(attempt, fresh=True)
                    continue
                position = await self._store.append(decision.append)
                if decision.then is not None:
                    decision.then()
                return Outcome(decision.result, position)
            except (Refusal, VersionConflict, CommandRepeated) as refused:
                # Another process may have carried out the same command, or changed the ground
                # on which this one was refused.
                repeated = await self._repeated(attempt, result_type)
                if repeated is not None:
                    return repeated
                # A hold that has gone was ended by another process between two reads.
                settled = isinstance(refused, Refusal) and not isinstance(refused, HoldNotOpen)
                final = attempt.fresh and settled
                if final or loop.time() > deadline:
                    raise
                attempt = msgspec.structs.replace(attempt, fresh=True)
            except LeaseLost:
                # Taken anew within a third of its duration, by whoever keeps it.
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(LEASE_RETRY)

    async def _repeated(self, attempt: "Attempt", result_type: type[R]) -> Outcome[R] | None:
        record = await self._store.recall(attempt.key)
        if record is None:
            return None
        if not hmac.compare_digest(record.digest, attempt.digest):
            raise IdempotencyKeyReused("The key was used before with another request.")
        result = msgspec.json.decode(record.result, type=result_type)
        return Outcome(result, await self._store.head(), repeated=True)

    def _digest(self, command: Command) -> bytes:
        """Keyed, so that a short content cannot be guessed from the command's row."""
        body = command.route.encode() + b"\n" + msgspec.json.encode(command)
        return hmac.new(self._secret, body, hashlib.sha256).digest()


class Attempt(msgspec.Struct, frozen=True):
    """What stays the same however often a command is decided, and whether to read afresh."""

    key: CommandKey
    digest: bytes
    meta: Meta
    fresh: bool = False

    def record(self, result: object) -> CommandRecord:
        return CommandRecord(self.key, self.digest, msgspec.json.encode(result))
