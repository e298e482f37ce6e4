"""One operator's command at a time, followed to its end in a task."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from application.console.ports import AlreadyRunning
from infrastructure.console.commands import ENDS_WITHIN, OperatorCommands, RunningCommand

Follow: TypeAlias = Callable[[RunningCommand], Awaitable[None]]


class Observer(Protocol):
    def fault(self, where: str, error: BaseException) -> None: ...


class FollowedCommand:
    """Of one kind, which is named for operators."""

    def __init__(self, kind: str, commands: OperatorCommands, observer: Observer) -> None:
        self._kind = kind
        self._commands = commands
        self._observer = observer
        self._starting = False
        self._task: asyncio.Task[None] | None = None
        self._command: RunningCommand | None = None

    @property
    def runs(self) -> bool:
        return self._starting or (self._task is not None and not self._task.done())

    async def start(self, words: Sequence[str], follow: Follow) -> None:
        """Returns when it runs; `follow` goes on beside. Raises AlreadyRunning."""
        self.require_none()
        self._starting = True
        try:
            self._command = await self._commands.start(*words)
            self._task = asyncio.create_task(self._followed(self._command, follow))
        finally:
            self._starting = False

    def require_none(self) -> None:
        """Raises AlreadyRunning."""
        if self.runs:
            raise AlreadyRunning(f"A {self._kind} is under way.")

    async def close(self) -> None:
        """What runs is stopped."""
        if self._command is None or self._task is None:
            return
        await self._command.stop()
        # With the process its words end, and so does who follows them.
        await asyncio.wait([self._task], timeout=ENDS_WITHIN)
        self._task.cancel()

    async def _followed(self, command: RunningCommand, follow: Follow) -> None:
        try:
            await follow(command)
        except Exception as error:  # noqa: BLE001 - a supervisor: nobody else would hear of it
            self._observer.fault(f"console {self._kind}", error)
        finally:
            command.let_go()
