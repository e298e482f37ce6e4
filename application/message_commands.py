"""Commands that make and end replies: send, regenerate, stop."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec

from application.accounts import Accounts
from application.chat_commands import load_own_chat
from application.commands import Regenerate, SendMessage, StopReply
from application.errors import (
    ContentTooLarge,
    InvalidRequest,
    ModelNotFound,
    ReplyNotFound,
    ServerDraining,
)
from application.live_replies import LeaseHolder, StartedReply
from application.ports import (
    Append,
    Caller,
    Clock,
    CommandKey,
    EventStore,
    Ids,
    Models,
    ModelSpec,
    Principals,
    Prompt,
    ReplyOpened,
)
from application.prompts import Assembled, Prompts
from application.queries import Views
from application.replies import Replies
from application.turns import Attempt, Decision, Outcome, Turns
from domain.chat import Chat, ChatNotFound, Parameters

TITLE_LENGTH = 60


class Stopping(msgspec.Struct, frozen=True):
    reply_id: UUID
    stopping: bool


class MessageCommands:
    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        replies: Replies,
        prompts: Prompts,
        accounts: Accounts,
        models: Models,
        views: Views,
        principals: Principals,
        clock: Clock,
        ids: Ids,
        leases: LeaseHolder,
        max_content: int,
        draining: Callable[[], bool],
    ) -> None:
        self._store = store
        self._turns = turns
        self._replies = replies
        self._prompts = prompts
        self._accounts = accounts
        self._models = models
        self._views = views
        self._principals = principals
        self._clock = clock
        self._ids = ids
        self._leases = leases
        self._max_content = max_content
        self._draining = draining

    async def send(
        self, command: SendMessage, caller: Caller, key: str | None
    ) -> Outcome[StartedReply]:
        """Append a message and begin its answer, or find the reply that the same key began.

        Raises what the domain refuses, ContentTooLarge, InvalidRequest, ModelNotFound,
        ServerDraining, ViewsBehind, AddressLimitReached, IdempotencyKeyReused.
        """
        if command.client_message_id is not None:
            if key not in (None, command.client_message_id):
                raise InvalidRequest(
                    "Idempotency-Key and client_message_id differ.", "$.client_message_id"
                )
            key = command.client_message_id
        if len(command.content) > self._max_content:
            raise ContentTooLarge(f"content is over {self._max_content} characters.")
        if command.parent_id is not None and command.edit_of is not None:
            raise InvalidRequest("Give parent_id or edit_of, not both.", "$.edit_of")
        if command.chat_id is None and (command.parent_id or command.edit_of):
            raise InvalidRequest("A message's place needs its chat_id.", "$.chat_id")

        # Ids stay the same however often the command is decided.
        chat_id = command.chat_id or self._ids.new()
        message_ids = (self._ids.new(), self._ids.new(), self._ids.new())

        async def decide(attempt: Attempt) -> Decision[StartedReply]:
            self._refuse_when_draining()
            at = self._clock.now()
            chat = await self._chat(command, chat_id, caller, at, attempt.fresh)
            model = self._model(command.model, chat)
            parent_id = chat.place_of_new_message(command.parent_id, command.edit_of)
            prompt = await self._assemble(command, caller, chat, model, parent_id, command.content)
            user_message_id, message_id, reply_id = message_ids
            chat.send(
                user_message_id,
                command.content,
                at,
                parent_id=command.parent_id,
                edit_of=command.edit_of,
                client_message_id=command.client_message_id,
                title=title_of(command.content),
            )
            reply = StartedReply(
                reply_id=reply_id,
                chat_id=chat.id,
                user_message_id=user_message_id,
                message_id=message_id,
                kind="send",
                replaces=None,
                model=model.id,
                payer=caller.principal.id,
                started_at=at,
            )
            return await self._begin(attempt, command, caller, chat, model, prompt, reply)

        request = msgspec.structs.replace(command, client_message_id=None)
        outcome = await self._turns.carry_out(caller, request, key, StartedReply, decide)
        return await self._still_own(outcome, caller)

    async def regenerate(
        self, command: Regenerate, caller: Caller, key: str | None
    ) -> Outcome[StartedReply]:
        """Begin another version of an answer; raises as `send` does."""
        message_id, reply_id = self._ids.new(), self._ids.new()

        async def decide(attempt: Attempt) -> Decision[StartedReply]:
            self._refuse_when_draining()
            at = self._clock.now()
            chat = await load_own_chat(self._store, command.chat_id, caller, attempt.fresh)
            model = self._model(command.model, chat)
            replaces = chat.replaceable(command.message_id)
            user_message_id = chat.state.messages[replaces].parent_id
            assert user_message_id is not None
            prompt = await self._assemble(command, caller, chat, model, user_message_id, None)
            reply = StartedReply(
                reply_id=reply_id,
                chat_id=chat.id,
                user_message_id=user_message_id,
                message_id=message_id,
                kind="regenerate",
                replaces=replaces,
                model=model.id,
                payer=caller.principal.id,
                started_at=at,
            )
            return await self._begin(attempt, command, caller, chat, model, prompt, reply)

        outcome = await self._turns.carry_out(caller, command, key, StartedReply, decide)
        return await self._still_own(outcome, caller)

    async def stop(self, command: StopReply, caller: Caller) -> Stopping:
        """Ask the owner of a reply to end it. Raises ReplyNotFound, ChatNotFound."""
        given = [command.reply_id, command.chat_id, command.client_message_id]
        if sum(value is not None for value in given) != 1:
            raise InvalidRequest("Give reply_id, chat_id or client_message_id: one of them.", "$")
        reply_id, chat_id = await self._reply_to_stop(command, caller)
        if reply_id is None:
            raise ReplyNotFound("There is no reply to stop.")
        stopped_id = reply_id

        async def decide(attempt: Attempt) -> Decision[Stopping]:
            chat = await load_own_chat(self._store, chat_id, caller, attempt.fresh)
            stopping = chat.request_stop(stopped_id, self._clock.now())
            result = Stopping(stopped_id, stopping)
            record = attempt.record(result) if chat.pending_events else None
            return Decision(
                Append(aggregates=(chat,), meta=attempt.meta, command=record),
                result,
                then=partial(self._replies.cut, stopped_id, "stopped"),
            )

        return (await self._turns.carry_out(caller, command, None, Stopping, decide)).result

    async def _reply_to_stop(self, command: StopReply, caller: Caller) -> tuple[UUID | None, UUID]:
        """The reply's id and its chat's, however it was named."""
        if command.chat_id is not None:
            chat = await load_own_chat(self._store, command.chat_id, caller, fresh=True)
            open_reply = chat.state.reply
            if open_reply is not None:
                return open_reply.reply_id, command.chat_id
            epoch = datetime.fromtimestamp(0, tz=UTC)
            newest = await self._views.newest_reply(caller.principal.id, epoch, command.chat_id)
            return newest, command.chat_id
        if command.client_message_id is not None:
            record = await self._store.recall(
                CommandKey(SendMessage.route, caller.principal.id, command.client_message_id)
            )
            if record is None:
                raise ReplyNotFound("No reply was started under this id.")
            started = msgspec.json.decode(record.result, type=StartedReply)
            return started.reply_id, started.chat_id
        assert command.reply_id is not None
        reply = await self._views.reply(command.reply_id)
        if reply is None or reply.owner != caller.principal.id:
            raise ReplyNotFound("There is no such reply.")
        return command.reply_id, reply.chat_id

    async def _still_own(
        self, outcome: Outcome[StartedReply], caller: Caller
    ) -> Outcome[StartedReply]:
        """A repeated command finds its reply only while the chat is the caller's."""
        if outcome.repeated:
            owner = await self._principals.owner_of(outcome.result.chat_id)
            if owner != caller.principal.id:
                raise ChatNotFound(outcome.result.chat_id)
        return outcome

    def _model(self, named: str | None, chat: Chat) -> ModelSpec:
        """The model named, the chat's last, or the default. Raises ModelNotFound for a named one.

        A chat outlives the model it was held with: what is no longer offered gives way.
        """
        if named is None and chat.state.model is not None:
            try:
                return self._models.get(chat.state.model)
            except ModelNotFound:
                return self._models.get(self._models.default)
        return self._models.get(named or self._models.default)

    async def _chat(
        self, command: SendMessage, chat_id: UUID, caller: Caller, at: datetime, fresh: bool
    ) -> Chat:
        if command.chat_id is None:
            title = title_of(command.content)
            return Chat.start(chat_id, caller.principal.id, title, command.model, at)
        return await load_own_chat(self._store, chat_id, caller, fresh)

    async def _assemble(
        self,
        command: SendMessage | Regenerate,
        caller: Caller,
        chat: Chat,
        model: ModelSpec,
        parent_id: UUID | None,
        content: str | None,
    ) -> Assembled:
        wanted = min(command.max_tokens or model.max_output_tokens, model.max_output_tokens)
        return await self._prompts.assemble(
            caller.principal.id, chat.id, model, wanted, parent_id, content
        )

    async def _begin(
        self,
        attempt: Attempt,
        command: SendMessage | Regenerate,
        caller: Caller,
        chat: Chat,
        model: ModelSpec,
        prompt: Assembled,
        reply: StartedReply,
    ) -> Decision[StartedReply]:
        """Start the reply and hold what it may cost, in one append."""
        at = reply.started_at
        asked = Parameters(prompt.max_tokens, command.temperature, command.top_p)
        ids = (reply.reply_id, reply.message_id)
        if reply.replaces is None:
            chat.start_reply(*ids, reply.user_message_id, reply.model, reply.payer, asked, at)
        else:
            chat.regenerate(*ids, reply.replaces, reply.model, reply.payer, asked, at)
        usage = await self._accounts.of(caller.principal, at, attempt.fresh)
        self._accounts.hold(
            usage, reply.reply_id, chat.id, model, prompt.tokens, prompt.max_tokens, at
        )
        address_use = self._accounts.address_use(caller, at)
        sent = Prompt(
            model.id, prompt.messages, prompt.max_tokens, command.temperature, command.top_p
        )
        address = address_use.address if address_use else None
        return Decision(
            Append(
                aggregates=(chat, usage),
                meta=attempt.meta,
                command=attempt.record(reply),
                lease=self._leases.lease,
                opens=ReplyOpened(reply.reply_id, chat.id, caller.principal.id),
                address_use=address_use,
            ),
            reply,
            then=partial(self._replies.start, reply, sent, prompt.tokens, attempt.meta, address),
        )

    def _refuse_when_draining(self) -> None:
        if self._draining():
            raise ServerDraining("The server is going down; try again in a moment.")


def title_of(content: str) -> str:
    """The first words of a message, as a chat's title."""
    words = " ".join(content.split())
    if len(words) <= TITLE_LENGTH:
        return words or "…"
    cut = words[: TITLE_LENGTH + 1].rsplit(" ", 1)[0][:TITLE_LENGTH]
    return f"{cut}…"
