"""A wire between a program and a server, which can be cut, or go dead without a word."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

Target: TypeAlias = Path | tuple[str, int]
"""A socket's path on this machine, or a host and a port."""


class Wire:
    """`with Wire(target) as wire:` forwards what comes to `wire.port` on 127.0.0.1.

    `watch` is told what the program sends, and may call `cut_after_next`.
    """

    def __init__(self, target: Target, watch: Callable[[bytes], object] | None = None) -> None:
        self.port = 0
        self._target = target
        self._watch = watch
        self._alive = asyncio.Event()
        self._answers_dropped = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """End every connection; new ones are let through."""
        self._loop.call_soon_threadsafe(self._abort)

    def drop_answers(self) -> None:
        """From the next byte on the server's answers are lost, and then its connections end."""
        self._answers_dropped = True

    def freeze(self) -> None:
        """Nothing goes through any more, either way, and nobody is told; new connections hang."""
        self._loop.call_soon_threadsafe(self._alive.clear)

    def thaw(self) -> None:
        """Old connections end, as they would have by now; new ones go through."""

        def thaw() -> None:
            self._abort()
            self._alive.set()

        self._loop.call_soon_threadsafe(thaw)

    def _run(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            result = work()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _start(self) -> None:
        self._alive.set()
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        self._abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _abort(self) -> None:
        for end in self._ends:
            end.transport.abort()

    def _begin(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Serve in a task of our own: asyncio logs an error for each of its own that is cut."""
        task = self._loop.create_task(self._serve(client, answers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._ends.add(answers)
        requests = None
        try:
            await self._alive.wait()
            if isinstance(self._target, Path):
                server, requests = await asyncio.open_unix_connection(str(self._target))
            else:
                server, requests = await asyncio.open_connection(*self._target)
            self._ends.add(requests)
            ways = [
                asyncio.create_task(self._forward(client, requests, self._seen)),
                asyncio.create_task(self._forward(server, answers, self._answered)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            return  # the server is not there, as the program is about to see
        finally:
            for end in (answers, requests):
                if end is not None:
                    self._ends.discard(end)
                    end.transport.abort()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
    ) -> None:
        while data := await source.read(65536):
            await self._alive.wait()
            if not passes(data):
                return
            target.write(data)
            await target.drain()

    def _seen(self, sent: bytes) -> bool:
        if self._watch is not None:
            self._watch(sent)
        return True

    def _answered(self, _answer: bytes) -> bool:
        lost, self._answers_dropped = self._answers_dropped, False
        return not lost
