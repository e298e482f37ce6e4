"""The requests of the namespace: each name with its command, and what it is answered with."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from application.chat_commands import Changed, ChatCommands
from application.commands import (
    ArchiveChat,
    Authenticate,
    ClaimAnonymous,
    Command,
    CreateChat,
    DeleteChat,
    RenameChat,
    SelectBranch,
)
from application.errors import InvalidRequest
from application.ports import Caller, Models, ModelSpec
from application.queries import (
    ChatAt,
    ChatsPage,
    ListChats,
    ListMessages,
    ListModels,
    MessagesPage,
    SearchMessages,
    SearchPage,
    UsageInfo,
    UsageView,
    Views,
    decimal_of,
)
from application.turns import Outcome
from interfaces.inbound import convert
from interfaces.ws.messages import ChatGone, ChatsClaimed, ModelsList, ModelView, Session
from interfaces.ws.packets import MALFORMED

FRESH_WITHIN = 5.0
"""Seconds to wait for the views to reach a request's `min_position`."""


class Exchange(msgspec.Struct, frozen=True):
    """A request's payload, and the event and the payload that answer it."""

    asks: type[Command]
    event: str
    answer: type[msgspec.Struct]


REQUESTS = {
    "list_chats": Exchange(ListChats, "chats_list", ChatsPage),
    "list_messages": Exchange(ListMessages, "messages_list", MessagesPage),
    "search_messages": Exchange(SearchMessages, "search_results", SearchPage),
    "usage_info": Exchange(UsageInfo, "usage_info", UsageView),
    "list_models": Exchange(ListModels, "models_list", ModelsList),
    "create_chat": Exchange(CreateChat, "chat_created", ChatAt),
    "rename_chat": Exchange(RenameChat, "chat_updated", ChatAt),
    "archive_chat": Exchange(ArchiveChat, "chat_updated", ChatAt),
    "delete_chat": Exchange(DeleteChat, "chat_deleted", ChatGone),
    "select_branch": Exchange(SelectBranch, "chat_updated", ChatAt),
    "claim_anonymous": Exchange(ClaimAnonymous, "chats_claimed", ChatsClaimed),
    "authenticate": Exchange(Authenticate, "session", Session),
}
"""All that a client can ask, by name."""


class Reply(msgspec.Struct, frozen=True):
    """The answer to a request. `pushed`: the same event reaches the caller from the log."""

    event: str
    payload: object
    pushed: bool = False


class Pushed(msgspec.Struct, frozen=True):
    """An answer that the caller gets as a push, too."""

    payload: object


C = TypeVar("C", bound=Command)
Answer: TypeAlias = Callable[[Any, Caller], Awaitable[object]]


class Requests:
    """Answers every request but `authenticate`, which is about the connection."""

    def __init__(self, commands: ChatCommands, views: Views, models: Models) -> None:
        self._commands = commands
        self._views = views
        self._models = models
        self._answers: dict[str, Answer] = {
            "list_chats": self._list_chats,
            "list_messages": self._list_messages,
            "search_messages": self._search_messages,
            "usage_info": self._usage_info,
            "list_models": self._list_models,
            "create_chat": self._create_chat,
            "rename_chat": self._rename_chat,
            "archive_chat": self._archive_chat,
            "delete_chat": self._delete_chat,
            "select_branch": self._select_branch,
            "claim_anonymous": self._claim_anonymous,
        }

    async def answer(self, name: str, arguments: Sequence[object], caller: Caller) -> Reply:
        """Carry out a request. Raises whatever refuses it; InvalidRequest for an unknown name."""
        if name == MALFORMED:
            raise InvalidRequest("A request is an event's name and a JSON object.", "$")
        if name not in self._answers:
            raise InvalidRequest("There is no such request.", "$")
        exchange = REQUESTS[name]
        command = payload_as(exchange.asks, arguments)
        await self.wait_for(command)
        answer = await self._answers[name](command, caller)
        if isinstance(answer, Pushed):
            return Reply(exchange.event, answer.payload, pushed=True)
        return Reply(exchange.event, answer)

    async def wait_for(self, command: Any) -> None:
        """Until the views hold what the client has seen. Raises ViewsBehind."""
        if command.min_position:
            await self._views.wait(command.min_position, FRESH_WITHIN)

    async def _list_chats(self, request: ListChats, caller: Caller) -> ChatsPage:
        return await self._views.list_chats(caller.principal.id, request)

    async def _list_messages(self, request: ListMessages, caller: Caller) -> MessagesPage:
        return await self._views.list_messages(caller.principal.id, request)

    async def _search_messages(self, request: SearchMessages, caller: Caller) -> SearchPage:
        return await self._views.search(caller.principal.id, request)

    async def _usage_info(self, request: UsageInfo, caller: Caller) -> UsageView:
        return await self._views.usage(caller.principal, request.min_position)

    async def _list_models(self, _: ListModels, __: Caller) -> ModelsList:
        models = [model_view(model) for model in self._models.all()]
        return ModelsList(models, self._models.default)

    async def _create_chat(self, command: CreateChat, caller: Caller) -> ChatAt | Pushed:
        return await self._changed(await self._commands.create(command, caller), caller)

    async def _rename_chat(self, command: RenameChat, caller: Caller) -> ChatAt | Pushed:
        return await self._changed(await self._commands.rename(command, caller), caller)

    async def _archive_chat(self, command: ArchiveChat, caller: Caller) -> ChatAt | Pushed:
        return await self._changed(await self._commands.archive(command, caller), caller)

    async def _select_branch(self, command: SelectBranch, caller: Caller) -> ChatAt | Pushed:
        return await self._changed(await self._commands.select_branch(command, caller), caller)

    async def _delete_chat(self, command: DeleteChat, caller: Caller) -> Pushed:
        outcome = await self._commands.delete(command, caller)
        return Pushed(ChatGone(command.chat_id, outcome.position))

    async def _claim_anonymous(self, command: ClaimAnonymous, caller: Caller) -> ChatsClaimed:
        outcome = await self._commands.claim(command, caller)
        claimed = outcome.result
        return ChatsClaimed(claimed.anon_id, claimed.chat_ids, outcome.position)

    async def _changed(self, outcome: Outcome[Changed], caller: Caller) -> ChatAt | Pushed:
        changed = outcome.result.changed
        at_least = outcome.position if changed else 0
        found = await self._views.chat(caller.principal.id, outcome.result.chat_id, at_least)
        return Pushed(ChatAt(found.chat, outcome.position)) if changed else found


def payload_as(kind: type[C], arguments: Sequence[object]) -> C:
    """What came with the event's name, as its command; nothing and null are an empty object."""
    if len(arguments) > 1:
        raise InvalidRequest("A request has one payload.", "$")
    payload = arguments[0] if arguments else None
    return convert({} if payload is None else payload, kind)


def model_view(model: ModelSpec) -> ModelView:
    return ModelView(
        id=model.id,
        name=model.name,
        context_window=model.context_window,
        input_price_per_million=decimal_of(model.price.input_per_million),
        output_price_per_million=decimal_of(model.price.output_per_million),
    )
