"""Behind nginx as it comes, whose patience between two reads is 60 s."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sseclient import SSEClient

from tests.node import run_at
from tests.proxy.nginx import nginx
from tests.service import Service, bearer, token
from tests.upstream import Upstream

PATIENT = {"DABIR_FIRST_TOKEN_TIMEOUT": "120s", "DABIR_TOKEN_TIMEOUT": "120s"}
KEEPALIVE = b": keepalive\n\n"
KEEPALIVES = 5
"""As many as there are in 75 s of silence."""
NGINX_PATIENCE = 60.0
AT_ONCE = 1.0
"""Seconds within which what the model says is with the client."""


class Follower:
    """Reads the bytes of a stream until something in them."""

    def __init__(self, response: httpx.Response) -> None:
        self.raw = b""
        self._bytes = response.iter_raw()

    def until(self, wanted: bytes, times: int = 1) -> float:
        """Reads on until `wanted` has come so many times more; returns the seconds it took."""
        begun, there = time.monotonic(), self.raw.count(wanted)
        while self.raw.count(wanted) < there + times:
            self.raw += next(self._bytes)
        return time.monotonic() - begun

    def rest(self) -> list[tuple[str, Any]]:
        """Reads to the end; returns all events since the beginning."""
        self.raw += b"".join(self._bytes)
        events = SSEClient(iter([self.raw])).events()
        return [(event.event, json.loads(event.data)) for event in events]


@pytest.fixture
def patient(upstream: Upstream, tmp_path: Path) -> Iterator[Service]:
    """A server that lets its models be silent for long."""
    with Service(tmp_path / "data", upstream.api_base, environ=PATIENT) as service:
        yield service.wait_ready()


@pytest.mark.takes_minutes
@pytest.mark.timeout(300)
def test_a_model_silent_for_75_seconds_twice_is_not_cut_off(
    patient: Service, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    name = uuid4().hex
    content = f"[[gates-{name}]] at last"
    with (
        nginx(tmp_path, patient.url) as url,
        httpx.Client(timeout=NGINX_PATIENCE, headers=bearer(sub)) as client,
        client.stream("POST", f"{url}/api/v1/messages/send", json={"content": content}) as response,
    ):
        assert response.headers["server"].startswith("nginx")
        follower = Follower(response)
        follower.until(b"event: assistant_typing\n")
        assert follower.until(KEEPALIVE, KEEPALIVES) > NGINX_PATIENCE
        upstream.release(f"{name}-1")
        assert follower.until(b'"delta":"Waiting. "') < AT_ONCE
        assert follower.until(KEEPALIVE, KEEPALIVES) > NGINX_PATIENCE
        upstream.release(f"{name}-2")
        assert follower.until(b"event: assistant_complete\n") < AT_ONCE
        events = follower.rest()
    said = "".join(data["delta"] for event, data in events if event == "assistant_delta")
    assert [event for event, _ in events][-2:] == ["assistant_complete", "usage_info"]
    assert said == events[-2][1]["content"] == f"Waiting. {content}"
    assert upstream.stats()["calls_by_script"][f"gates-{name}"] == 1


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_channels_go_through(
    service: Service, tmp_path: Path, sub: str, transport: str
) -> None:
    with nginx(tmp_path, service.url) as url:
        pushed = [event for event, _ in run_at(url, "both_channels", token(sub), transport)]
    assert pushed[:2] == ["session", "usage_info"]
    assert pushed.count("message_completed") == 1
