"""Each request of the table, and how it is answered."""

import asyncio
import sqlite3
from typing import Any
from uuid import uuid4

import pytest

from interfaces.outbound import WireError
from interfaces.ws import requests
from tests.ws.node import Client, Node, connected, serving, token, until

NOBODYS = str(uuid4())


def test_the_session_and_the_usage_come_first() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            assert [name for name, _ in client.told] == ["session", "usage_info"]
            session = client.session
            assert session["principal"] == "anon:visitor-1"
            assert (session["kind"], session["anon_id"]) == ("anonymous", "visitor-1")
            assert session["log_id"] == node.store.log_id
            assert session["position"] == 0
            usage = client.told[1][1]
            assert (usage["kind"], usage["remaining"], usage["position"]) == ("anonymous", 1000, 0)

    asyncio.run(check())


def test_a_change_is_acknowledged_with_what_is_pushed() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            created = await client.ask("create_chat", {"title": "One", "model": "tiny"})
            chat_id = created["chat"]["id"]
            assert (created["chat"]["title"], created["chat"]["model"]) == ("One", "tiny")
            assert await client.hears("chat_created") == created

            renamed = await client.ask("rename_chat", {"chat_id": chat_id, "title": "Two"})
            assert renamed["chat"]["title"] == "Two"
            assert await client.hears("chat_updated") == renamed

            archived = await client.ask("archive_chat", {"chat_id": chat_id, "archived": True})
            assert archived["chat"]["archived"]
            assert await client.hears("chat_updated", 2) == archived

            deleted = await client.ask("delete_chat", {"chat_id": chat_id})
            assert deleted == {"chat_id": chat_id, "position": archived["position"] + 1}
            assert await client.hears("chat_deleted") == deleted

            # Whatever would have come twice came before this.
            await client.ask("list_models")
            names = [name for name, _ in client.told if name.startswith("chat_")]
            assert names == ["chat_created", "chat_updated", "chat_updated", "chat_deleted"]

    asyncio.run(check())


def test_what_changes_nothing_is_answered_to_the_caller_alone() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"anon_id": "visitor-1"}) as client,
            connected(node, {"anon_id": "visitor-1"}) as sibling,
        ):
            chat_id = (await client.ask("create_chat"))["chat"]["id"]
            unchanged = await client.ask("archive_chat", {"chat_id": chat_id, "archived": False})
            assert unchanged["chat"]["id"] == chat_id
            assert client.payloads("chat_updated") == [unchanged]
            await sibling.ask("list_models")
            assert sibling.payloads("chat_updated") == []
            assert len(sibling.payloads("chat_created")) == 1

    asyncio.run(check())


def test_lists_and_searches_are_acknowledged_and_emitted() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            caller = await node.caller(anon_id="visitor-1")
            reply = await node.send(caller, "the quick brown fox")
            await client.hears("message_completed")

            chats = await client.ask("list_chats", {"page": 0, "limit": 20})
            assert client.payloads("chats_list") == [chats]
            assert (chats["total"], chats["has_more"], chats["page"]) == (1, False, 0)
            assert chats["chats"][0]["last_message"] == {
                "role": "assistant",
                "preview": "Hello world",
            }

            page = await client.ask("list_messages", {"chat_id": str(reply.chat_id)})
            assert client.payloads("messages_list") == [page]
            assert [message["content"] for message in page["messages"]] == [
                "the quick brown fox",
                "Hello world",
            ]

            found = await client.ask("search_messages", {"query": "quick bro"})
            assert client.payloads("search_results") == [found]
            assert found["results"][0]["message"]["id"] == str(reply.user_message_id)

            usage = await client.ask("usage_info")
            assert (usage["used"], usage["limit"]) == (1, 1000)
            assert usage["position"] >= page["position"]

            models = await client.ask("list_models")
            assert client.payloads("models_list") == [models]
            assert models["default"] == "tiny"
            assert models["models"][0]["output_price_per_million"] == "1.5"

    asyncio.run(check())


def test_a_branch_is_selected() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as client:
            caller = await node.caller(sub="ada")
            first = await node.send(caller, "hello")
            await client.hears("message_completed")
            await node.regenerate(caller, first.chat_id)
            # One when each of the two replies began, one when it ended.
            await client.hears("chat_updated", 4)
            selected = await client.ask(
                "select_branch",
                {"chat_id": str(first.chat_id), "message_id": str(first.message_id)},
            )
            assert await client.hears("chat_updated", 5) == selected
            page = await client.ask("list_messages", {"chat_id": str(first.chat_id)})
            assert page["messages"][-1]["id"] == str(first.message_id)
            assert len(page["messages"][-1]["versions"]) == 2

    asyncio.run(check())


