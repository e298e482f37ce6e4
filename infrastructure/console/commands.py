"""Operator's commands as processes of their own beside the server, which they do not slow down."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

NICENESS = 10
LONGEST_LINE = 1_000_000
COMPLAINTS_KEPT = 2_000
"""Bytes of what a command says on stderr, the last ones."""
ENDS_WITHIN = 5.0
"""Seconds after it was told to end."""


class OperatorCommands:
    """Starts `dabir …` with the server's settings."""

    def __init__(self, program: Sequence[str], data_dir: Path) -> None:
        """`program` is what stands before the command's own words."""
        self._program = program
        # Of what the server's flags can change, commands need this; all other settings are in the
        # environment and the configuration file, which are the same for both.
        self._flags = ("--json", "--data-dir", str(data_dir))

    async def start(self, *words: str) -> "RunningCommand":
        process = await asyncio.create_subprocess_exec(
            *self._program,
            *words,
            *self._flags,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            limit=LONGEST_LINE,
        )
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        return RunningCommand(process)


class RunningCommand:
    """Read its `objects`, then await its `end`; or `stop` it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._complaints = b""
        self._listening = asyncio.create_task(self._listen())

    async def objects(self) -> AsyncIterator[bytes]:
        """What it prints, an object of JSON a line, until it has no more to say."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield line

    async def end(self) -> tuple[int, str]:
        """Its exit code, and what it complained of."""
        await self._listening
        code = await self._process.wait()
        lines = self._complaints.decode(errors="replace").splitlines()
        return code, " ".join(line.removeprefix("dabir: ") for line in lines)

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(ENDS_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        # Whatever it began itself may keep the pipe for a moment.
        await asyncio.wait([self._listening], timeout=ENDS_WITHIN)
        self._listening.cancel()

    def let_go(self) -> None:
        """Of pipes that nobody reads any more.

        asyncio's Process has no such method, and would do it some turns of the loop later: in a
        loop that ends, never.
        """
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while some := await self._process.stderr.read(COMPLAINTS_KEPT):
            self._complaints = (self._complaints + some)[-COMPLAINTS_KEPT:]
