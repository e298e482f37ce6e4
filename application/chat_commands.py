"""Commands on chats themselves: load, decide, save."""

from functools import partial
from uuid import UUID

import msgspec

from application.accounts import Accounts
from application.commands import (
    ArchiveChat,
    ClaimAnonymous,
    CreateChat,
    DeleteChat,
    RenameChat,
    SelectBranch,
)
from application.errors import InvalidRequest, StreamNotFound, Unauthorized
from application.ports import (
    Append,
    Caller,
    Clock,
    EventStore,
    Identity,
    Ids,
    Models,
    Principals,
)
from application.queries import Views
from application.replies import Replies
from application.turns import Attempt, Decision, Outcome, Turns
from domain.chat import Chat, ChatNotFound


class Changed(msgspec.Struct, frozen=True):
    """`changed` is False where nothing had to be appended."""

    chat_id: UUID
    changed: bool


class ClaimedChats(msgspec.Struct, frozen=True):
    anon_id: str
    chat_ids: list[UUID]


class ChatCommands:
    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        replies: Replies,
        accounts: Accounts,
        models: Models,
        views: Views,
        principals: Principals,
        identity: Identity,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._turns = turns
        self._replies = replies
        self._accounts = accounts
        self._models = models
        self._views = views
        self._principals = principals
        self._identity = identity
        self._clock = clock
        self._ids = ids

    async def create(self, command: CreateChat, caller: Caller) -> Outcome[Changed]:
        """Raises ModelNotFound."""
        if command.model is not None:
            self._models.get(command.model)
        chat_id = self._ids.new()

        async def decide(attempt: Attempt) -> Decision[Changed]:
            chat = Chat.start(
                chat_id, caller.principal.id, command.title, command.model, self._clock.now()
            )
            return self._decided(attempt, chat)

        return await self._turns.carry_out(caller, command, None, Changed, decide)

    async def rename(self, command: RenameChat, caller: Caller) -> Outcome[Changed]:
        async def decide(attempt: Attempt) -> Decision[Changed]:
            chat = await load_own_chat(self._store, command.chat_id, caller, attempt.fresh)
            chat.rename(command.title, self._clock.now())
            return self._decided(attempt, chat)

        return await self._turns.carry_out(caller, command, None, Changed, decide)

    async def archive(self, command: ArchiveChat, caller: Caller) -> Outcome[Changed]:
        async def decide(attempt: Attempt) -> Decision[Changed]:
            chat = await load_own_chat(self._store, command.chat_id, caller, attempt.fresh)
            chat.set_archived(command.archived, self._clock.now())
            return self._decided(attempt, chat)

        return await self._turns.carry_out(caller, command, None, Changed, decide)

    async def select_branch(self, command: SelectBranch, caller: Caller) -> Outcome[Changed]:
        async def decide(attempt: Attempt) -> Decision[Changed]:
            chat = await load_own_chat(self._store, command.chat_id, caller, attempt.fresh)
            chat.select_branch(command.message_id, self._clock.now())
            return self._decided(attempt, chat)

        return await self._turns.carry_out(caller, command, None, Changed, decide)

    async def delete(self, command: DeleteChat, caller: Caller) -> Outcome[Changed]:
        """Delete a chat; a reply under way ends with it, and pays for what was delivered."""

        async def decide(attempt: Attempt) -> Decision[Changed]:
            chat = await load_own_chat(self._store, command.chat_id, caller, attempt.fresh)
            reply = chat.delete(self._clock.now())
            if reply is None:
                return self._decided(attempt, chat)
            payer = await self._accounts.paying(reply.payer, attempt.fresh)
            refund = await self._replies.settle_deleted(payer, reply.reply_id, chat.id)
            result = Changed(chat.id, True)
            return Decision(
                Append(
                    aggregates=(chat, payer),
                    meta=attempt.meta,
                    command=attempt.record(result),
                    closes=reply.reply_id,
                    address_refund=refund,
                ),
                result,
                then=partial(self._replies.cut, reply.reply_id, "deleted"),
            )

        return await self._turns.carry_out(caller, command, None, Changed, decide)

    async def claim(self, command: ClaimAnonymous, caller: Caller) -> Outcome[ClaimedChats]:
        """Take over an anonymous id's chats. Raises Unauthorized, InvalidRequest.

        The id must have come with the caller's own handshake, or be one that was signed here.
        """
        if caller.principal.kind != "user":
            raise Unauthorized("Sign in to claim chats.")
        if command.anon_id != caller.claimable and not self._identity.is_signed(command.anon_id):
            raise InvalidRequest("This id did not come with the connection.", "$.anon_id")
        visitor = await self._principals.find("anonymous", command.anon_id)

        async def decide(attempt: Attempt) -> Decision[ClaimedChats]:
            chats: list[Chat] = []
            if visitor is not None:
                for chat_id in await self._views.chat_ids(visitor.id):
                    chat = await self._store.load(Chat, chat_id, fresh=attempt.fresh)
                    if not chat.state.deleted and chat.state.owner == visitor.id:
                        chat.claim(caller.principal.id, self._clock.now())
                        chats.append(chat)
            result = ClaimedChats(command.anon_id, [chat.id for chat in chats])
            # Without the visitor's id, which goes when the visitor is erased.
            kept = msgspec.structs.replace(result, anon_id="")
            record = attempt.record(kept) if chats else None
            return Decision(Append(aggregates=chats, meta=attempt.meta, command=record), result)

        outcome = await self._turns.carry_out(caller, command, None, ClaimedChats, decide)
        result = msgspec.structs.replace(outcome.result, anon_id=command.anon_id)
        return msgspec.structs.replace(outcome, result=result)

    def _decided(self, attempt: Attempt, chat: Chat) -> Decision[Changed]:
        result = Changed(chat.id, bool(chat.pending_events))
        record = attempt.record(result) if result.changed else None
        return Decision(Append(aggregates=(chat,), meta=attempt.meta, command=record), result)


async def load_own_chat(store: EventStore, chat_id: UUID, caller: Caller, fresh: bool) -> Chat:
    """The caller's chat. Raises ChatNotFound for a missing one as for somebody else's."""
    try:
        chat = await store.load(Chat, chat_id, fresh=fresh)
    except StreamNotFound:
        raise ChatNotFound(chat_id) from None
    chat.require_owner(caller.principal.id)
    return chat
