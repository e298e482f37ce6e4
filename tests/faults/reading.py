"""One follower of a reply: the bytes it got, over as many connections as it took."""

import json
import time
from typing import Any

TERMINAL = ("assistant_complete", "assistant_regenerated", "assistant_error")
STARTED = ("assistant_typing", "assistant_regenerating")


class BrokenPromiseError(AssertionError):
    """A promise that was not kept."""


class ConnectionFailed(ConnectionError):  # noqa: N818 - as it ends
    """The server said that it failed, which is about the connection and not about the reply."""


class Reading:
    """What a client has of a reply. A connection that goes on from an event's id adds to it."""

    def __init__(self, reply_id: str, chat_id: str, token: str) -> None:
        self.reply_id = reply_id
        self.chat_id = chat_id
        self.token = token
        self.text = ""
        self.reasoning = ""
        self.last_id = ""
        self.started: Any = None
        self.terminal: Any = None
        self.terminal_name = ""
        self.usage: Any = None
        self.arrived: list[tuple[float, int]] = []
        """When, and how many characters of the text there were then."""
        self._buffer = b""

    def connect(self) -> None:
        """A new connection begins: half an event of the last one is lost."""
        self._buffer = b""

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk
        while b"\n\n" in self._buffer:
            block, self._buffer = self._buffer.split(b"\n\n", 1)
            self._block(block)

    @property
    def whole(self) -> bool:
        return self.usage is not None

    def _block(self, block: bytes) -> None:
        lines = block.decode().split("\n")
        if lines in (["retry: 3000"], [": keepalive"]):
            return
        if lines[0] == "event: assistant_error" and '"code":"INTERNAL"' in lines[1]:
            raise ConnectionFailed
        try:
            (id_, event_id), (event_, name), (data_, data) = (line.split(": ", 1) for line in lines)
        except ValueError:
            raise BrokenPromiseError(f"not an event: {block[:200]!r}") from None
        if (id_, event_, data_) != ("id", "event", "data"):
            raise BrokenPromiseError(f"not an event: {block[:200]!r}")
        self._event(name, json.loads(data))
        self.last_id = event_id

    def _event(self, name: str, data: Any) -> None:
        if self.usage is not None:
            raise BrokenPromiseError(f"{name} after usage_info")
        if self.terminal is not None and name != "usage_info":
            raise BrokenPromiseError(f"{name} after {self.terminal_name}")
        if name in STARTED:
            if self.started is not None:
                raise BrokenPromiseError(f"{name} twice")
            self.started = data
        elif self.started is None:
            raise BrokenPromiseError(f"{name} before the start")
        elif name == "assistant_delta":
            self.text += data["delta"]
            self.arrived.append((time.monotonic(), len(self.text)))
        elif name == "assistant_reasoning":
            self.reasoning += data["delta"]
        elif name in TERMINAL:
            self.terminal, self.terminal_name = data, name
        elif name == "usage_info" and self.terminal is not None:
            self.usage = data
        else:
            raise BrokenPromiseError(f"{name} out of place")