BAD_REQUESTS: list[tuple[str, Any, str, str | None]] = [
    ("list_chats", {"page": -1}, "VALIDATION_ERROR", "$.page"),
    ("list_chats", {"limit": 101}, "VALIDATION_ERROR", "$.limit"),
    ("list_chats", {"limit": "20"}, "VALIDATION_ERROR", "$.limit"),
    ("list_chats", {"surprise": 1}, "VALIDATION_ERROR", "$"),
    ("list_chats", [1, 2], "VALIDATION_ERROR", "$"),
    ("list_chats", "page", "VALIDATION_ERROR", "$"),
    ("list_chats", 7, "VALIDATION_ERROR", "$"),
    ("list_chats", {"cursor": "not one of ours"}, "VALIDATION_ERROR", None),
    ("list_chats", {"min_position": -1}, "VALIDATION_ERROR", "$.min_position"),
    ("list_messages", None, "VALIDATION_ERROR", "$"),
    ("list_messages", {"chat_id": "not-an-id"}, "VALIDATION_ERROR", "$.chat_id"),
    ("list_messages", {"chat_id": NOBODYS}, "CHAT_NOT_FOUND", None),
    ("search_messages", {"query": ""}, "VALIDATION_ERROR", "$.query"),
    ("search_messages", {"query": "x" * 201}, "VALIDATION_ERROR", "$.query"),
    ("usage_info", {"page": 0}, "VALIDATION_ERROR", "$"),
    ("create_chat", {"title": ""}, "VALIDATION_ERROR", "$.title"),
    ("create_chat", {"model": "none-such"}, "MODEL_NOT_FOUND", None),
    ("rename_chat", {"chat_id": NOBODYS, "title": "x" * 201}, "VALIDATION_ERROR", "$.title"),
    ("rename_chat", {"chat_id": NOBODYS, "title": "new"}, "CHAT_NOT_FOUND", None),
    ("archive_chat", {"chat_id": NOBODYS, "archived": 1}, "VALIDATION_ERROR", "$.archived"),
    ("archive_chat", {"chat_id": NOBODYS, "archived": True}, "CHAT_NOT_FOUND", None),
    ("delete_chat", {"chat_id": NOBODYS}, "CHAT_NOT_FOUND", None),
    ("select_branch", {"chat_id": NOBODYS, "message_id": NOBODYS}, "CHAT_NOT_FOUND", None),
    ("list_models", {"default": True}, "VALIDATION_ERROR", "$"),
    ("claim_anonymous", {"anon_id": "short"}, "VALIDATION_ERROR", "$.anon_id"),
    ("claim_anonymous", {"anon_id": "somebody-else"}, "UNAUTHORIZED", None),
    ("authenticate", {}, "VALIDATION_ERROR", "$"),
    ("authenticate", {"token": ""}, "UNAUTHORIZED", None),
    ("authenticate", {"token": "made.up.token"}, "UNAUTHORIZED", None),
    ("no_such_request", {}, "VALIDATION_ERROR", "$"),
    ("trigger_event", {}, "VALIDATION_ERROR", "$"),
    ("*", {}, "VALIDATION_ERROR", "$"),
    ("message", "text", "VALIDATION_ERROR", "$"),
]


def test_every_bad_request_is_refused_by_acknowledgement_and_event() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            for request, payload, code, path in BAD_REQUESTS:
                client.told.clear()
                answer = await client.ask(request, payload)
                error = answer["error"]
                assert error["code"] == code, (request, payload, error)
                assert isinstance(error["error"], str)
                assert error["retryable"] is False
                if path is not None:
                    assert error["details"] == {"path": path}, (request, payload, error)
                assert client.told == [("assistant_error", error | {"request": request})]
            assert await node.store.head() == 0
            assert node.notebook.faults == []

    asyncio.run(check())


def test_a_request_has_one_payload_or_none() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            assert (await client.ask("list_chats"))["total"] == 0
            assert (await client.ask("list_chats", {}, {}))["error"]["code"] == "VALIDATION_ERROR"

    asyncio.run(check())


async def chat_of_another(node: Node, owner: Client) -> tuple[str, str]:
    reply = await node.send(await node.caller(sub="owner"), "a secret")
    await owner.hears("message_completed")
    return str(reply.chat_id), str(reply.message_id)


