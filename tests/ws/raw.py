"""A WebSocket that speaks Engine.IO by hand, for what no client library would send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.ws.node import PATIENCE, Node


class RawSocket:
    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    async def send(self, packet: str | bytes) -> None:
        await self.websocket.send(packet)

    async def receive(self) -> Any:
        """The next packet; pings are answered on the way."""
        async with asyncio.timeout(PATIENCE):
            while True:
                packet = await self.websocket.recv()
                if packet != "2":
                    return packet
                await self.websocket.send("3")

    async def is_closed(self) -> None:
        """Returns when the server has closed it."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return

    async def acknowledged(self, number: int) -> Any:
        """What the acknowledgement of that number carries."""
        prefix = f"43/chats,{number}"
        while True:
            packet = await self.receive()
            if packet.startswith(f"{prefix}["):
                (answer,) = json.loads(packet.removeprefix(prefix))
                return answer


@asynccontextmanager
async def raw_transport(node: Node, **more: Any) -> AsyncIterator[RawSocket]:
    """An open Engine.IO connection that has joined no namespace."""
    url = node.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with connect(url, **more) as websocket:
        raw = RawSocket(websocket)
        assert (await raw.receive()).startswith("0{")
        yield raw


@asynccontextmanager
async def raw_socket(node: Node, auth: str = '{"anon_id":"visitor-1"}') -> AsyncIterator[RawSocket]:
    """A connection in the namespace, greeted."""
    async with raw_transport(node) as raw:
        await raw.send(f"40/chats,{auth}")
        for beginning in ("40/chats,{", '42/chats,["session"', '42/chats,["usage_info"'):
            assert (await raw.receive()).startswith(beginning)
        yield raw
