"""Many streams from one process, as cheaply as they can be read.

    python -m benchmarks.load.client < task.json

The task is a `Task`, the answer on standard output a `Told`.
"""

import asyncio
import sys
from time import perf_counter
from typing import cast

import msgspec
import uvloop

LAST_CHUNK = b"0\r\n\r\n"


class Request(msgspec.Struct):
    headers: dict[str, str]
    body: str
    at: float = 0.0
    """Seconds after the beginning."""


class Task(msgspec.Struct):
    port: int
    path: str
    requests: list[Request]
    needle: str
    """What each token's event holds, and nothing else."""
    in_turn: int = 0
    """Clients that send the requests, each after its last one has ended; 0: each at its time."""


class Told(msgspec.Struct):
    """Times in seconds. Per stream, in the order in which they ended."""

    tokens: int
    first: list[float]
    """From the request to the first token."""
    whole: list[float]
    """From the request to the end of the body."""
    saying: list[float]
    """From the first token to the last."""
    gap_p50: float
    gap_p99: float
    gap_max: float
    """Between two reads that brought tokens; tokens of one read have no gap."""
    failed: int
    """Answers other than 200, cut, or without a token."""
    took: float


class Stream(asyncio.Protocol):
    def __init__(self, task: Task, request: Request, gaps: list[float]) -> None:
        loop = asyncio.get_running_loop()
        self._time = perf_counter  # the loop's own counts whole milliseconds
        self._needle = task.needle.encode()
        self._gaps = gaps
        body = request.body.encode()
        head = [f"POST {task.path} HTTP/1.1", f"host: 127.0.0.1:{task.port}"]
        head += [f"{name}: {value}" for name, value in request.headers.items()]
        head += ["content-type: application/json", f"content-length: {len(body)}"]
        self._request = "\r\n".join([*head, "", ""]).encode() + body
        self._tail = b""
        self._status = b""
        self._over = loop.create_future()
        self.tokens = 0
        self.sent = self.first = self.last = self.ended = 0.0

    @property
    def good(self) -> bool:
        return self._status == b"200" and self.tokens > 0 and self.ended > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.sent = self._time()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = self._time()
        if not self._status:
            self._status = data[9:12]
        # A token's mark may lie over two reads.
        kept = len(self._needle) - 1
        found = (self._tail + data).count(self._needle)
        self._tail = (self._tail + data)[-kept:]
        if found:
            if self.tokens:
                self._gaps.append(now - self.last)
                # Those that came together had to wait for none of the others.
            else:
                self.first = now
            self.tokens += found
            self.last = now
        if data.endswith(LAST_CHUNK):
            self.ended = now
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def over(self) -> None:
        await self._over


async def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    loop = asyncio.get_running_loop()
    gaps: list[float] = []
    streams: list[Stream] = []
    began = perf_counter()

    async def one(request: Request) -> None:
        _, stream = await loop.create_connection(
            lambda: Stream(task, request, gaps), "127.0.0.1", task.port
        )
        await stream.over()
        streams.append(stream)

    async def at_its_time(request: Request) -> None:
        await asyncio.sleep(began + request.at - perf_counter())
        await one(request)

    async def share(requests: list[Request]) -> None:
        for request in requests:
            await one(request)

    if task.in_turn:
        shares = (task.requests[start :: task.in_turn] for start in range(task.in_turn))
        await asyncio.gather(*map(share, shares))
    else:
        await asyncio.gather(*map(at_its_time, task.requests))
    took = perf_counter() - began
    gaps.sort()
    good = [stream for stream in streams if stream.good]
    told = Told(
        tokens=sum(stream.tokens for stream in streams),
        first=[stream.first - stream.sent for stream in good],
        whole=[stream.ended - stream.sent for stream in good],
        saying=[stream.last - stream.first for stream in good],
        gap_p50=_percentile(gaps, 0.5),
        gap_p99=_percentile(gaps, 0.99),
        gap_max=gaps[-1] if gaps else 0.0,
        failed=len(streams) - len(good),
        took=took,
    )
    sys.stdout.buffer.write(msgspec.json.encode(told))


def _percentile(values: list[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0


if __name__ == "__main__":
    uvloop.run(main())
