"""How a reply ends: its last event and its hold's, decided together and appended at once."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.errors import LeaseLost, PrincipalErased, VersionConflict
from application.live_replies import Ending, LeaseHolder, StartedReply
from application.ports import Append, Clock, EventStore, Meta, Models, ProviderUsage
from application.queries import MessageHead
from application.settlement import consumption_of, end_hold, is_given_back, usage_view
from application.token_count import TokenCounter
from application.turns import Turns
from domain.chat import STOPPED, Chat, MessageUsage, ReplyNotOpen
from domain.usage import Consumption, HoldNotOpen, Usage

Cut = Literal["stopped", "interrupted", "deleted", "lease-lost"]
"""Why a reply is ended before its model has finished."""


class Answer(msgspec.Struct):
    """What the model has come to so far. `failure` is a code, `cause` for the operator."""

    model: str
    finish_reason: str | None = None
    usage: ProviderUsage | None = None
    failure: str | None = None
    cause: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """What is known of a reply from its start. `address` is the one whose allowance it used."""

    started: StartedReply
    prompt_tokens: int
    meta: Meta
    address: bytes | None


class Said(msgspec.Struct, frozen=True):
    """What was delivered of an answer: text and reasoning in UTF-8."""

    text: bytes
    reasoning: bytes
    answer: Answer


class ReplyEndings:
    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        counter: TokenCounter,
        models: Models,
        clock: Clock,
        leases: LeaseHolder,
    ) -> None:
        self._store = store
        self._turns = turns
        self._counter = counter
        self._models = models
        self._clock = clock
        self._leases = leases

    async def end(self, begun: Begun, said: Said, cut: Cut | None, fresh: bool) -> Ending:
        """Append a reply's end, decided on its streams as they are; `fresh` reads them anew.

        Raises VersionConflict, and LeaseLost where another node has ended it.
        """
        started, answer = begun.started, said.answer
        consumption = await self._consumption(begun, said)
        text, reasoning = said.text.decode(), said.reasoning.decode() or None
        async with self._turns.of(started.payer):
            chat = await self._store.load(Chat, started.chat_id, fresh=fresh)
            usage = await self._store.load(Usage, started.payer, fresh=fresh)
            at = self._clock.now()
            reason = cut or answer.failure or "no-output"
            try:
                message_usage = end_hold(
                    usage, started.reply_id, started.chat_id, consumption, reason, at
                )
                refunds = is_given_back(consumption, reason)
                if cut == "interrupted":
                    chat.interrupt_reply(started.reply_id, text, reasoning, message_usage, at)
                elif answer.failure is not None and cut is None:
                    chat.fail_reply(
                        started.reply_id, answer.failure, text, reasoning, message_usage, at
                    )
                else:
                    chat.complete_reply(
                        started.reply_id,
                        text,
                        reasoning,
                        answer.model,
                        STOPPED if cut == "stopped" else answer.finish_reason or "stop",
                        message_usage,
                        at,
                    )
                # The append's position is that of its last event, which is the account's.
                behind = len(usage.pending_events)
                position = await self._store.append(
                    Append(
                        aggregates=(chat, usage),
                        meta=begun.meta,
                        lease=self._leases.lease,
                        closes=started.reply_id,
                        address_refund=begun.address if refunds else None,
                    )
                )
            except (ReplyNotOpen, HoldNotOpen, PrincipalErased) as ended:
                if not fresh:
                    raise VersionConflict("what this process remembers may be old") from ended
                return await self._ended_elsewhere(begun, answer, chat, text)
        return _ending(begun.started, answer, chat, text, message_usage, position - behind, at)

    async def _ended_elsewhere(self, begun: Begun, answer: Answer, chat: Chat, text: str) -> Ending:
        """The chat was deleted or erased, or a reaper took the reply for an orphan."""
        if not chat.state.deleted:
            raise LeaseLost("another node has ended this reply")
        head = await self._store.head()
        ending = _ending(begun.started, answer, chat, text, None, head, self._clock.now())
        return msgspec.structs.replace(ending, error="CHAT_NOT_FOUND")

    async def settle_deleted(
        self,
        usage: Usage,
        reply_id: UUID,
        chat_id: UUID,
        begun: Begun | None,
        said: Said | None,
    ) -> bytes | None:
        """End the hold of a reply whose chat is being deleted, by what was delivered.

        `begun` and `said` are None for a reply that this node does not own: then its last
        checkpoint counts. Returns the address to give a message back to, if any.
        """
        if begun is not None and said is not None:
            address, consumption = begun.address, await self._consumption(begun, said)
        else:
            address, consumption = await self._kept(usage, reply_id)
        end_hold(usage, reply_id, chat_id, consumption, "deleted", self._clock.now())
        return address if is_given_back(consumption, "deleted") else None

    async def _kept(self, usage: Usage, reply_id: UUID) -> tuple[bytes | None, Consumption | None]:
        """The address and the consumption of a reply of another node, or of none any more."""
        row = await self._store.find_open_reply(reply_id)
        if row is None:
            return None, None
        quote = usage.quote_of(reply_id)
        consumption = await consumption_of(
            self._counter,
            quote.model,
            quote.price,
            quote.prompt_tokens,
            row.text,
            row.reasoning,
            None,
        )
        return row.address, consumption

    async def _consumption(self, begun: Begun, said: Said) -> Consumption | None:
        answer = said.answer
        return await consumption_of(
            self._counter,
            answer.model,
            self._models.get(answer.model).price,
            begun.prompt_tokens,
            said.text,
            said.reasoning,
            answer.usage,
        )


def _ending(
    started: StartedReply,
    answer: Answer,
    chat: Chat,
    text: str,
    usage: MessageUsage | None,
    position: int,
    at: datetime,
) -> Ending:
    node = chat.state.messages.get(started.message_id)
    versions = chat.versions(started.message_id) if node else [started.message_id]
    status = node.status if node else "failed"
    error = None
    if status == "interrupted":
        error = "INTERRUPTED"
    elif status == "failed":
        error = answer.failure or "INTERNAL"
    finish_reason = None
    if error is None:
        finish_reason = STOPPED if status == "stopped" else answer.finish_reason or "stop"
    return Ending(
        position=position,
        content=text,
        error=error,
        message=MessageHead(
            id=started.message_id,
            chat_id=started.chat_id,
            parent_id=started.user_message_id,
            role="assistant",
            status=status,
            model=answer.model,
            created_at=started.started_at,
            completed_at=at,
            version=versions.index(started.message_id) + 1,
            versions=versions,
            usage=usage_view(usage),
            finish_reason=finish_reason,
            error=error,
        ),
    )
