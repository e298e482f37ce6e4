"""Clients that read nothing, or send a byte at a time: cut at a deadline, and nobody notices."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest

from tests.hostile.raw_http import (
    connection,
    is_held,
    metric,
    read_until,
    request,
    seconds_until_closed,
    send_message,
    text_frame,
    upgrade,
)
from tests.service import MODELS, Service, attaching, joined, named, sending, until
from tests.upstream import Upstream

UNREAD_TIMEOUT = 1.5
REQUEST_TIMEOUT = 1.5
LATE = 3.0
"""Seconds that a busy machine may be late."""
WORDS = 10
LONG = " ".join(["🦊" * 9000] * WORDS)
"""More than the buffers between two sockets hold; it comes as the answer, word by word."""
LARGE = MODELS.replace("context_window = 8000", "context_window = 8000000")
DEAF = 4
ROOM = 30_000_000
"""Bytes by which memory may grow while deaf clients are answered."""


@pytest.fixture(scope="module")
def service(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("slow") / "data"
    environ = {
        "DABIR_GRACE": "0s",
        "DABIR_UNREAD_TIMEOUT": f"{UNREAD_TIMEOUT}s",
        "DABIR_REQUEST_TIMEOUT": f"{REQUEST_TIMEOUT}s",
    }
    with Service(folder, upstream.api_base, models=LARGE, environ=environ) as service:
        yield service.wait_ready()


def trickle(client: socket.socket, data: bytes) -> float:
    """Sends a byte every so often; returns after how many seconds the server had had enough."""
    began = time.monotonic()
    client.settimeout(0.1)
    for byte in data:
        try:
            client.send(bytes([byte]))
            if not client.recv(65536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


def send_while_taken(client: socket.socket, data: bytes) -> None:
    """Until the server has stopped taking it, or is gone."""
    with suppress(TimeoutError, ConnectionError):
        client.settimeout(1)
        while True:
            client.sendall(data)


@pytest.mark.alone
def test_who_never_reads_a_stream_is_cut_off_and_nobody_notices(
    service: Service, anon_id: str
) -> None:
    gaps: list[float] = []

    def watch() -> None:
        with sending(service, {}, content="[[tokens-300-at-60]]") as stream:
            last = time.monotonic()
            for _ in stream:
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

    def read(number: int) -> None:
        with sending(service, {"x-anon-id": f"{anon_id}-reader-{number}"}, content=LONG) as stream:
            stream.rest()

    # As many who do read: what such answers take in any case is not held for the deaf.
    with ThreadPoolExecutor(DEAF) as readers:
        list(readers.map(read, range(DEAF)))
    before = metric(service, "process_resident_memory_bytes")
    watcher = threading.Thread(target=watch)
    watcher.start()
    with ExitStack() as closing:
        deaf = [closing.enter_context(connection(service, 4096)) for _ in range(DEAF)]
        for number, client in enumerate(deaf):
            client.sendall(send_message(LONG, x_anon_id=f"{anon_id}-{number}"))
        until(lambda: metric(service, "dabir_open_streams") >= DEAF)
        patience = UNREAD_TIMEOUT + 2 * LATE
        until(lambda: not any(is_held(service, client) for client in deaf), patience)
        assert metric(service, "process_resident_memory_bytes") - before < ROOM
    watcher.join()
    for number in range(DEAF):
        with attaching(service, {"x-anon-id": f"{anon_id}-{number}"}) as stream:
            events = stream.rest()
        assert named(events, "assistant_complete").data["content"].strip() == LONG
    assert max(gaps[1:]) < 0.5


def test_a_stream_that_is_read_slowly_is_not_cut(service: Service, anon_id: str) -> None:
    with connection(service) as client:
        client.sendall(send_message(LONG, x_anon_id=anon_id))
        got, began = b"", time.monotonic()
        while b"event: usage_info" not in got:
            got += client.recv(50_000)
            if time.monotonic() - began < 2 * UNREAD_TIMEOUT:
                time.sleep(UNREAD_TIMEOUT / 4)
    assert got.count(b"event: assistant_complete") == 1


def test_a_websocket_that_never_reads_is_cut_off(service: Service, anon_id: str) -> None:
    with connection(service, 4096) as client:
        client.sendall(upgrade())
        read_until(client, b"0{")
        client.sendall(text_frame(f'40/chats,{{"anon_id":"{anon_id}"}}'))
        read_until(client, b'["usage_info"')
        # Each answer is longer than the question: the server is the first who cannot write.
        send_while_taken(client, text_frame('42/chats,["list_models"]'))
        until(lambda: not is_held(service, client), UNREAD_TIMEOUT + LATE)


def test_answers_that_nobody_fetches_are_bounded_and_cut(service: Service) -> None:
    with connection(service, 4096) as client:
        client.sendall(request("GET", "/web/vendor/rapidoc-min.js") * 10)
        until(lambda: not is_held(service, client), UNREAD_TIMEOUT + 5 + LATE)


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nx-slow: " + b"y" * 500, id="headers"),
        pytest.param(b"\r\n" * 250, id="empty-lines"),
        pytest.param(send_message("y" * 500), id="body"),
        pytest.param(
            request("POST", "/socket.io/?EIO=4", transfer_encoding="chunked") + b"1\r\ny\r\n" * 99,
            id="chunks",
        ),
    ],
)
def test_a_request_that_comes_byte_by_byte_is_cut_at_the_deadline(
    service: Service, slow: bytes
) -> None:
    with connection(service) as client:
        took = trickle(client, slow)
        assert REQUEST_TIMEOUT - 0.2 < took < REQUEST_TIMEOUT + LATE
        until(lambda: not is_held(service, client), LATE)


def test_who_connects_and_says_nothing_is_cut_at_the_deadline(service: Service) -> None:
    with connection(service) as client:
        assert seconds_until_closed(client) < REQUEST_TIMEOUT + LATE


def test_a_stream_outlives_the_deadlines_of_requests(service: Service, anon_id: str) -> None:
    with sending(service, {"x-anon-id": anon_id}, content="[[tokens-40-at-10]]") as stream:
        events = stream.rest()
    assert joined(events).startswith("t0 t1 ")
    assert named(events, "assistant_complete")


def test_a_connection_is_used_again(service: Service) -> None:
    with connection(service) as client:
        for _ in range(3):
            client.sendall(request("GET", "/healthz"))
            assert read_until(client, b'"ok"}').startswith(b"HTTP/1.1 200")
            time.sleep(REQUEST_TIMEOUT / 2)


@pytest.mark.parametrize("path", ["/api/v1/messages/send", "/api/v1/messages/stop"])
def test_a_body_that_never_ends_is_refused_at_once_and_cut_soon(
    service: Service, path: str
) -> None:
    chunk = b"10000\r\n" + b"y" * 65536 + b"\r\n"
    with connection(service) as client:
        client.sendall(
            request("POST", path, transfer_encoding="chunked", accept="application/json")
        )
        flood = threading.Thread(target=send_while_taken, args=(client, chunk))
        flood.start()
        answer = read_until(client, b"CONTENT_TOO_LARGE")
        flood.join(LATE + 2)
        assert not flood.is_alive()
        assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_says_it_is_too_long_is_refused_unread(service: Service) -> None:
    with connection(service) as client:
        client.sendall(
            request("POST", "/api/v1/messages/send", content_length="99999999", accept="*/*")
        )
        answer = read_until(client, b"CONTENT_TOO_LARGE")
        assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nx-long: " + b"y" * 2_000_000, id="a-long-line"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + b"x-many: y\r\n" * 100_000, id="many-lines"),
        pytest.param(b"GET /" + b"y" * 2_000_000, id="a-long-path"),
        pytest.param(
            request("POST", "/socket.io/?EIO=4", transfer_encoding="chunked")
            + b"0\r\nx-trailer: "
            + b"y" * 2_000_000,
            id="a-long-trailer",
        ),
    ],
)
def test_a_head_without_end_is_refused(service: Service, head: bytes) -> None:
    with connection(service) as client:
        try:
            client.sendall(head)
            seconds_until_closed(client)
        except ConnectionError:
            pass
        until(lambda: not is_held(service, client), LATE)
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_many_requests_at_once_on_one_connection_end_it(service: Service, anon_id: str) -> None:
    with connection(service) as client:
        client.sendall(send_message("[[tokens-100-at-20]]", x_anon_id=anon_id))
        read_until(client, b"assistant_delta")
        client.sendall(request("GET", "/healthz") * 1000)
        assert seconds_until_closed(client) < LATE


def test_an_upgrade_behind_a_stream_ends_both(service: Service, anon_id: str) -> None:
    with connection(service) as client:
        client.sendall(send_message("[[stall-middle]]", x_anon_id=anon_id))
        read_until(client, b"event: assistant_delta")
        client.sendall(upgrade())
        assert seconds_until_closed(client) < LATE
    until(lambda: metric(service, "dabir_open_streams") == 0)


def test_a_message_that_is_too_long_ends_its_websocket(service: Service) -> None:
    with connection(service) as client:
        client.sendall(upgrade())
        read_until(client, b"0{")
        client.sendall(b"\x81" + bytes([0x80 | 127]) + (2_000_000).to_bytes(8, "big") + b"\0" * 4)
        assert seconds_until_closed(client) < LATE
