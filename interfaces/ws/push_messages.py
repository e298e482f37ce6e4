"""Event → messages: what the sockets of an event's principals are told of it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from application.ports import Principal, Principals, Recorded
from application.queries import ChatAt, MessageView, UsageView, Views
from domain.chat import Chat, ChatNotFound, MessageNotFound
from domain.usage import Usage
from interfaces.outbound import reply_words
from interfaces.ws.messages import ChatGone, MessageAt, MessageFailed, ReplyStarted

ACCOUNT_EVENTS = (
    Usage.Created,
    Usage.ToppedUp,
    Usage.AmountHeld,
    Usage.AllowanceHeld,
    Usage.HoldSettled,
    Usage.HoldReleased,
)


PUSHES: dict[str, type[msgspec.Struct]] = {
    "chat_created": ChatAt,
    "chat_updated": ChatAt,
    "chat_deleted": ChatGone,
    "message_created": MessageAt,
    "reply_started": ReplyStarted,
    "message_completed": MessageAt,
    "message_failed": MessageFailed,
    "usage_info": UsageView,
}
"""All that comes from the log, by name."""


class Push(msgspec.Struct, frozen=True):
    """A message to every socket of a principal."""

    principal: UUID
    event: str
    payload: object


def is_of_account(recorded: Recorded) -> bool:
    return isinstance(recorded.event, ACCOUNT_EVENTS)


async def audience_of(recorded: Recorded, principals: Principals) -> Sequence[UUID]:
    """Whom an event concerns. The events that change a chat's owner name them themselves."""
    event = recorded.event
    if is_of_account(recorded):
        return (recorded.stream_id,)
    if isinstance(event, Chat.Claimed):
        return (event.owner, event.previous_owner)
    if isinstance(event, Chat.Created | Chat.Deleted | Chat.Erased):
        return (event.owner,)
    owner = await principals.owner_of(recorded.stream_id)
    return () if owner is None else (owner,)


class PushMessages:
    """Builds messages from the event and the views, which hold it already."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def of_account(self, recorded: Recorded, principal: Principal) -> list[Push]:
        view = await self._views.usage(principal, recorded.position)
        told = msgspec.structs.replace(view, position=recorded.position)
        return [Push(principal.id, "usage_info", told)]

    async def of_chat(self, recorded: Recorded, owner: UUID) -> list[Push]:
        """In the order in which they go out. None of what was deleted or given away since.

        What changes a chat's place in the list ends in a `chat_updated`; a message that was sent
        is followed in its own append by its reply's start, which does.
        """
        event = recorded.event
        match event:
            case Chat.Created():
                return await self._chat("chat_created", recorded, owner)
            case Chat.Renamed() | Chat.ArchiveChanged() | Chat.BranchSelected():
                return await self._chat("chat_updated", recorded, owner)
            case Chat.Claimed():
                gone = _gone(recorded, event.previous_owner)
                return [*await self._chat("chat_created", recorded, owner), gone]
            case Chat.Deleted() | Chat.Erased():
                return [_gone(recorded, owner)]
            case Chat.MessageSent():
                return await self._told("message_created", recorded, owner, event.message_id)
            case Chat.ReplyStarted():
                told = [_started(event, recorded, owner)]
            case Chat.MessageCompleted() | Chat.MessageRegenerated():
                told = await self._told("message_completed", recorded, owner, event.message_id)
            case Chat.ReplyFailed():
                told = await self._failed(recorded, owner, event.message_id, event.code)
            case Chat.ReplyInterrupted():
                told = await self._failed(recorded, owner, event.message_id, "INTERRUPTED")
            case _:
                return []
        return [*told, *await self._chat("chat_updated", recorded, owner)]

    async def _chat(self, name: str, recorded: Recorded, owner: UUID) -> list[Push]:
        try:
            found = await self._views.chat(owner, recorded.stream_id, recorded.position)
        except ChatNotFound:
            return []
        return [Push(owner, name, ChatAt(found.chat, recorded.position))]

    async def _told(
        self, name: str, recorded: Recorded, owner: UUID, message_id: UUID
    ) -> list[Push]:
        message = await self._message(recorded, owner, message_id)
        if message is None:
            return []
        return [Push(owner, name, MessageAt(message, recorded.position))]

    async def _failed(
        self, recorded: Recorded, owner: UUID, message_id: UUID, code: str
    ) -> list[Push]:
        message = await self._message(recorded, owner, message_id)
        if message is None:
            return []
        failed = MessageFailed(message, code, reply_words(code), recorded.position)
        return [Push(owner, "message_failed", failed)]

    async def _message(
        self, recorded: Recorded, owner: UUID, message_id: UUID
    ) -> MessageView | None:
        try:
            return await self._views.message(
                owner, recorded.stream_id, message_id, recorded.position
            )
        except (ChatNotFound, MessageNotFound):
            return None


def _started(event: Chat.ReplyStarted, recorded: Recorded, owner: UUID) -> Push:
    started = ReplyStarted(
        chat_id=recorded.stream_id,
        reply_id=event.reply_id,
        message_id=event.message_id,
        kind=event.kind,
        position=recorded.position,
    )
    return Push(owner, "reply_started", started)


def _gone(recorded: Recorded, owner: UUID) -> Push:
    return Push(owner, "chat_deleted", ChatGone(recorded.stream_id, recorded.position))
