"""A TCP proxy before a server that cuts the connections of its streams at chosen places."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

STREAM = "/api/v1/messages/send"
HEAD_ENDS = b"\r\n\r\n"


class CuttingProxy:
    """`with CuttingProxy(service.url, cuts) as proxy:` cuts one stream for each number in `cuts`.

    A number counts bytes of the body, chunk sizes included; 0 cuts before anything is answered.
    (Over plain HTTP a browser takes half a head for a whole one: no server can mend that.) Once the
    numbers are used up, streams run to their ends. `methods` are those whose streams are cut.

    `hurried` clients are told to come back after 50 ms, in place of the server's three seconds.
    """

    def __init__(
        self,
        target: str,
        cuts: Iterable[int] = (),
        *,
        methods: tuple[str, ...] = ("GET",),
        hurried: bool = True,
    ) -> None:
        self.url = ""
        self.asked: list[str] = []
        """The heads of the requests for a stream that may be cut, in order."""
        self._cuts = deque(cuts)
        self._openings = tuple(f"{method} {STREAM}".encode() for method in methods)
        self._hurried = hurried
        self._host, _, self._port = target.removeprefix("http://").partition(":")
        self._connections: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    @property
    def cuts_left(self) -> int:
        return len(self._cuts)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        self._server.close()
        for client in self._clients:
            client.transport.abort()  # which ends the tasks
        await asyncio.gather(*self._connections)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        self._clients.add(answers)
        server, requests = await asyncio.open_connection(self._host, int(self._port))
        connection = _Connection(self, requests, answers)
        ways = {
            asyncio.create_task(connection.to_server(client)),
            asyncio.create_task(connection.to_client(server)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._clients.discard(answers)
            requests.close()
            answers.close()
            await asyncio.gather(*ways, return_exceptions=True)

    def noted(self, request: bytes) -> int | None:
        """After how many bytes to cut the answer to this request; None: not at all."""
        if not request.startswith(self._openings):
            return None
        self.asked.append(request.decode("latin-1"))
        return self._cuts.popleft() if self._cuts else None

    def paced(self, answer: bytes) -> bytes:
        """As many bytes as before, so that the numbers stay true."""
        return answer.replace(b"retry: 3000\n", b"retry: 0050\n", 1) if self._hurried else answer


class _Connection:
    def __init__(
        self, proxy: CuttingProxy, requests: asyncio.StreamWriter, answers: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._requests = requests
        self._answers = answers
        self._left: int | None = None
        self._in_head = False

    async def to_server(self, client: asyncio.StreamReader) -> None:
        while request := await client.read(65536):
            cut = self._proxy.noted(request)
            if cut is not None:
                self._left, self._in_head = cut, True
            self._requests.write(request)
            await self._requests.drain()

    async def to_client(self, server: asyncio.StreamReader) -> None:
        while answer := await server.read(65536):
            passed = self._passed(self._proxy.paced(answer))
            self._answers.write(passed)
            await self._answers.drain()
            if self._left == 0:
                return

    def _passed(self, answer: bytes) -> bytes:
        """What of the answer goes through; nothing is left where the cut comes after it."""
        if not self._left:
            return b"" if self._left == 0 else answer
        head = 0
        if self._in_head and HEAD_ENDS in answer:
            head = answer.index(HEAD_ENDS) + len(HEAD_ENDS)
            self._in_head = False
        elif self._in_head:
            return answer
        passed = answer[: head + self._left]
        self._left -= len(passed) - head
        return passed
