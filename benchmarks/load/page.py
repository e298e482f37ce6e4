"""A chat page of others, as far as the network sees it: a Socket.IO client over WebSocket.

It offers compression as browsers do. Tokens come to it as events, and it asks by an event or by a
request beside the socket.
"""

import asyncio
import json
from time import perf_counter
from typing import cast

import msgspec
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

SID = "{the socket's id}"
"""In a request's body: replaced by what the server calls the page's socket."""


class Opening(msgspec.Struct, frozen=True):
    """What a page says before its user asks. Events are JSON arrays."""

    path: str
    auth: str
    hello: str
    """The event it emits first; it is open when that has been acknowledged."""
    ends: str
    """What only an event after the last token holds, or the one that says what went wrong."""


class Answer:
    """What came of one request; times as of `perf_counter`."""

    def __init__(self, gaps: list[float]) -> None:
        self._gaps = gaps
        self.accepted = False
        self.tokens = 0
        self.sent = self.first = self.last = self.ended = 0.0

    @property
    def good(self) -> bool:
        return self.accepted and self.tokens > 0 and self.ended > 0

    def grew(self, tokens: int, now: float) -> None:
        """Those that came together had to wait for none of the others."""
        if self.tokens:
            self._gaps.append(now - self.last)
        else:
            self.first = now
        self.tokens += tokens
        self.last = now


class Page(asyncio.Protocol):
    def __init__(self, port: int, opening: Opening, needle: str) -> None:
        loop = asyncio.get_running_loop()
        self._port = port
        self._opening = opening
        self._needle = needle.encode()
        self._ends = opening.ends.encode()
        uri = f"ws://127.0.0.1:{port}{opening.path}?EIO=4&transport=websocket"
        deflate = ClientPerMessageDeflateFactory(client_max_window_bits=True)
        self._socket = ClientProtocol(parse_uri(uri), extensions=[deflate])
        self._sid = ""
        self._opened = loop.create_future()
        self._over = loop.create_future()
        self._answer: Answer | None = None

    async def opened(self) -> None:
        """Raises ConnectionError where the server does not let it in."""
        await self._opened

    async def ask(self, path: str, headers: dict[str, str], body: str, answer: Answer) -> None:
        """Returns when it has been answered, and the socket is closed."""
        self._answer = answer
        answer.sent = perf_counter()
        if path:
            body = body.replace(SID, self._sid)
            answer.accepted = await _posted(self._port, path, headers, body)
        else:
            self._say(f"42{body}")
            answer.accepted = True
        if answer.accepted:
            await self._over
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._socket.send_request(self._socket.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self._socket.receive_data(data)
        texts = [
            bytes(event.data)
            for event in self._socket.events_received()
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT
        ]
        self._flush()  # a pong, or what closes it
        if self._answer is not None and (tokens := sum(self._needle in text for text in texts)):
            self._answer.grew(tokens, now)
        for text in texts:
            self._heard(text, now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectionError("closed before it was open"))
        if not self._over.done():
            self._over.set_result(None)

    def _heard(self, text: bytes, now: float) -> None:
        if text == b"2":
            self._say("3")
        elif text.startswith(b"0"):
            self._say(f"40{self._opening.auth}")
        elif text.startswith(b"40"):
            self._sid = json.loads(text[2:])["sid"]
            self._say(f"420{self._opening.hello}")
        elif text.startswith(b"430"):
            self._opened.set_result(None)
        elif text.startswith(b"44"):
            self._opened.set_exception(ConnectionError(text.decode()))
        elif self._answer is not None and self._ends in text:
            self._answer.ended = now
            self._over.set_result(None)

    def _say(self, text: str) -> None:
        self._socket.send_text(text.encode())
        self._flush()

    def _flush(self) -> None:
        self._transport.writelines(self._socket.data_to_send())


def http_request(port: int, path: str, headers: dict[str, str], body: str) -> bytes:
    said = body.encode()
    head = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    head += ["content-type: application/json", f"content-length: {len(said)}"]
    return "\r\n".join([*head, "", ""]).encode() + said


async def _posted(port: int, path: str, headers: dict[str, str], body: str) -> bool:
    """Whether the answer was 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(http_request(port, path, {**headers, "connection": "close"}, body))
    status = await reader.readline()
    await reader.read()
    writer.close()
    return status.split()[1:2] == [b"200"]
