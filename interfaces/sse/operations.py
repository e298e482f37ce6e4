"""How the routes below `/api/v1/messages` are described."""

from application.commands import Regenerate, SendMessage, StopReply
from application.errors import (
    ContentTooLarge,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    ReplyNotFound,
    ServerDraining,
    Unauthorized,
    ViewsBehind,
)
from application.message_commands import Stopping
from domain.chat import ChatBusy, ChatNotFound, MessageNotFound
from domain.usage import AnonymousLimitReached, InsufficientBalance
from interfaces.http.caller import ANON_ID
from interfaces.http.operations import Operation
from interfaces.sse.events import PROBE_EVENTS, REGENERATE_EVENTS, REPLY_EVENTS, SEND_EVENTS
from interfaces.sse.refusals import COOKIE

KEY = {"Idempotency-Key": "1 to 255 characters: the same key joins the same reply."}
LAST_EVENT = "The last event that was read."
STREAM_HEADERS = {
    "x-chat-id": "The chat.",
    "x-reply-id": "The reply.",
    "x-stream-token": "Opens this one reply, until five minutes after its end.",
    "set-cookie": f"`{COOKIE}`, by which an EventSource of the same origin finds the reply.",
    ANON_ID: "An id that was made for the caller, where none was given.",
}
_OF_A_SEND = (
    InvalidRequest,
    Unauthorized,
    InsufficientBalance,
    ChatNotFound,
    MessageNotFound,
    ModelNotFound,
    ChatBusy,
    ContentTooLarge,
    IdempotencyKeyReused,
    AnonymousLimitReached,
    RateLimited,
    ViewsBehind,
    ServerDraining,
)

SEND = Operation(
    body=SendMessage,
    headers=KEY,
    events=SEND_EVENTS,
    answer_headers=STREAM_HEADERS,
    refuses=_OF_A_SEND,
)
REGENERATE = Operation(
    body=Regenerate,
    headers=KEY,
    events=REGENERATE_EVENTS,
    answer_headers=STREAM_HEADERS,
    refuses=_OF_A_SEND,
)
ATTACH = Operation(
    headers={"Last-Event-ID": LAST_EVENT},
    query={
        "last_event_id": "The same, for who cannot send headers.",
        "stream_token": "What a stream's answer told.",
        "reply_id": "One of the caller's replies.",
        "chat_id": "One of the caller's chats: its reply under way, else its newest.",
    },
    cookies={COOKIE: "What a stream's answer set."},
    events=REPLY_EVENTS,
    answer_headers=STREAM_HEADERS,
    nothing="Nothing is left after that event, or there is nothing to join.",
    refuses=(InvalidRequest, Unauthorized, ChatNotFound, ReplyNotFound, RateLimited, ViewsBehind),
)
STOP = Operation(
    body=StopReply,
    answer=Stopping,
    refuses=(
        InvalidRequest,
        Unauthorized,
        ChatNotFound,
        ReplyNotFound,
        ContentTooLarge,
        RateLimited,
        ViewsBehind,
    ),
)
PROBE = Operation(
    headers={"Last-Event-ID": LAST_EVENT},
    events=PROBE_EVENTS,
    nothing="The last event was read.",
    refuses=(RateLimited,),
)
