"""Who may connect, as whom, and for how long."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import socketio

from application.ports import Append, Meta
from domain.usage import Usage
from interfaces.ws import expiry
from tests.ws.node import Client, connected, serving, token, until


def test_a_user_connects_by_token() -> None:
    async def check() -> None:
        async with serving() as node:
            bearer = {"authorization": f"Bearer {token('ada')}"}
            for auth, headers in [
                ({"token": token("ada")}, {}),
                (None, bearer),
                ({"token": ""}, bearer),
                ({"token": token("ada"), "more": [1, 2]}, {}),
                ({"token": token("ada"), "anon_id": "visitor-1"}, {"x-anon-id": "visitor-2"}),
            ]:
                async with connected(node, auth, headers=headers) as client:
                    assert client.session["principal"] == "user:ada"
                    assert client.session["kind"] == "user"
                    assert "anon_id" not in client.session

    asyncio.run(check())


def test_a_visitor_connects_by_anonymous_id() -> None:
    async def check() -> None:
        async with serving() as node:
            for auth, headers in [
                ({"anon_id": "visitor-1"}, {}),
                ({"anonId": "visitor-1"}, {}),
                (None, {"x-anon-id": "visitor-1"}),
                ({"anon_id": None, "token": None}, {"x-anon-id": "visitor-1"}),
                ({"anon_id": "visitor-1"}, {"x-anon-id": "visitor-2"}),
            ]:
                async with connected(node, auth, headers=headers) as client:
                    assert client.session["anon_id"] == "visitor-1"

    asyncio.run(check())


def test_who_says_nothing_is_given_an_id_that_works_again() -> None:
    async def check() -> None:
        async with serving() as node:
            async with connected(node) as client:
                minted = client.session["anon_id"]
                await client.ask("create_chat", {"title": "mine"})
            async with connected(node, {"anon_id": minted}) as client:
                assert (await client.ask("list_chats"))["total"] == 1
            async with connected(node, {}) as client:
                assert client.session["anon_id"] != minted

    asyncio.run(check())


REFUSED: list[tuple[Any, dict[str, str], str]] = [
    ({"token": "made.up.token"}, {}, "UNAUTHORIZED"),
    ({"token": token("ada", expires_in=-10)}, {}, "UNAUTHORIZED"),
    ({"token": "made.up.token", "anon_id": "visitor-1"}, {}, "UNAUTHORIZED"),
    (None, {"authorization": "Bearer made.up.token"}, "UNAUTHORIZED"),
    (None, {"authorization": "Basic YTpi"}, "UNAUTHORIZED"),
    ({"anon_id": "short"}, {}, "VALIDATION_ERROR"),
    ({"anon_id": "with a space"}, {}, "VALIDATION_ERROR"),
    ({"token": 7}, {}, "VALIDATION_ERROR"),
    ({"anon_id": ["visitor-1"]}, {}, "VALIDATION_ERROR"),
    (["a list"], {}, "VALIDATION_ERROR"),
]


def test_who_cannot_be_identified_is_refused_with_a_code() -> None:
    async def check() -> None:
        async with serving() as node:
            for auth, headers, code in REFUSED:
                client = Client(node)
                with pytest.raises(socketio.exceptions.ConnectionError):
                    await client.connect(auth, headers=headers)
                assert client.refusal["data"]["code"] == code
                assert client.refusal["data"]["error"] == client.refusal["message"]
            assert node.notebook.sockets == 0
            assert node.notebook.faults == []

    asyncio.run(check())


def test_under_the_signed_policy_only_minted_ids_connect() -> None:
    async def check() -> None:
        async with serving(anon_policy="signed") as node:
            with pytest.raises(socketio.exceptions.ConnectionError):
                await Client(node).connect({"anon_id": "visitor-1"})
            minted = node.identity.mint_anonymous()
            async with connected(node, {"anon_id": minted}) as client:
                assert client.session["anon_id"] == minted

    asyncio.run(check())


def test_a_bug_while_connecting_is_told_by_its_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with serving() as node:

            async def broken(*_: object) -> None:
                raise LookupError("a bug")

            monkeypatch.setattr(node.identity, "identify", broken)
            client = Client(node)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await client.connect({"anon_id": "visitor-1"})
            ((where, _, incident),) = node.notebook.faults
            assert where == "socket connect"
            assert client.refusal["data"]["details"] == {"id": str(incident)}

    asyncio.run(check())


def test_a_socket_whose_token_runs_out_is_told_and_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiry, "GRACE", 1.5)
    monkeypatch.setattr(expiry, "LONGEST_TIMER", 0.05)

    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada")}) as idle,
            connected(node, {"token": token("ada")}) as busy,
            connected(node, {"anon_id": "visitor-1"}) as visitor,
        ):
            node.clock.turn(hours=2)
            assert (await busy.ask("list_chats"))["error"]["code"] == "UNAUTHORIZED"
            error = await idle.hears("assistant_error")
            assert error["code"] == "UNAUTHORIZED"
            await until(lambda: not idle.socket.connected and not busy.socket.connected)
            assert len(idle.payloads("assistant_error")) == 1
            assert (await visitor.ask("list_chats"))["total"] == 0
            assert node.notebook.sockets == 1

    asyncio.run(check())


def test_sockets_of_who_was_erased_are_closed() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada")}) as ada,
            connected(node, {"token": token("bob")}) as bob,
        ):
            await ada.ask("create_chat", {"title": "Before"})
            principal = await node.store.principals.find("user", "ada")
            assert principal is not None
            account = Usage.open(principal.id, "user", "USD", node.clock.now())
            account.erase(0, node.clock.now())
            await node.store.append(Append(aggregates=[account], meta=Meta(uuid4())))
            await until(lambda: not ada.socket.connected)
            assert (await bob.ask("list_chats"))["total"] == 0

    asyncio.run(check())


def test_a_timer_goes_off_when_the_token_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "GRACE", 0.0)

    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada", expires_in=4)}) as client,
        ):
            await until(lambda: not client.socket.connected)
            assert (await client.hears("assistant_error"))["code"] == "UNAUTHORIZED"

    asyncio.run(check())


def test_a_fresh_token_of_the_same_user_keeps_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "GRACE", 60.0)
    monkeypatch.setattr(expiry, "LONGEST_TIMER", 0.05)
    fresh = token("ada", expires_in=3 * 3600)

    async def check() -> None:
        async with (
            serving() as node,
            connected(node, {"token": token("ada")}) as early,
            connected(node, {"token": token("ada")}) as late,
        ):
            stolen = await early.ask("authenticate", {"token": token("eve")})
            assert stolen["error"]["code"] == "UNAUTHORIZED"
            session = await early.ask("authenticate", {"token": fresh})
            assert session["principal"] == "user:ada"
            assert early.payloads("session")[1] == session

            node.clock.turn(hours=2)
            await late.hears("assistant_error")
            created = await early.ask("create_chat")
            assert await early.hears("chat_created") == created
            # Nothing was pushed without a valid token; the new session says from where on.
            assert late.payloads("chat_created") == []
            session = await late.ask("authenticate", {"token": fresh})
            assert session["position"] == created["position"]
            assert (await late.ask("list_chats"))["total"] == 1
            second = await late.ask("create_chat")
            assert await late.hears("chat_created") == second
            assert len(early.payloads("assistant_error")) == 1

    asyncio.run(check())


def test_a_visitor_does_not_become_a_user_on_the_same_socket() -> None:
    async def check() -> None:
        async with serving() as node, connected(node, {"anon_id": "visitor-1"}) as client:
            answer = await client.ask("authenticate", {"token": token("ada")})
            assert answer["error"]["code"] == "UNAUTHORIZED"
            assert (await client.ask("usage_info"))["kind"] == "anonymous"

    asyncio.run(check())
