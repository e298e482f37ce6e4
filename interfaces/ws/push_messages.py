"""Event → messages: what the sockets of an event's principals are told of it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from application.ports import Principal, Principals, Recorded
from application.queries import Views
from domain.chat import Chat, ChatNotFound, MessageNotFound
from domain.usage import Usage
from interfaces.outbound import reply_words

ACCOUNT_EVENTS = (
    Usage.Created,
    Usage.ToppedUp,
    Usage.AmountHeld,
    Usage.AllowanceHeld,
    Usage.HoldSettled,
    Usage.HoldReleased,
)


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
                gone = self._push("chat_deleted", recorded, event.previous_owner, {})
                return [*await self._chat("chat_created", recorded, owner), gone]
            case Chat.Deleted() | Chat.Erased():
                return [self._push("chat_deleted", recorded, owner, {})]
            case Chat.MessageSent():
                return await self._message("message_created", recorded, owner, event.message_id)
            case Chat.ReplyStarted():
                told = [self._reply_started(event, recorded, owner)]
            case Chat.MessageCompleted() | Chat.MessageRegenerated():
                told = await self._message("message_completed", recorded, owner, event.message_id)
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
        return [Push(owner, name, {"chat": found.chat, "position": recorded.position})]

    async def _message(
        self, name: str, recorded: Recorded, owner: UUID, message_id: UUID, **more: object
    ) -> list[Push]:
        try:
            message = await self._views.message(
                owner, recorded.stream_id, message_id, recorded.position
            )
        except (ChatNotFound, MessageNotFound):
            return []
        payload = {"message": message, **more, "position": recorded.position}
        return [Push(owner, name, payload)]

    async def _failed(
        self, recorded: Recorded, owner: UUID, message_id: UUID, code: str
    ) -> list[Push]:
        return await self._message(
            "message_failed", recorded, owner, message_id, code=code, error=reply_words(code)
        )

    def _reply_started(self, event: Chat.ReplyStarted, recorded: Recorded, owner: UUID) -> Push:
        more = {"reply_id": event.reply_id, "message_id": event.message_id, "kind": event.kind}
        return self._push("reply_started", recorded, owner, more)

    def _push(
        self, name: str, recorded: Recorded, principal: UUID, more: Mapping[str, object]
    ) -> Push:
        payload = {"chat_id": recorded.stream_id, **more, "position": recorded.position}
        return Push(principal, name, payload)
