"""The JavaScript client that browsers use, in Node."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from interfaces.ws import expiry
from tests.ws.node import Node, serving, token

CLIENTS = Path(__file__).parents[1] / "clients"


async def start(node: Node, scenario: str, auth: dict[str, str], *more: str) -> Process:
    return await asyncio.create_subprocess_exec(
        "node",
        str(CLIENTS / "namespace.mjs"),
        scenario,
        node.url,
        json.dumps(auth),
        *more,
        stdout=PIPE,
        stderr=PIPE,
    )


async def next_of(client: Process) -> Any:
    """The next thing that it saw."""
    assert client.stdout is not None
    return json.loads(await client.stdout.readline())


async def greeting_of(client: Process) -> None:
    assert [(await next_of(client))[0] for _ in range(2)] == ["session", "usage_info"]


async def told_by(client: Process) -> list[Any]:
    """All else that it saw, once it has ended."""
    async with asyncio.timeout(30):
        output, errors = await client.communicate()
    assert client.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


def test_every_request_of_a_browser_is_answered() -> None:
    async def check() -> None:
        async with serving() as node:
            told = await told_by(await start(node, "requests", {"anon_id": "visitor-1"}))
            names = [name for name, *_ in told]
            assert names[:2] == ["session", "usage_info"]
            assert (names.count("chat_created"), names.count("chat_deleted")) == (1, 1)
            answers = [answer for name, answer in told if name == "ack"]
            assert [answer["chats"][0]["title"] for answer in answers[:2]] == ["سلام", "سلام"]
            assert [answer["error"]["code"] for answer in answers[2:]] == ["VALIDATION_ERROR"] * 3
            assert names.count("chats_list") == 2
            assert names.count("assistant_error") == 3
            assert told[-1] == ["disconnect", "io client disconnect"]

    asyncio.run(check())


def test_a_bad_token_is_a_connect_error_with_a_code() -> None:
    async def check() -> None:
        async with serving() as node:
            told = await told_by(await start(node, "refused", {"token": "made.up.token"}))
            (name, message, data), active = told
            assert (name, data["code"], data["error"]) == ("connect_error", "UNAUTHORIZED", message)
            assert active == ["active", False]

    asyncio.run(check())


@pytest.mark.parametrize("kind", ["websocket", "polling"])
def test_a_browser_comes_back_by_itself_when_a_node_goes_down(kind: str) -> None:
    async def check() -> None:
        async with serving() as node:
            client = await start(node, "reconnects", {"anon_id": "visitor-1"}, kind)
            await greeting_of(client)
            node.sockets.announce_draining()
            assert await next_of(client) == ["server_draining", {}]
            await node.sockets.close(2)
            told = await told_by(client)
            names = [name for name, *_ in told]
            assert names.count("session") == 1
            (reason,) = [more[0] for name, *more in told if name == "disconnect"][:1]
            assert reason in ("transport close", "transport error")

    asyncio.run(check())


def test_a_browser_whose_token_ran_out_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "GRACE", 0.2)
    monkeypatch.setattr(expiry, "LONGEST_TIMER", 0.05)

    async def check() -> None:
        async with serving() as node:
            client = await start(node, "expires", {"token": token("ada")})
            await greeting_of(client)
            node.clock.turn(hours=2)
            told = await told_by(client)
            assert ["disconnect", "io server disconnect"] in told
            assert told[-1] == ["active", False]
            (error,) = [payload for name, payload in told if name == "assistant_error"]
            assert error["code"] == "UNAUTHORIZED"

    asyncio.run(check())
