"""WebSockets deflate what they say, and remember nothing of it."""

import asyncio

from tests.ws.node import serving
from tests.ws.raw import raw_socket


def test_each_message_is_compressed_by_itself() -> None:
    async def check() -> None:
        async with serving() as node, raw_socket(node) as client:
            answer = client.websocket.response
            assert answer is not None
            agreed = answer.headers["sec-websocket-extensions"].split("; ")
            assert agreed[0] == "permessage-deflate"
            assert {"server_no_context_takeover", "client_no_context_takeover"} < set(agreed)
            for number in (1, 2):
                await client.send(f'42/chats,{number}["list_chats"]')
                assert (await client.acknowledged(number))["total"] == 0

    asyncio.run(check())
