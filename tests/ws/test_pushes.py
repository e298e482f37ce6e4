"""Pushes come from the log: each once, in its order, from the session's position on."""

import asyncio
from typing import Any

import pytest

from tests.ws.node import Client, connected, serving, token, until

PUSHES = (
    "chat_created",
    "chat_updated",
    "chat_deleted",
    "message_created",
    "reply_started",
    "message_completed",
    "message_failed",
    "usage_info",
)


def pushed(client: Client) -> list[tuple[str, Any]]:
    """What was pushed after the session and its usage."""
    return [(name, payload) for name, payload in client.told[2:] if name in PUSHES]


async def caught_up(client: Client, position: int) -> None:
    """Waits for the push of that position, unless the session was there already."""
    positions = [client.session["position"]]
    await until(
        lambda: [*positions, *(told["position"] for _, told in pushed(client))][-1] >= position
    )


def test_an_answer_is_told_from_the_question_to_its_price() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as client:
            reply = await node.send(await node.caller(sub="ada"), "wait")
            held = await client.hears("usage_info", 2)
            assert held["reserved"] == "0.00015"
            begun = pushed(client)
            assert [name for name, _ in begun] == [
                "chat_created",
                "message_created",
                "reply_started",
                "chat_updated",
                "usage_info",
            ]
            question = begun[1][1]["message"]
            assert (question["role"], question["content"]) == ("user", "wait")
            assert begun[2][1] == {
                "chat_id": str(reply.chat_id),
                "reply_id": str(reply.reply_id),
                "message_id": str(reply.message_id),
                "kind": "send",
                "position": begun[2][1]["position"],
            }
            assert begun[3][1]["chat"]["active_reply_id"] == str(reply.reply_id)

            node.model.release.set()
            await client.hears("usage_info", 3)
            await client.hears("chat_updated", 2)
            ended = dict(pushed(client)[5:])
            assert set(ended) == {"message_completed", "chat_updated", "usage_info"}
            answer = ended["message_completed"]["message"]
            assert (answer["content"], answer["status"]) == ("Hello world", "complete")
            assert ended["chat_updated"]["chat"]["active_reply_id"] is None
            assert (ended["usage_info"]["messages"], ended["usage_info"]["reserved"]) == (1, "0")
            positions = [payload["position"] for _, payload in pushed(client)]
            assert positions == sorted(positions)

    asyncio.run(check())


def test_a_reply_that_fails_is_told_with_its_code() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as client:
            await node.send(await node.caller(sub="ada"), "fail")
            failed = await client.hears("message_failed")
            assert failed["code"] == "PROVIDER_ERROR"
            assert failed["message"]["status"] == "failed"
            assert "Scripted" not in str(failed)

    asyncio.run(check())


def test_regenerating_and_deleting_under_way_are_told() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as client:
            caller = await node.caller(sub="ada")
            first = await node.send(caller, "hello")
            await client.hears("message_completed")
            await node.regenerate(caller, first.chat_id)
            completed = await client.hears("message_completed", 2)
            assert completed["message"]["version"] == 2
            assert [started["kind"] for started in client.payloads("reply_started")] == [
                "send",
                "regenerate",
            ]
            await node.send(caller, "wait", first.chat_id)
            await client.hears("reply_started", 3)
            await client.ask("delete_chat", {"chat_id": str(first.chat_id)})
            deleted = await client.hears("chat_deleted")
            assert deleted["chat_id"] == str(first.chat_id)
            await until(lambda: client.payloads("usage_info")[-1]["reserved"] == "0")

    asyncio.run(check())


def test_two_sockets_hear_everything_once_and_in_order_under_load() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada")}) as one,
            connected(node, {"token": token("ada")}, transports=["polling"]) as two,
            connected(node, {"token": token("eve")}) as other,
        ):
            caller = await node.caller(sub="ada")
            await asyncio.gather(
                *(node.send(caller, f"message {number}") for number in range(25)),
                *(one.ask("create_chat", {"title": f"chat {number}"}) for number in range(15)),
                *(two.ask("create_chat", {"title": f"chat {number}"}) for number in range(15)),
            )
            for client in (one, two):
                await client.hears("message_completed", 25)
                await client.hears("chat_created", 55)
            head = await node.store.head()
            for client in (one, two):
                await caught_up(client, head)
                positions = [payload["position"] for _, payload in pushed(client)]
                assert positions == sorted(positions)
                keys = [(name, payload["position"]) for name, payload in pushed(client)]
                assert len(keys) == len(set(keys))
                for name, count in {"message_created": 25, "reply_started": 25}.items():
                    assert len(client.payloads(name)) == count
            events = [
                [told for told in pushed(client) if told[0] not in ("usage_info", "chat_updated")]
                for client in (one, two)
            ]
            assert [(name, told["position"]) for name, told in events[0]] == [
                (name, told["position"]) for name, told in events[1]
            ]
            assert pushed(other) == []

    asyncio.run(check())


def test_a_socket_that_joins_misses_nothing_and_hears_nothing_twice() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as writer:

            async def create(count: int) -> None:
                for number in range(count):
                    await writer.ask("create_chat", {"title": f"chat {number}"})

            async def join() -> tuple[Client, list[str]]:
                client = await Client(node).connect({"token": token("ada")})
                page = await client.ask(
                    "list_chats", {"limit": 100, "min_position": client.session["position"]}
                )
                return client, [chat["id"] for chat in page["chats"]]

            creating = asyncio.create_task(create(60))
            joined = []
            while not creating.done():
                joined.append(await join())
            await creating
            await caught_up(writer, 60)
            everything = {told["chat"]["id"] for told in writer.payloads("chat_created")}
            assert len(everything) == 60
            for client, listed in joined:
                await caught_up(client, 60)
                # Each position is one new chat: none is missing and none is there twice.
                first = client.session["position"] + 1
                assert [told["position"] for _, told in pushed(client)] == [*range(first, 61)]
                later = {told["chat"]["id"] for _, told in pushed(client)}
                assert set(listed) | later == everything
                await client.close()

    asyncio.run(check())


def test_what_happened_while_nobody_was_connected_is_not_pushed_later() -> None:
    async def check() -> None:
        async with serving() as node:
            caller = await node.caller(sub="ada")
            async with connected(node, {"token": token("ada")}) as client:
                await client.ask("create_chat")
            await node.send(caller, "hello")
            await until(lambda: node.replies.under_way == 0)
            head = await node.store.head()
            async with connected(node, {"token": token("eve")}) as other:
                await other.ask("create_chat")
                await caught_up(other, head + 1)
            async with connected(node, {"token": token("ada")}) as client:
                assert client.session["position"] > head
                created = await client.ask("create_chat")
                await client.hears("chat_created")
                assert pushed(client) == [("chat_created", created)]

    asyncio.run(check())


def test_who_would_miss_a_push_is_made_to_connect_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada")}) as client,
            connected(node, {"token": token("eve")}) as other,
        ):
            reading = node.views.message

            async def broken(*_: object) -> None:
                raise LookupError("a bug")

            monkeypatch.setattr(node.views, "message", broken)
            await node.send(await node.caller(sub="ada"), "hello")
            await until(lambda: not client.socket.connected)
            assert "push" in {where for where, _, _ in node.notebook.faults}
            monkeypatch.setattr(node.views, "message", reading)
            created = await other.ask("create_chat")
            assert await other.hears("chat_created") == created

    asyncio.run(check())