def test_what_belongs_to_another_is_as_if_it_did_not_exist() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("owner")}) as owner,
            connected(node, {"token": token("thief")}) as thief,
        ):
            chat_id, message_id = await chat_of_another(node, owner)
            head = await node.store.head()
            missing = await thief.ask("rename_chat", {"chat_id": NOBODYS, "title": "mine"})
            stolen: list[tuple[str, dict[str, Any]]] = [
                ("list_messages", {}),
                ("rename_chat", {"title": "mine"}),
                ("archive_chat", {"archived": True}),
                ("delete_chat", {}),
                ("select_branch", {"message_id": message_id}),
            ]
            for request, more in stolen:
                assert await thief.ask(request, {"chat_id": chat_id, **more}) == missing
            assert (await thief.ask("search_messages", {"query": "secret"}))["results"] == []
            assert (await thief.ask("list_chats"))["chats"] == []
            assert await node.store.head() == head

            mine = (await thief.ask("create_chat"))["chat"]["id"]
            answer = await thief.ask("select_branch", {"chat_id": mine, "message_id": message_id})
            assert answer["error"]["code"] == "MESSAGE_NOT_FOUND"
            assert [name for name, _ in thief.told if name.startswith("message")] == []

    asyncio.run(check())


def test_an_answer_is_as_fresh_as_asked_for_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FRESH_WITHIN", 0.2)

    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            created = await client.ask("create_chat")
            seen = {"min_position": created["position"]}
            assert (await client.ask("list_chats", seen))["total"] == 1
            ahead = {"min_position": created["position"] + 1}
            for request in ["list_chats", "list_models", "usage_info", "create_chat"]:
                error = (await client.ask(request, ahead))["error"]
                assert (error["code"], error["retryable"]) == ("VIEWS_BEHIND", True)
            assert await node.store.head() == created["position"]

    asyncio.run(check())


def test_a_bug_is_answered_with_an_incident_that_the_operator_can_find(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:

            async def broken(*_: object) -> None:
                raise LookupError("a bug")

            monkeypatch.setattr(node.views, "list_chats", broken)
            error = (await client.ask("list_chats"))["error"]
            assert error["code"] == "INTERNAL"
            assert "bug" not in str(error)
            ((where, fault, incident),) = node.notebook.faults
            assert (where, str(fault)) == ("socket request", "a bug")
            assert error["details"] == {"id": str(incident)}
            assert client.payloads("assistant_error") == [error | {"request": "list_chats"}]

    asyncio.run(check())


def test_a_visitor_who_signs_in_takes_the_chats_along() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"anon_id": "visitor-1"}) as visitor,
            connected(node, {"token": token("ada"), "anonId": "visitor-1"}) as user,
        ):
            created = await visitor.ask("create_chat", {"title": "Taken along"})
            chat_id = created["chat"]["id"]
            claimed = await user.ask("claim_anonymous", {"anon_id": "visitor-1"})
            assert (claimed["anon_id"], claimed["chat_ids"]) == ("visitor-1", [chat_id])
            assert user.payloads("chats_claimed") == [claimed]
            gained = await user.hears("chat_created")
            assert gained["chat"]["title"] == "Taken along"
            lost = await visitor.hears("chat_deleted")
            assert lost == {"chat_id": chat_id, "position": gained["position"]}
            assert (await visitor.ask("list_chats"))["chats"] == []

            again = await user.ask("claim_anonymous", {"anon_id": "visitor-1"})
            assert again["chat_ids"] == []
            other = await user.ask("claim_anonymous", {"anon_id": "visitor-2"})
            assert other["error"]["code"] == "VALIDATION_ERROR"

            # The visitor's id is on nobody else's rows, where erasing the visitor would leave it.
            with sqlite3.connect(node.folder / "events.db") as log:
                results = [result for (result,) in log.execute("SELECT result FROM commands")]
            assert results
            assert not any(b"visitor-1" in result for result in results)

    asyncio.run(check())


def test_a_refusal_elsewhere_reaches_every_socket_of_the_principal() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"anon_id": "visitor-1"}) as one,
            connected(node, {"anon_id": "visitor-1"}) as two,
            connected(node, {"anon_id": "visitor-2"}) as other,
        ):
            error = WireError("ANON_LIMIT_REACHED", "No more.", False)
            caller = await node.caller(anon_id="visitor-1")
            node.sockets.tell(caller.principal.id, error)
            assert await one.hears("assistant_error") == error.to_wire()
            assert await two.hears("assistant_error") == error.to_wire()
            node.sockets.announce_draining()
            for client in (one, two, other):
                await client.hears("server_draining")
            assert other.payloads("assistant_error") == []
            await until(lambda: node.notebook.sockets == 3)

    asyncio.run(check())


def test_null_is_as_good_as_absent() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"token": token("ada")}) as client:
            nulls = {"page": None, "limit": None, "archived": None, "min_position": None}
            assert (await client.ask("list_chats", nulls))["limit"] == 20

    asyncio.run(check())
