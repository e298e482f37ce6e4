"""What goes through deploy/nginx.conf, to two servers and back."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.deploy.behind_nginx import SITE, behind_nginx
from tests.node import run_at
from tests.service import Service, bearer, joined, named, sending, token
from tests.upstream import Upstream

BY_ADDRESS = SITE.replace("least_conn;", "ip_hash;")
"""Sends go where sockets go: the two servers of these tests share no database."""


@pytest.fixture(scope="module")
def second(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("second") / "data"
    with Service(folder, upstream.api_base, environ={"DABIR_STARTING_BALANCE": "5"}) as service:
        yield service.wait_ready()


def test_a_stream_comes_through_event_by_event(
    service: Service, second: Service, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    front = Service(tmp_path / "none", None)
    with behind_nginx(tmp_path, [service, second]) as front.url:
        content = f"[[gate-{sub}]] the end"
        with sending(front, bearer(sub), content=content) as stream:
            seen = stream.until("assistant_delta")  # the model waits meanwhile
            upstream.release(sub)
            events = seen + stream.rest()
    assert stream.response.headers["server"].startswith("nginx")
    assert named(events, "assistant_complete").data["content"] == joined(events)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_channels_come_through(
    service: Service, second: Service, tmp_path: Path, sub: str, transport: str
) -> None:
    with behind_nginx(tmp_path, [service, second], BY_ADDRESS) as url:
        pushed = [event for event, _ in run_at(url, "both_channels", token(sub), transport)]
    assert pushed[:2] == ["session", "usage_info"]
    assert pushed.count("message_completed") == 1


async def polled(url: str) -> list[int]:
    """The statuses of one polling client's first requests, each on a connection of its own."""
    address = f"{url}/socket.io/?EIO=4&transport=polling"
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        async with client.get(address) as answer:
            statuses, opened = [answer.status], await answer.text()
        sid = re.findall(r'"sid":"([^"]+)"', opened)[0]
        for _ in range(4):
            async with client.post(f"{address}&sid={sid}", data="3") as answer:
                statuses.append(answer.status)
    return statuses


def test_who_polls_stays_with_one_node(service: Service, second: Service, tmp_path: Path) -> None:
    with behind_nginx(tmp_path, [service, second]) as url:
        assert asyncio.run(polled(url)) == [200] * 5


def test_who_polls_anywhere_is_unknown_to_the_other_node(
    service: Service, second: Service, tmp_path: Path
) -> None:
    with behind_nginx(tmp_path, [service, second], SITE.replace("ip_hash;", "")) as url:
        assert 400 in asyncio.run(polled(url))


def answered_by(url: str) -> set[str]:
    """When the processes started that answer here: another for each."""
    pages = [httpx.get(f"{url}/metrics").text for _ in range(8)]
    return {found for page in pages for found in re.findall(r"^process_start.* (\S+)$", page, re.M)}


def test_requests_are_spread_and_go_on_when_a_node_is_gone(
    service: Service, upstream: Upstream, tmp_path: Path
) -> None:
    shown = SITE.replace("location = /metrics { return 404; }", "")
    with (
        Service(tmp_path / "data", upstream.api_base) as mortal,
        behind_nginx(tmp_path, [service, mortal], shown) as url,
    ):
        assert len(answered_by(url)) == 2
        mortal.kill()
        assert len(answered_by(url)) == 1


def test_what_is_for_operators_is_not_reached(
    service: Service, second: Service, tmp_path: Path
) -> None:
    with behind_nginx(tmp_path, [service, second]) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 404
        headers = bearer("operator", "dabir:admin")
        admin = httpx.get(f"{url}/api/v1/admin/usage/user:alice", headers=headers)
        assert (admin.status_code, admin.headers["server"][:5]) == (404, "nginx")


def test_the_largest_message_comes_through_and_more_does_not(
    service: Service, second: Service, tmp_path: Path, visitor: dict[str, str]
) -> None:
    headers = {**visitor, "content-type": "application/json"}
    largest = b'{"content": "' + b"\\ud83c\\udf88" * 100_000 + b'"}'
    with behind_nginx(tmp_path, [service, second]) as url:
        send = f"{url}/api/v1/messages/send"
        answer = httpx.post(send, content=largest, headers=headers, timeout=60)
        # It is too long for the model, which is for Dabir to say.
        assert "CONTEXT" in answer.text or answer.status_code == 200
        assert httpx.post(send, content=b" " * 2_200_000, headers=headers).status_code == 413
