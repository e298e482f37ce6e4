"""Edits, branches and versions: what is active is remembered as an event."""

import asyncio
from typing import Any
from uuid import uuid4

import socketio

from tests.service import Service, bearer, named, send, sending, token


async def _asked(service: Service, sub: str, request: str, payload: dict[str, Any]) -> Any:
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(
            service.url,
            namespace="/chats",
            auth={"token": token(sub)},
            transports=["websocket"],
            wait_timeout=10,
        )
        return await client.call(request, payload, timeout=10)


def asked(service: Service, sub: str, request: str, **payload: Any) -> Any:
    """One request over Socket.IO, by its acknowledgement."""
    return asyncio.run(_asked(service, sub, request, payload))


def shown(service: Service, sub: str, chat_id: str, **branch: str) -> list[str]:
    page = asked(service, sub, "list_messages", chat_id=chat_id, **branch)
    return [message["content"] for message in page["messages"]]


def test_an_edit_makes_a_sibling_and_both_branches_stay(service: Service, sub: str) -> None:
    headers = bearer(sub)
    first = send(service, headers, "first")
    chat_id = first[0].data["chat_id"]
    send(service, headers, "second", chat_id=chat_id)
    edited = send(
        service,
        headers,
        "first, edited",
        chat_id=chat_id,
        edit_of=first[0].data["user_message_id"],
    )
    assert shown(service, sub, chat_id) == ["first, edited", "first, edited"]
    page = asked(service, sub, "list_messages", chat_id=chat_id)
    versions = [first[0].data["user_message_id"], edited[0].data["user_message_id"]]
    assert page["messages"][0]["versions"] == versions
    assert page["messages"][0]["version"] == 2
    assert page["total"] == 2

    old = named(first, "assistant_complete").data["message_id"]
    assert shown(service, sub, chat_id, branch=old) == ["first", "first", "second", "second"]
    updated = asked(service, sub, "select_branch", chat_id=chat_id, message_id=old)
    assert updated["chat"]["message_count"] == 4
    assert shown(service, sub, chat_id) == ["first", "first", "second", "second"]


def test_a_branch_grows_after_any_message(service: Service, sub: str) -> None:
    headers = bearer(sub)
    first = named(send(service, headers, "one"), "assistant_complete").data
    chat_id = first["chat_id"]
    send(service, headers, "two", chat_id=chat_id)
    send(service, headers, "other two", chat_id=chat_id, parent_id=first["message_id"])
    assert shown(service, sub, chat_id) == ["one", "one", "other two", "other two"]


def test_a_failed_regeneration_leaves_the_old_version_active(service: Service, sub: str) -> None:
    headers = bearer(sub)
    first = named(send(service, headers, "say it"), "assistant_complete").data
    chat_id = first["chat_id"]
    body = {"chat_id": chat_id, "model": "nobodys"}
    with sending(service, headers, route="regenerate", **body) as refused:
        assert refused.rest()[0].data["code"] == "MODEL_NOT_FOUND"
    assert shown(service, sub, chat_id) == ["say it", "say it"]

    second = send(service, headers, "[[refuse-500]]", chat_id=chat_id)
    failed = named(second, "assistant_error").data["message_id"]
    with sending(service, headers, route="regenerate", chat_id=chat_id) as stream:
        events = stream.rest()
    again = named(events, "assistant_error").data
    assert again["code"] == "PROVIDER_ERROR"
    page = asked(service, sub, "list_messages", chat_id=chat_id)
    assert page["messages"][-1]["id"] == failed
    assert page["messages"][-1]["versions"] == [failed, again["message_id"]]


def test_a_branch_of_somebody_elses_does_not_exist(service: Service, sub: str) -> None:
    chat_id = send(service, bearer(sub), "mine")[0].data["chat_id"]
    payload = {"chat_id": chat_id, "message_id": str(uuid4())}
    theirs = asked(service, f"other-{sub}", "select_branch", **payload)
    assert theirs["error"]["code"] == "CHAT_NOT_FOUND"
    mine = asked(service, sub, "select_branch", **payload)
    assert mine["error"]["code"] == "MESSAGE_NOT_FOUND"
