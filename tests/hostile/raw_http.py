"""HTTP and WebSocket spoken over bare sockets, for clients that no library would be."""

import json
import os
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.service import Service

PATIENCE = 15.0


@contextmanager
def connection(service: Service, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A TCP connection; with a small `receive_buffer` (bytes) the server notices who won't read."""
    host, port = urlsplit(service.url).netloc.split(":")
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    client.connect((host, int(port)))
    try:
        yield client
    finally:
        client.close()


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A request's bytes; header names are written with `_` for `-`."""
    lines = [f"{method} {path} HTTP/1.1", "host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def send_message(content: str, **headers: str) -> bytes:
    body = json.dumps({"content": content}).encode()
    path = "/api/v1/messages/send"
    return request("POST", path, body, content_type="application/json", **headers)


def upgrade(path: str = "/socket.io/?EIO=4&transport=websocket", **headers: str) -> bytes:
    key = b64encode(os.urandom(16)).decode()
    return request(
        "GET",
        path,
        None,
        connection="Upgrade",
        upgrade="websocket",
        sec_websocket_version="13",
        sec_websocket_key=key,
        **headers,
    )


def text_frame(text: str) -> bytes:
    """A masked WebSocket frame; the mask is zeros."""
    data = text.encode()
    if len(data) < 126:
        length = bytes([0x80 | len(data)])
    else:
        length = bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + data


def read_until(client: socket.socket, part: bytes) -> bytes:
    got = b""
    while part not in got:
        piece = client.recv(65536)
        assert piece, got
        got += piece
    return got


def seconds_until_closed(client: socket.socket) -> float:
    """Reads and drops what comes until the server has closed the connection."""
    began = time.monotonic()
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def is_held(service: Service, client: socket.socket) -> bool:
    """Whether the server's side still holds this connection, whatever the client does."""
    pair = (urlsplit(service.url).port, client.getsockname()[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any((_port(row[1]), _port(row[2])) == pair for row in rows)


def _port(endpoint: str) -> int:
    return int(endpoint.split(":")[1], 16)


def metric(service: Service, name: str) -> float:
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
