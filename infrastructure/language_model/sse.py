"""Server-sent events out of bytes that come in any pieces."""

MAX_EVENT = 4 * 1024 * 1024
"""Bytes of one event, beyond which an upstream is not believed to send events at all."""


class EventTooLong(Exception):  # noqa: N818 - the upstream's fault, answered as a failure
    """An event, or a line, did not end within MAX_EVENT bytes."""


class EventData:
    """Cuts a stream into its events' data; names, ids and comments are of no use here."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, received: bytes) -> list[bytes]:
        """The data of each event that has ended. Raises EventTooLong."""
        if not self._rest and not self._data and (data := _only_event(received)) is not None:
            self._begun = True
            return [data]
        buffer = self._rest + received
        if not self._begun and len(buffer) >= 3:
            self._begun = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in buffer:
            # A CR at the very end may be the first half of a CRLF.
            held = buffer.endswith(b"\r")
            buffer = buffer[: len(buffer) - held].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            buffer += b"\r" * held
        *lines, self._rest = buffer.split(b"\n")
        events = self._events(lines)
        if len(self._rest) + self._size > MAX_EVENT:
            raise EventTooLong
        return events

    def end(self) -> list[bytes]:
        """What is left when the stream ends; many servers forget the last empty line."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        return self._events([rest, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].removeprefix(b" ")
                self._data.append(data)
                self._size += len(data)
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
                self._size = 0
        return events


def _only_event(received: bytes) -> bytes | None:
    """The data where it is one event of one line, as it is when tokens come one by one."""
    if not (received.startswith(b"data: ") and received.endswith(b"\n\n")):
        return None
    data = received[6:-2]
    return None if b"\n" in data or b"\r" in data else data
