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

from benchmarks.load.page import Answer, Opening, Page, http_request
from benchmarks.load.processes import cpu_of

LAST_CHUNK = b"0\r\n\r\n"
OPENED_AT_ONCE = 16
"""Pages, before anything is asked."""


class Request(msgspec.Struct):
    headers: dict[str, str]
    body: str
    at: float = 0.0
    """Seconds after the beginning."""
    page: Opening | None = None
    """Who asks, where the answer does not come as the response."""


class Task(msgspec.Struct):
    pid: int
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
    cpu_before: float
    """What the asked process and its family had used when the first request was sent."""


class Stream(asyncio.Protocol):
    """The answer is the response to the request."""

    def __init__(self, task: Task, request: Request, answer: Answer) -> None:
        self._needle = task.needle.encode()
        self._request = http_request(task.port, task.path, request.headers, request.body)
        self._answer = answer
        self._tail = b""
        self._begun = False
        self._over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answer.sent = perf_counter()  # the loop's own counts whole milliseconds
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self._begun:
            self._begun = True
            self._answer.accepted = data[9:12] == b"200"
        # A token's mark may lie over two reads.
        kept = len(self._needle) - 1
        found = (self._tail + data).count(self._needle)
        self._tail = (self._tail + data)[-kept:]
        if found:
            self._answer.grew(found, now)
        if data.endswith(LAST_CHUNK):
            self._answer.ended = now
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
    answers: list[Answer] = []
    places = asyncio.Semaphore(OPENED_AT_ONCE)

    async def opened(request: Request) -> Page | None:
        if request.page is None:
            return None
        opening = request.page
        async with places:
            _, page = await loop.create_connection(
                lambda: Page(task.port, opening, task.needle), "127.0.0.1", task.port
            )
            await page.opened()
        return page

    async def one(request: Request, page: Page | None) -> None:
        answer = Answer(gaps)
        if page is not None:
            await page.ask(task.path, request.headers, request.body, answer)
        else:
            _, stream = await loop.create_connection(
                lambda: Stream(task, request, answer), "127.0.0.1", task.port
            )
            await stream.over()
        answers.append(answer)

    async def at_its_time(request: Request, page: Page | None) -> None:
        await asyncio.sleep(began + request.at - perf_counter())
        await one(request, page)

    async def share(start: int) -> None:
        for number in range(start, len(task.requests), task.in_turn):
            await one(task.requests[number], pages[number])

    pages = await asyncio.gather(*map(opened, task.requests))
    cpu_before = cpu_of(task.pid)
    began = perf_counter()
    if task.in_turn:
        await asyncio.gather(*map(share, range(task.in_turn)))
    else:
        await asyncio.gather(*map(at_its_time, task.requests, pages))
    took = perf_counter() - began
    gaps.sort()
    good = [answer for answer in answers if answer.good]
    told = Told(
        tokens=sum(answer.tokens for answer in answers),
        first=[answer.first - answer.sent for answer in good],
        whole=[answer.ended - answer.sent for answer in good],
        saying=[answer.last - answer.first for answer in good],
        gap_p50=_percentile(gaps, 0.5),
        gap_p99=_percentile(gaps, 0.99),
        gap_max=gaps[-1] if gaps else 0.0,
        failed=len(answers) - len(good),
        took=took,
        cpu_before=cpu_before,
    )
    sys.stdout.buffer.write(msgspec.json.encode(told))


def _percentile(values: list[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0


if __name__ == "__main__":
    uvloop.run(main())
