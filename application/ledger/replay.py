"""What a chat and its money were at a position, event by event: for audits.

The aggregates themselves are folded; no model is called and nothing is written.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from uuid import UUID

import msgspec

from application.ledger.account_then import AccountThen, account_then
from application.ledger.event_fields import topic_of
from application.ledger.event_words import Named, words_of
from application.ledger.folded import applied
from application.ledger.ports import EventFilter, LogReading, NotInLog
from application.ports import Recorded
from application.queries import decimal_of
from domain.chat import Chat, Role, Status
from domain.usage import Kind, Usage


class MoneyAfter(msgspec.Struct, frozen=True):
    """An account after an event. Amounts are decimals in its currency."""

    kind: Kind
    balance: str
    held: str
    spent: str
    messages: int
    allowance_used: int


class Step(msgspec.Struct, frozen=True):
    """One event: when, who, why, and what came of it. `actor` is None for the service itself."""

    position: int
    at: datetime
    stream_id: UUID
    version: int
    topic: str
    actor: UUID | None
    actor_name: str
    correlation: UUID
    causation: UUID | None
    what: str
    money: MoneyAfter | None


class MessageThen(msgspec.Struct, frozen=True):
    """A message of the tree, in the order in which it is read. `active`: on the active branch."""

    id: UUID
    parent_id: UUID | None
    depth: int
    role: Role
    status: Status
    version: int
    versions: int
    active: bool
    content: str | None


class ChatThen(msgspec.Struct, frozen=True, tag_field="state", tag="chat"):
    id: UUID
    owner: UUID
    owner_name: str
    title: str | None
    model: str | None
    archived: bool
    deleted: bool
    erased: bool
    open_reply: UUID | None
    messages: list[MessageThen]


class Replay:
    """Of one chat or one principal, up to position `until`. Made for one use.

    `contents`: keep what was written, for the state at the end.
    """

    def __init__(
        self, log: LogReading, named: Named, until: int, *, contents: bool = False
    ) -> None:
        self._log = log
        self._named = named
        self._until = until
        self._keep = contents
        self._contents: dict[UUID, str] = {}
        self._titles: dict[UUID, str | None] = {}
        self._folded: dict[UUID, Chat | Usage] = {}
        self._told: set[UUID] = set()

    def of_chat(self, chat_id: UUID) -> Iterator[Step]:
        """The chat's events, and of those who paid for it what they paid. Raises NotInLog."""
        payers = {
            recorded.event.payer
            for recorded in self._stream(chat_id)
            if isinstance(recorded.event, Chat.ReplyStarted)
        }
        for recorded in self._merged([chat_id, *payers]):
            step = self._step(recorded)
            about = getattr(recorded.event, "chat_id", recorded.stream_id)
            if about == chat_id:
                yield step
        if not isinstance(self._folded.get(chat_id), Chat):
            raise NotInLog(f"there was no chat {chat_id} up to position {self._until}.")

    def of_principal(self, principal: UUID) -> Iterator[Step]:
        """The events of its account and of the chats it ever had. Raises NotInLog."""
        chats = self._log.chats_ever_of(principal, self._until)
        yield from map(self._step, self._merged([principal, *chats]))
        if not self._folded:
            raise NotInLog(f"nothing was known of it up to position {self._until}.")

    def chats(self) -> Iterator[ChatThen]:
        """As they were after the last step."""
        for aggregate in self._folded.values():
            if isinstance(aggregate, Chat):
                yield self._chat(aggregate)

    def accounts(self) -> Iterator[AccountThen]:
        for aggregate in self._folded.values():
            if isinstance(aggregate, Usage):
                yield account_then(aggregate, self._named)

    def _stream(self, stream_id: UUID) -> Iterator[Recorded]:
        for batch in self._log.found(EventFilter(stream=stream_id, until=self._until)):
            yield from map(self._log.decoded, batch)

    def _merged(self, stream_ids: Iterable[UUID]) -> Iterator[Recorded]:
        return merge(*map(self._stream, stream_ids), key=lambda recorded: recorded.position)

    def _step(self, recorded: Recorded) -> Step:
        event, meta = recorded.event, recorded.meta
        after = applied(self._folded.get(recorded.stream_id), recorded)
        self._folded[recorded.stream_id] = after
        self._note_contents(recorded)
        return Step(
            recorded.position,
            recorded.recorded_at,
            recorded.stream_id,
            recorded.version,
            topic_of(event),
            meta.actor,
            self._named(meta.actor),
            meta.correlation,
            meta.causation,
            words_of(event, self._named),
            _money(after) if isinstance(after, Usage) else None,
        )

    def _note_contents(self, recorded: Recorded) -> None:
        event = recorded.event
        if not self._keep:
            return
        if isinstance(event, Chat.Created | Chat.Renamed):
            self._titles[recorded.stream_id] = event.title
        elif isinstance(
            event,
            Chat.MessageSent
            | Chat.MessageCompleted
            | Chat.MessageRegenerated
            | Chat.ReplyFailed
            | Chat.ReplyInterrupted,
        ):
            self._contents[event.message_id] = event.content

    def _chat(self, chat: Chat) -> ChatThen:
        state = chat.state
        return ChatThen(
            chat.id,
            state.owner,
            self._named(state.owner),
            self._titles.get(chat.id),
            state.model,
            state.archived,
            state.deleted,
            state.erased,
            state.reply.reply_id if state.reply else None,
            list(self._tree(chat)),
        )

    def _tree(self, chat: Chat) -> Iterator[MessageThen]:
        """Depth first, in time order. Without recursion: a long chat is a deep tree."""
        messages = chat.state.messages
        active: set[UUID] = set()
        leaf = chat.state.leaf_id
        while leaf is not None:
            active.add(leaf)
            leaf = messages[leaf].parent_id
        waiting = [(message_id, 0) for message_id in reversed(chat.state.roots)]
        while waiting:
            message_id, depth = waiting.pop()
            node = messages[message_id]
            versions = chat.versions(message_id)
            yield MessageThen(
                message_id,
                node.parent_id,
                depth,
                node.role,
                node.status,
                versions.index(message_id) + 1,
                len(versions),
                message_id in active,
                self._contents.get(message_id),
            )
            waiting += [(child, depth + 1) for child in reversed(node.children)]


def _money(usage: Usage) -> MoneyAfter:
    return MoneyAfter(
        usage.state.kind,
        decimal_of(usage.balance),
        decimal_of(usage.reserved),
        decimal_of(usage.state.spent),
        usage.state.messages,
        usage.state.allowance_used,
    )
