"""AsyncAPI's description of the namespace, made of the tables and Structs that serve it."""

from typing import Any

import msgspec

from interfaces.outbound import WireError
from interfaces.schemas import Schemas
from interfaces.ws.handshake import Auth
from interfaces.ws.messages import Refused, ServerDraining, Session, SocketError
from interfaces.ws.push_messages import PUSHES
from interfaces.ws.requests import REQUESTS
from interfaces.ws.transports import NAMESPACE

CHANNEL = "chats"
CONNECT = "connect"

ABOUT = """\
What goes over Socket.IO (protocol 5, so `socket.io-client` 4) in the namespace `/chats`. The
document tells it from the server's side: it *receives* requests and *sends* pushes.

The name of a message is the name of its Socket.IO event. A request is answered by its reply event,
and by the same payload as acknowledgement where a callback was passed; one that fails by `refused`
as acknowledgement and by the event `assistant_error`. In requests `null` is as good as a missing
field. A client ignores fields and events that it does not know.

Messages are sent and answers are streamed over HTTP: see [the description of those
routes](/schema)."""

SENT_BESIDE: dict[str, type[msgspec.Struct]] = {
    "session": Session,
    "assistant_error": SocketError,
    "server_draining": ServerDraining,
}
"""What sockets are told that is no event of the log."""

ANSWERS = {exchange.event: exchange.answer for exchange in REQUESTS.values()}
EVENTS: dict[str, type[msgspec.Struct]] = {**ANSWERS, **PUSHES, **SENT_BESIDE}
ACKNOWLEDGED = {"refused": Refused}
HANDSHAKE = {CONNECT: Auth, "connect_error": WireError}

WORDS = {
    CONNECT: "Join the namespace; what says who is calling is the handshake's `auth`.",
    "connect_error": "Why the connection was refused, as the `data` of that error.",
    "refused": "The acknowledgement of a request that failed. It is no event.",
    "list_chats": "The chats, the newest activity first.",
    "list_messages": "The messages of the active branch, or of the one through `branch`.",
    "search_messages": "Messages of all chats that have all words of the query.",
    "usage_info": "What the caller has used and has left.",
    "list_models": "The models that can be asked.",
    "create_chat": "Begin an empty chat.",
    "rename_chat": "Give a chat another title.",
    "archive_chat": "Put a chat into the archive, or take it out.",
    "delete_chat": "Delete a chat. A reply under way ends.",
    "select_branch": "Make the branch through a message the active one.",
    "claim_anonymous": "Take over what the caller began as a visitor.",
    "authenticate": "Put a new token in the place of the connection's.",
    "session": "Who the connection is; the first event of every connection.",
    "chat_created": "A chat began, or was claimed.",
    "chat_updated": "A chat's title, place, branch or activity changed.",
    "chat_deleted": "A chat was deleted, or claimed by a user.",
    "message_created": "A user's message was sent.",
    "reply_started": "An answer is being made.",
    "message_completed": "An answer is complete, or was stopped.",
    "message_failed": "An answer failed or was interrupted.",
    "assistant_error": "A request was refused; without `request`, a send elsewhere.",
    "server_draining": "The server is going down.",
}


def asyncapi_document(version: str) -> dict[str, Any]:
    """The whole document. `version` is the service's."""
    requests: dict[str, type] = {name: exchange.asks for name, exchange in REQUESTS.items()}
    told: dict[str, type] = {**EVENTS, **ACKNOWLEDGED, **HANDSHAKE}
    schemas = Schemas([*requests.values(), *told.values()])
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dabir", "version": version, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            CHANNEL: {
                "address": NAMESPACE,
                "title": "Chats",
                "description": "A Socket.IO namespace, at the default path `/socket.io`.",
                "messages": {
                    **{_asked(name): _message(name, schemas, requests[name]) for name in requests},
                    **{name: _message(name, schemas, kind) for name, kind in told.items()},
                },
            }
        },
        "operations": {
            CONNECT: _request(CONNECT, CONNECT, "session", "connect_error"),
            **{
                name: _request(name, _asked(name), exchange.event, *ACKNOWLEDGED)
                for name, exchange in REQUESTS.items()
            },
            **{_pushed(name): _push(name) for name in (*PUSHES, *SENT_BESIDE)},
        },
        "components": {"schemas": schemas.components},
    }


def _asked(name: str) -> str:
    """A request's message: `usage_info` is asked, and an event."""
    return f"{name}.request"


def _pushed(name: str) -> str:
    return f"{name}.push"


def _message(name: str, schemas: Schemas, kind: type) -> dict[str, Any]:
    return {"name": name, "payload": schemas.of(kind)}


def _request(name: str, message: str, *answers: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "summary": WORDS[name],
        "messages": [_of_channel(message)],
        "reply": {
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "messages": [_of_channel(answer) for answer in answers],
        },
    }


def _push(name: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "summary": WORDS[name],
        "messages": [_of_channel(name)],
    }


def _of_channel(message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{CHANNEL}/messages/{message}"}
