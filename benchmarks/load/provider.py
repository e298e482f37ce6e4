"""A provider that costs next to nothing: OpenAI's stream, one write a token, all bytes made before.

    python -m benchmarks.load.provider      prints its port, and serves until it is killed

The model says what comes: `tokens-N` at once, `tokens-N-at-R` with R tokens a second, the first of
them right away. Their texts are ` tok0`, ` tok1` and so on.
"""

import asyncio
import json
import re
from typing import cast

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
MODEL = re.compile(rb'"model": ?"(?:[\w-]+/)?tokens-(\d+)(?:-at-(\d+))?"')
MOST_TOKENS = 4_000


def _event(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event(json.dumps({**SAME, "choices": [choice]}).encode())


SAME = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": "tokens",
}
ROLE = _chunk({"role": "assistant", "content": ""})
TOKENS = [_chunk({"content": f" tok{number}"}) for number in range(MOST_TOKENS)]
STOP = _chunk({}, "stop")


def _usage(tokens: int) -> bytes:
    told = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    return _event(json.dumps({**SAME, "choices": [], "usage": told}).encode())


class Provider(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        asked = MODEL.search(body)
        if asked is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        tokens, rate = int(asked[1]), int(asked[2] or 0)
        self._transport.write(HEAD + ROLE)
        if rate:
            self._say(0, tokens, 1 / rate, asyncio.get_running_loop().time())
        else:
            for token in TOKENS[:tokens]:
                self._transport.write(token)
            self._end(tokens)

    def _say(self, number: int, tokens: int, interval: float, began: float) -> None:
        """One token, when it is due by the clock: a late one does not make the next ones late."""
        self._transport.write(TOKENS[number])
        if number + 1 == tokens:
            self._end(tokens)
            return
        due = began + (number + 1) * interval
        self._timer = asyncio.get_running_loop().call_at(
            due, self._say, number + 1, tokens, interval, began
        )

    def _end(self, tokens: int) -> None:
        self._transport.write(STOP + _usage(tokens) + _event(b"[DONE]") + END)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
