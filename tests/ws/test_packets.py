"""What no honest client sends: answered or left alone, and nothing breaks."""

import asyncio
import logging

import pytest

from tests.ws.node import Client, connected, serving, until
from tests.ws.raw import raw_socket, raw_transport

MALFORMED = [
    '["list_chats",{"cursor":"\\ud800"}]',
    '["list_chats",{"page":NaN}]',
    '["list_chats",{"page":1e999}]',
    '["list_chats",',
    '["list_chats"]]',
    "{}",
    "[]",
    "[7]",
    "[null]",
    '[["list_chats"]]',
    '["connect",{}]',
    '["disconnect"]',
    '["connect_error"]',
    '[""]',
    "[" * 50_000,
    '["list_chats",{"page":' + "9" * 5000 + "}]",
]


def test_a_malformed_request_is_acknowledged_as_invalid(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with serving() as node, raw_socket(node) as raw:
            for number, body in enumerate(MALFORMED, start=1):
                await raw.send(f"42/chats,{number}{body}")
                answer = await raw.acknowledged(number)
                assert answer["error"]["code"] == "VALIDATION_ERROR", body[:40]
            await raw.send('42/chats,99["list_chats",{}]')
            assert (await raw.acknowledged(99))["total"] == 0
            assert node.notebook.faults == []
            assert node.notebook.sockets == 1

    with caplog.at_level(logging.WARNING):
        asyncio.run(check())
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_request_with_attachments_is_refused_and_the_attachments_are_left_alone() -> None:
    async def check() -> None:
        async with serving() as node, raw_socket(node) as raw:
            await raw.send('451-/chats,1["list_chats",{"_placeholder":true,"num":0}]')
            await raw.send(b"an attachment")
            assert (await raw.acknowledged(1))["error"]["code"] == "VALIDATION_ERROR"
            await raw.send('42/chats,2["list_chats"]')
            assert (await raw.acknowledged(2))["total"] == 0

    asyncio.run(check())


def test_packets_out_of_place_are_left_alone() -> None:
    packets = ["4", "47/chats,", "44/chats,{}", "43/chats,1[]", "43/chats,1{}", "42[]", "4²", "4x"]

    async def check() -> None:
        async with serving() as node, raw_socket(node) as raw:
            for number, packet in enumerate([*packets, "6"]):
                await raw.send(packet)
                await raw.send(f'42/chats,{number}["list_chats"]')
                assert (await raw.acknowledged(number))["total"] == 0

    asyncio.run(check())


def test_who_does_not_speak_the_protocol_is_cut_off() -> None:
    async def check() -> None:
        async with serving() as node:
            for packet in ("", "x", "²", "9", "b!"):
                async with raw_socket(node) as raw:
                    await raw.send(packet)
                    await raw.is_closed()
            await until(lambda: node.notebook.sockets == 0)

    asyncio.run(check())


def test_a_message_over_the_limit_ends_its_own_connection_only() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"anon_id": "visitor-1"}) as other,
            raw_socket(node) as raw,
        ):
            title = "x" * 8_000_000
            await raw.send(f'42/chats,1["create_chat",{{"title":"{title}"}}]')
            await raw.is_closed()
            assert (await other.ask("list_chats"))["total"] == 0

    asyncio.run(check())


def test_an_unreadable_connect_is_refused() -> None:
    async def check() -> None:
        async with serving() as node, raw_transport(node) as raw:
            await raw.send('40/chats,{"token":"\\ud800"}')
            refusal = await raw.receive()
            assert refusal.startswith("44/chats,")
            assert '"code":"VALIDATION_ERROR"' in refusal

    asyncio.run(check())


def test_there_is_no_other_namespace() -> None:
    async def check() -> None:
        async with serving() as node, raw_transport(node) as raw:
            for namespace in ("", "/admin,"):
                await raw.send(f"40{namespace}")
                assert (await raw.receive()).startswith(f"44{namespace}")
            await raw.send("40/chats,")
            assert (await raw.receive()).startswith("40/chats,")

    asyncio.run(check())


def test_a_title_in_any_language_comes_back_as_it_was() -> None:
    async def check() -> None:
        async with serving() as node:
            client = Client(node)
            await client.connect({"anon_id": "visitor-1"})
            for title in ("سلام، خوبی؟", "你好", "👩‍👩‍👧", "<b>\u2028\x00"):
                created = await client.ask("create_chat", {"title": title})
                assert created["chat"]["title"] == title
            await client.close()

    asyncio.run(check())
