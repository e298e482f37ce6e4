"""The connections below the namespace: bounded, and closed in time."""

import asyncio
import socket
from secrets import token_hex
from urllib.parse import urlsplit

import httpx
import pytest
import socketio
from websockets.exceptions import InvalidStatus

from interfaces.outbound import WireError
from interfaces.ws import transports
from tests.ws import node as nodes
from tests.ws.node import Client, connected, serving, until
from tests.ws.raw import raw_socket, raw_transport


def test_who_joins_no_namespace_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "CONNECT_DEADLINE", 0.3)

    async def check() -> None:
        async with serving() as node, raw_socket(node) as member:
            async with raw_transport(node) as outsider:
                await outsider.is_closed()
            async with raw_socket(node) as leaver:
                await leaver.send("41/chats,")
                await leaver.is_closed()
            await member.send('42/chats,1["list_chats"]')
            assert (await member.acknowledged(1))["total"] == 0

    asyncio.run(check())


def test_who_does_not_read_is_disconnected_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transports, "UNREAD_LIMIT", 200_000)
    monkeypatch.setattr(nodes, "UNREAD_TIMEOUT", 0.5)

    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"anon_id": "visitor-1"}) as reader,
            raw_socket(node) as deaf,
        ):
            # Nothing is taken from this socket any more, not even by its operating system.
            deaf.websocket.transport.pause_reading()
            own = deaf.websocket.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller = await node.caller(anon_id="visitor-1")
            # What does not compress: WebSockets deflate.
            error = WireError("RATE_LIMITED", token_hex(25_000), True)
            told = 0
            while node.notebook.sockets == 2:
                node.sockets.tell(caller.principal.id, error)
                told += 1
                await reader.hears("assistant_error", told)
            assert (await reader.ask("list_chats"))["total"] == 0
            assert told < 400
            # Its own library would wait for a goodbye that it cannot read.
            deaf.websocket.transport.abort()

    asyncio.run(check())


@pytest.mark.parametrize("kind", ["websocket", "polling"])
def test_a_node_that_goes_down_closes_every_transport(kind: str) -> None:
    async def check() -> None:
        async with serving() as node:
            client = await Client(node).connect({"anon_id": "visitor-1"}, transports=[kind])
            await node.sockets.close(2)
            await until(lambda: not client.socket.connected)
            assert node.notebook.sockets == 0

    asyncio.run(check())


def test_polling_upgrades_to_a_websocket() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(
                node, {"anon_id": "visitor-1"}, transports=["polling", "websocket"]
            ) as client,
        ):
            assert client.socket.transport() == "websocket"
            created = await client.ask("create_chat")
            assert await client.hears("chat_created") == created

    asyncio.run(check())


def test_pages_of_other_origins_connect_only_where_listed() -> None:
    async def attempt(url: str, origin: str) -> int:
        async with httpx.AsyncClient() as client:
            response = await client.get(
                f"{url}/socket.io/?EIO=4&transport=polling", headers={"origin": origin}
            )
        allowed = response.headers.get_list("access-control-allow-origin")
        assert allowed == ([origin] if response.status_code == 200 else [])
        return response.status_code

    async def check() -> None:
        async with serving() as node:
            host = urlsplit(node.url).netloc
            assert await attempt(node.url, f"http://{host}") == 200
            assert await attempt(node.url, f"https://{host}") == 200
            assert await attempt(node.url, "https://elsewhere.example") == 400
            assert await attempt(node.url, "null") == 400
            with pytest.raises(InvalidStatus):
                async with raw_transport(node, origin="https://elsewhere.example"):
                    pass
        async with serving(origins=["https://listed.example"]) as node:
            assert await attempt(node.url, "https://listed.example") == 200
            assert await attempt(node.url, node.url) == 200
            assert await attempt(node.url, "https://elsewhere.example") == 400
            async with raw_transport(node, origin="https://listed.example"):
                pass
        async with serving(origins=["*"]) as node:
            assert await attempt(node.url, "https://elsewhere.example") == 200

    asyncio.run(check())


def test_broken_polls_are_refused_and_nothing_breaks() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            httpx.AsyncClient(base_url=node.url) as http,
            connected(node, {"anon_id": "visitor-1"}) as other,
        ):
            path = "/socket.io/?EIO=4&transport=polling"
            opened = await http.get(path)
            sid = opened.text.split('"sid":"')[1].split('"')[0]
            for body in (b"", b"x", b"\xff\xfe", b"\x1e" * 40, b"4" * 2_000_000):
                answer = await http.post(f"{path}&sid={sid}", content=body)
                assert answer.status_code in (200, 400)
            for query in ("?EIO=3", "?EIO=4&transport=carrier", "?EIO=4&sid=unknown", ""):
                assert (await http.get(f"/socket.io/{query}")).status_code == 400
            assert (await other.ask("list_chats"))["total"] == 0

    asyncio.run(check())


def test_a_client_that_reconnects_is_one_socket_again() -> None:
    async def check() -> None:
        async with serving() as node:
            for _ in range(3):
                client = Client(node)
                await client.connect({"anon_id": "visitor-1"})
                assert node.notebook.sockets == 1
                await client.close()
                await until(lambda: node.notebook.sockets == 0)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await Client(node).connect({"anon_id": "x"})
            assert node.notebook.sockets == 0

    asyncio.run(check())
