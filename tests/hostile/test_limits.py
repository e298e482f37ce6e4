"""Who does too much is told to wait; who does not, never notices."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import socketio

from tests.hostile.raw_http import connection, read_until, text_frame, upgrade
from tests.service import Service, attaching, bearer, named, send, sending, token, until
from tests.upstream import Upstream

SENDS, REQUESTS, STREAMS, SOCKETS = 6, 30, 3, 2
STRANGERS = 60
"""More than the tests of this file need together, but for the one that counts them."""
SEND = "/api/v1/messages/send"
STOP = "/api/v1/messages/stop"


@pytest.fixture(scope="module")
def service(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("limits") / "data"
    environ = {
        "DABIR_GRACE": "0s",
        "DABIR_SEND_RATE": str(SENDS),
        "DABIR_REQUEST_RATE": str(REQUESTS),
        "DABIR_OPEN_STREAMS": str(STREAMS),
        "DABIR_OPEN_SOCKETS": str(SOCKETS),
        "DABIR_ADDRESS_STRANGERS": str(STRANGERS),
        # Lets a test speak for many addresses.
        "DABIR_TRUSTED_PROXIES": "127.0.0.1",
        "DABIR_ADDRESS_REQUEST_RATE": "100",
        "DABIR_ADDRESS_OPEN_SOCKETS": "5",
    }
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


@pytest.fixture
def address() -> dict[str, str]:
    """The header of a client address whom no other test uses."""
    raw = uuid4().bytes
    return {"x-forwarded-for": f"10.{raw[0]}.{raw[1]}.{raw[2]}"}


def principals(service: Service) -> int:
    with sqlite3.connect(f"file:{service.data_dir / 'events.db'}?mode=ro", uri=True) as log:
        return int(log.execute("SELECT count(*) FROM principals").fetchone()[0])


def refused(response: httpx.Response) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (429, "RATE_LIMITED")
    assert problem["retryable"] is True
    assert int(response.headers["retry-after"]) == problem["details"]["retry_after"] >= 1
    return problem


def post(service: Service, headers: dict[str, str], content: str = "hello") -> httpx.Response:
    return httpx.post(
        f"{service.url}{SEND}",
        json={"content": content},
        headers={"accept": "application/json", **headers},
        timeout=30,
    )


def socket_of(
    service: Service, auth: dict[str, str], headers: dict[str, str]
) -> tuple[socketio.SimpleClient, Any]:
    """A client, and what its connection was refused with."""
    client = socketio.SimpleClient(handle_sigint=False, reconnection=False)
    refusals: list[Any] = []
    client.client_class = _telling(refusals)
    try:
        client.connect(
            service.url,
            auth=auth,
            headers=headers,
            namespace="/chats",
            transports=["polling"],
            wait_timeout=10,
        )
    except socketio.exceptions.ConnectionError:
        return client, refusals[0]
    return client, None


def _telling(refusals: list[Any]) -> type[Any]:
    class Telling(socketio.Client):  # type: ignore[misc]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.on("connect_error", refusals.append, namespace="/chats")

    return Telling


def test_too_many_sends_are_refused_for_a_while_and_others_go_on(
    service: Service, address: dict[str, str]
) -> None:
    headers = {**bearer("busy"), **address}
    client, _ = socket_of(service, {"token": token("busy")}, address)
    for _ in range(SENDS):
        assert post(service, headers).status_code in (200, 402)
    problem = refused(post(service, headers))
    assert problem["details"]["retry_after"] <= 60
    while (event := client.receive(10))[0] != "assistant_error" or event[1]["code"] != (
        "RATE_LIMITED"
    ):
        pass
    client.disconnect()
    with httpx.Client() as http:
        answer = http.post(f"{service.url}{SEND}", json={"content": "x"}, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "refused.RATE_LIMITED" in answer.headers["set-cookie"]
    assert post(service, {**bearer("calm"), **address}).status_code in (200, 402)


def test_too_many_requests_on_a_socket_are_refused_and_then_it_is_hung_up_on(
    service: Service, address: dict[str, str]
) -> None:
    forwarded = address["x-forwarded-for"]
    with connection(service) as client:
        client.sendall(upgrade(x_forwarded_for=forwarded))
        read_until(client, b"0{")
        client.sendall(text_frame(f'40/chats,{{"anon_id":"{uuid4()}"}}'))
        read_until(client, b'["usage_info"')
        for number in range(REQUESTS + 1):
            client.sendall(text_frame(f'42/chats,{number}["list_models"]'))
        got = read_until(client, f"43/chats,{REQUESTS}".encode())
        got += read_until(client, b"}") if not got.endswith(b"}]") else b""
        assert got.count(b'["models_list"') == REQUESTS
        assert got.count(b'["assistant_error"') == 1
        assert b'"code":"RATE_LIMITED"' in got and b'"retry_after":' in got
        for _ in range(100):
            client.sendall(text_frame('42/chats,["list_models"]'))
        read_until(client, b"\x88")


def test_a_principal_holds_so_many_streams_open_and_no_more(
    service: Service, address: dict[str, str]
) -> None:
    headers = {"x-anon-id": f"visitor-{uuid4()}", **address}
    with ExitStack() as closing:
        first = closing.enter_context(sending(service, headers, content="[[gate-never]]"))
        reply_id = named(first.until("assistant_typing"), "assistant_typing").data["reply_id"]
        streams = [
            closing.enter_context(attaching(service, headers, reply_id=reply_id))
            for _ in range(STREAMS - 1)
        ]
        assert [stream.response.status_code for stream in streams] == [200] * (STREAMS - 1)
        asking = {"accept": "application/json", **headers}
        refused(httpx.get(f"{service.url}{SEND}", params={"reply_id": reply_id}, headers=asking))
        refused(post(service, headers))
    # Those are closed now.
    until(lambda: attach_status(service, headers, reply_id) == 200, interval=0.2)


def attach_status(service: Service, headers: dict[str, str], reply_id: str) -> int:
    with attaching(service, headers, reply_id=reply_id) as stream:
        return stream.response.status_code


def test_a_principal_holds_so_many_sockets_open_and_no_more(
    service: Service, address: dict[str, str]
) -> None:
    auth = {"anon_id": f"visitor-{uuid4()}"}
    opened = [socket_of(service, auth, address) for _ in range(SOCKETS)]
    assert [refusal for _, refusal in opened] == [None] * SOCKETS
    _, refusal = socket_of(service, auth, address)
    assert refusal["data"]["code"] == "RATE_LIMITED"
    assert refusal["data"]["details"]["retry_after"] > 0
    opened[0][0].disconnect()
    until(lambda: socket_of(service, auth, address)[1] is None, interval=0.1)


def test_an_address_holds_so_many_connections_open_joined_or_not(
    service: Service, address: dict[str, str]
) -> None:
    url = f"{service.url}/socket.io/?EIO=4&transport=polling"
    for _ in range(5):
        assert httpx.get(url, headers=address).status_code == 200
    refusal = httpx.get(url, headers=address)
    assert (refusal.status_code, refusal.json()["code"]) == (429, "RATE_LIMITED")
    assert int(refusal.headers["retry-after"]) > 0
    with connection(service) as client:
        client.sendall(upgrade(x_forwarded_for=address["x-forwarded-for"]))
        assert b" 429 " in read_until(client, b"RATE_LIMITED")
    with connection(service) as client:
        client.sendall(
            upgrade(
                "/socket.io/?EIO=4&transport=websocket&asid=1",
                x_forwarded_for=address["x-forwarded-for"],
            )
        )
        assert b" 429 " in read_until(client, b"RATE_LIMITED")
    assert httpx.get(url, headers={"x-forwarded-for": "10.0.0.1"}).status_code == 200


def test_strangers_of_one_address_do_not_fill_the_database(
    service: Service, address: dict[str, str]
) -> None:
    known = {"x-anon-id": f"visitor-{uuid4()}", **address}
    with httpx.Client(base_url=service.url) as http:

        def stop(headers: dict[str, str]) -> httpx.Response:
            return http.post(STOP, headers=headers, json={"reply_id": str(uuid4())})

        assert stop(known).status_code == 404
        before = principals(service)
        statuses = [stop(address).status_code for _ in range(STRANGERS + 5)]
        assert statuses == [404] * (STRANGERS - 1) + [429] * 6
        assert principals(service) - before == STRANGERS - 1
        refused(stop(address))
        bad = {"authorization": "Bearer nonsense", **address}
        refused(stop(bad))
        for who in (known, {**bearer("somebody"), **address}):
            assert stop(who).status_code == 404
    _, refusal = socket_of(service, {"anon_id": f"visitor-{uuid4()}"}, address)
    assert refusal["data"]["code"] == "RATE_LIMITED"


def test_an_address_that_floods_is_refused_whoever_it_says_it_is(
    service: Service, address: dict[str, str]
) -> None:
    with httpx.Client(base_url=service.url, headers=address) as http:
        statuses = [http.post("/api/v1/anonymous").status_code for _ in range(101)]
        assert statuses == [201] * 100 + [429]
        refused(http.get(SEND, headers={"accept": "application/json"}))
        refused(http.post(STOP, headers=bearer("somebody-else"), json={}))
        assert http.get("/healthz").status_code == 200
        assert http.get("/").status_code == 200


def test_addresses_of_one_ipv6_network_are_one(service: Service) -> None:
    network = f"2001:db8:{uuid4().hex[:4]}:1"
    with httpx.Client(base_url=service.url) as http:
        for host in range(100):
            http.post("/api/v1/anonymous", headers={"x-forwarded-for": f"{network}::{host:x}"})
        refused(http.post("/api/v1/anonymous", headers={"x-forwarded-for": f"{network}::ffff"}))


def test_people_who_do_what_people_do_never_notice(upstream: Upstream, tmp_path: Path) -> None:
    """An office behind one address, all of it at once, with the limits as they are."""

    def morning(number: int) -> str:
        headers = {"x-anon-id": f"colleague-{number}-{uuid4()}"}
        with httpx.Client(base_url=office.url, timeout=60) as http:
            assert http.get("/socket.io/?EIO=4&transport=polling").status_code == 200
        return send(office, headers, f"good morning {number}")[-1].name

    with Service(tmp_path / "data", upstream.api_base) as office:
        office.wait_ready()
        with ThreadPoolExecutor(10) as colleagues:
            assert set(colleagues.map(morning, range(40))) == {"usage_info"}
