"""The requests of the namespace: each name with its command, and what it is answered with."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from application.chat_commands import Changed, ChatCommands
from application.commands import (
    ArchiveChat,
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
    ListChats,
    ListMessages,
    ListModels,
    SearchMessages,
    UsageInfo,
    Views,
    decimal_of,
)
from application.turns import Outcome
from interfaces.inbound import convert
from interfaces.ws.packets import MALFORMED

FRESH_WITHIN = 5.0
"""Seconds to wait for the views to reach a request's `min_position`."""


class Reply(msgspec.Struct, frozen=True):
    """The answer to a request. `pushed`: the same event reaches the caller from the log."""

    event: str
    payload: object
    pushed: bool = False


C = TypeVar("C", bound=Command)
Answer: TypeAlias = Callable[[Any, Caller], Awaitable[Reply]]


class Requests:
    def __init__(self, commands: ChatCommands, views: Views, models: Models) -> None:
        self._commands = commands
        self._views = views
        self._models = models
        self._table: dict[str, tuple[type[Command], Answer]] = {
            "list_chats": (ListChats, self._list_chats),
            "list_messages": (ListMessages, self._list_messages),
            "usage_info": (UsageInfo, self._usage_info),
            "create_chat": (CreateChat, self._create_chat),
            "rename_chat": (RenameChat, self._rename_chat),
            "archive_chat": (ArchiveChat, self._archive_chat),
            "delete_chat": (DeleteChat, self._delete_chat),
            "select_branch": (SelectBranch, self._select_branch),
            "search_messages": (SearchMessages, self._search_messages),
            "list_models": (ListModels, self._list_models),
            "claim_anonymous": (ClaimAnonymous, self._claim_anonymous),
        }

    @property
    def names(self) -> Collection[str]:
        return self._table.keys()

    async def answer(self, name: str, arguments: Sequence[object], caller: Caller) -> Reply:
        """Carry out a request. Raises whatever refuses it; InvalidRequest for an unknown name."""
        if name == MALFORMED:
            raise InvalidRequest("A request is an event's name and a JSON object.", "$")
        if name not in self._table:
            raise InvalidRequest("There is no such request.", "$")
        kind, answer = self._table[name]
        command = payload_as(kind, arguments)
        await self.wait_for(command)
        return await answer(command, caller)

    async def wait_for(self, command: Any) -> None:
        """Until the views hold what the client has seen. Raises ViewsBehind."""
        if command.min_position:
            await self._views.wait(command.min_position, FRESH_WITHIN)

    async def _list_chats(self, request: ListChats, caller: Caller) -> Reply:
        return Reply("chats_list", await self._views.list_chats(caller.principal.id, request))

    async def _list_messages(self, request: ListMessages, caller: Caller) -> Reply:
        page = await self._views.list_messages(caller.principal.id, request)
        return Reply("messages_list", page)

    async def _search_messages(self, request: SearchMessages, caller: Caller) -> Reply:
        return Reply("search_results", await self._views.search(caller.principal.id, request))

    async def _usage_info(self, request: UsageInfo, caller: Caller) -> Reply:
        return Reply("usage_info", await self._views.usage(caller.principal, request.min_position))

    async def _list_models(self, _: ListModels, __: Caller) -> Reply:
        models = [model_view(model) for model in self._models.all()]
        return Reply("models_list", {"models": models, "default": self._models.default})

    async def _create_chat(self, command: CreateChat, caller: Caller) -> Reply:
        outcome = await self._commands.create(command, caller)
        return await self._changed("chat_created", outcome, caller)

    async def _rename_chat(self, command: RenameChat, caller: Caller) -> Reply:
        outcome = await self._commands.rename(command, caller)
        return await self._changed("chat_updated", outcome, caller)

    async def _archive_chat(self, command: ArchiveChat, caller: Caller) -> Reply:
        outcome = await self._commands.archive(command, caller)
        return await self._changed("chat_updated", outcome, caller)

    async def _select_branch(self, command: SelectBranch, caller: Caller) -> Reply:
        outcome = await self._commands.select_branch(command, caller)
        return await self._changed("chat_updated", outcome, caller)

    async def _delete_chat(self, command: DeleteChat, caller: Caller) -> Reply:
        outcome = await self._commands.delete(command, caller)
        payload = {"chat_id": command.chat_id, "position": outcome.position}
        return Reply("chat_deleted", payload, pushed=True)

    async def _claim_anonymous(self, command: ClaimAnonymous, caller: Caller) -> Reply:
        outcome = await self._commands.claim(command, caller)
        claimed = outcome.result
        payload = {
            "anon_id": claimed.anon_id,
            "chat_ids": claimed.chat_ids,
            "position": outcome.position,
        }
        return Reply("chats_claimed", payload)

    async def _changed(self, event: str, outcome: Outcome[Changed], caller: Caller) -> Reply:
        changed = outcome.result.changed
        at_least = outcome.position if changed else 0
        found = await self._views.chat(caller.principal.id, outcome.result.chat_id, at_least)
        position = outcome.position if changed else found.position
        return Reply(event, {"chat": found.chat, "position": position}, pushed=changed)


def payload_as(kind: type[C], arguments: Sequence[object]) -> C:
    """What came with the event's name, as its command; nothing and null are an empty object."""
    if len(arguments) > 1:
        raise InvalidRequest("A request has one payload.", "$")
    payload = arguments[0] if arguments else None
    return convert({} if payload is None else payload, kind)


def model_view(model: ModelSpec) -> dict[str, object]:
    """A model as clients see it, prices as decimal strings."""
    return {
        "id": model.id,
        "name": model.name,
        "context_window": model.context_window,
        "input_price_per_million": decimal_of(model.price.input_per_million),
        "output_price_per_million": decimal_of(model.price.output_per_million),
    }
