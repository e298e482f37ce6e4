"""One chat: a tree of messages, its active branch, and the making of one reply at a time.

The aggregate holds structure and statuses, never contents. A reply's assistant message exists
from `ReplyStarted` on; siblings of one role are versions of each other.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate, event

from domain.personal import Personal
from domain.refusal import Refusal

Role = Literal["user", "assistant"]
ReplyKind = Literal["send", "regenerate"]
Status = Literal["complete", "streaming", "stopped", "failed", "interrupted"]

STOPPED = "stopped"
"""The finish reason of a reply that somebody stopped."""


class ChatNotFound(Refusal):
    """The chat does not exist, was deleted, or belongs to somebody else: all the same outside."""

    def __init__(self, chat_id: UUID) -> None:
        super().__init__("There is no such chat.")
        self.chat_id = chat_id


class MessageNotFound(Refusal):
    """The message is not in this chat, or not of the role that was asked for."""

    def __init__(self, message_id: UUID | None) -> None:
        super().__init__("There is no such message in this chat.")
        self.message_id = message_id


class ChatBusy(Refusal):
    """A reply is under way in this chat."""

    def __init__(self, reply_id: UUID) -> None:
        super().__init__("A reply is under way in this chat.")
        self.reply_id = reply_id


class ReplyNotOpen(Refusal):
    """The reply has ended already."""

    def __init__(self, reply_id: UUID) -> None:
        super().__init__("The reply has ended.")
        self.reply_id = reply_id


class MessageUsage(msgspec.Struct, frozen=True):
    """What one answer consumed; `cost` in nanos, as billed."""

    prompt_tokens: int
    completion_tokens: int
    cost: int
    currency: str
    estimated: bool
    price_source: str


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the model was asked."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None


class Node(msgspec.Struct):
    """A message's place in the tree. `children` are in time order.

    `active_child` is the one through which the active branch last went on from here.
    """

    parent_id: UUID | None
    role: Role
    status: Status
    children: list[UUID] = []
    active_child: UUID | None = None


class OpenReply(msgspec.Struct):
    reply_id: UUID
    message_id: UUID
    kind: ReplyKind
    replaces: UUID | None
    payer: UUID
    stop_requested: bool = False


class ChatState(msgspec.Struct):
    owner: UUID
    titled: bool
    model: str | None
    archived: bool = False
    deleted: bool = False
    erased: bool = False
    leaf_id: UUID | None = None
    """The last message of the active branch."""
    roots: list[UUID] = []
    messages: dict[UUID, Node] = {}
    reply: OpenReply | None = None


class Chat(Aggregate):
    TOPIC = "chat"

    class Created(Aggregate.Created):
        TOPIC = "chat.created"
        owner: UUID
        title: Personal[str | None]
        model: str | None

    class Renamed(Aggregate.Event):
        TOPIC = "chat.renamed"
        title: Personal[str]

    class ArchiveChanged(Aggregate.Event):
        TOPIC = "chat.archive-changed"
        archived: bool

    class Deleted(Aggregate.Event):
        """Ends the reply that was under way, too."""

        TOPIC = "chat.deleted"
        owner: UUID
        reply_id: UUID | None

    class Erased(Aggregate.Event):
        """Deletes the chat if it was not, and stands for the words that are gone from the log."""

        TOPIC = "chat.erased"
        owner: UUID
        reply_id: UUID | None

    class Claimed(Aggregate.Event):
        TOPIC = "chat.claimed"
        owner: UUID
        previous_owner: UUID

    class MessageSent(Aggregate.Event):
        TOPIC = "chat.message-sent"
        message_id: UUID
        parent_id: UUID | None
        edit_of: UUID | None
        content: Personal[str]
        client_message_id: Personal[str | None]

    class ReplyStarted(Aggregate.Event):
        TOPIC = "chat.reply-started"
        reply_id: UUID
        message_id: UUID
        parent_id: UUID
        kind: ReplyKind
        replaces: UUID | None
        model: str
        payer: UUID
        parameters: Parameters
        leaf_id: UUID

    class StopRequested(Aggregate.Event):
        TOPIC = "chat.stop-requested"
        reply_id: UUID

    class MessageCompleted(Aggregate.Event):
        TOPIC = "chat.message-completed"
        reply_id: UUID
        message_id: UUID
        content: Personal[str]
        reasoning: Personal[str | None]
        model: str
        finish_reason: str
        usage: MessageUsage | None
        leaf_id: UUID

    class MessageRegenerated(Aggregate.Event):
        TOPIC = "chat.message-regenerated"
        reply_id: UUID
        message_id: UUID
        replaces: UUID
        content: Personal[str]
        reasoning: Personal[str | None]
        model: str
        finish_reason: str
        usage: MessageUsage | None
        leaf_id: UUID

    class ReplyFailed(Aggregate.Event):
        """The reply ended without an answer; `content` is what had arrived."""

        TOPIC = "chat.reply-failed"
        reply_id: UUID
        message_id: UUID
        code: str
        content: Personal[str]
        reasoning: Personal[str | None]
        usage: MessageUsage | None

    class ReplyInterrupted(Aggregate.Event):
        """The node that was answering died or was drained; `content` is what was kept."""

        TOPIC = "chat.reply-interrupted"
        reply_id: UUID
        message_id: UUID
        content: Personal[str]
        reasoning: Personal[str | None]
        usage: MessageUsage | None

    class BranchSelected(Aggregate.Event):
        TOPIC = "chat.branch-selected"
        message_id: UUID
        leaf_id: UUID

    # Deciding

    @classmethod
    def start(
        cls, chat_id: UUID, owner: UUID, title: str | None, model: str | None, at: datetime
    ) -> "Chat":
        return cls._create(
            cls.Created, id=chat_id, timestamp=at, owner=owner, title=title, model=model
        )

    def require_owner(self, principal_id: UUID) -> None:
        """Raises ChatNotFound for anybody else, as for a deleted chat."""
        if self.state.deleted or self.state.owner != principal_id:
            raise ChatNotFound(self.id)

    def rename(self, title: str, at: datetime) -> None:
        self._require_existing()
        self._renamed(title=title, timestamp=at)

    def set_archived(self, archived: bool, at: datetime) -> None:
        self._require_existing()
        if self.state.archived != archived:
            self._archive_changed(archived=archived, timestamp=at)

    def delete(self, at: datetime) -> OpenReply | None:
        """Delete the chat. Returns the reply this ends, whose hold the caller must end too."""
        self._require_existing()
        reply = self.state.reply
        self._deleted(
            owner=self.state.owner, reply_id=reply.reply_id if reply else None, timestamp=at
        )
        return reply

    def erase(self, at: datetime) -> OpenReply | None:
        """End the chat for good, deleted or not. Returns the reply this ends, as `delete` does.

        The words themselves are the log's to erase; this is the record that they were.
        """
        if self.state.erased:
            return None
        reply = self.state.reply
        self._erased(
            owner=self.state.owner, reply_id=reply.reply_id if reply else None, timestamp=at
        )
        return reply

    def claim(self, owner: UUID, at: datetime) -> None:
        self._require_existing()
        if self.state.owner != owner:
            self._claimed(owner=owner, previous_owner=self.state.owner, timestamp=at)

    def place_of_new_message(self, parent_id: UUID | None, edit_of: UUID | None) -> UUID | None:
        """The parent of a message to be sent. Raises ChatBusy, MessageNotFound."""
        self._require_idle()
        if edit_of is not None:
            return self._message(edit_of, "user").parent_id
        if parent_id is not None:
            self._message(parent_id)
            return parent_id
        return self.state.leaf_id

    def send(
        self,
        message_id: UUID,
        content: str,
        at: datetime,
        parent_id: UUID | None = None,
        edit_of: UUID | None = None,
        client_message_id: str | None = None,
        title: str | None = None,
    ) -> None:
        """Append a user message. `title` becomes the chat's where it has none."""
        place = self.place_of_new_message(parent_id, edit_of)
        if title and not self.state.titled:
            self._renamed(title=title, timestamp=at)
        self._message_sent(
            message_id=message_id,
            parent_id=place,
            edit_of=edit_of,
            content=content,
            client_message_id=client_message_id,
            timestamp=at,
        )

    def start_reply(
        self,
        reply_id: UUID,
        message_id: UUID,
        parent_id: UUID,
        model: str,
        payer: UUID,
        parameters: Parameters,
        at: datetime,
    ) -> None:
        """Begin the answer to the user message `parent_id`, which becomes the active branch."""
        self._require_idle()
        self._message(parent_id, "user")
        self._reply_started(
            reply_id=reply_id,
            message_id=message_id,
            parent_id=parent_id,
            kind="send",
            replaces=None,
            model=model,
            payer=payer,
            parameters=parameters,
            leaf_id=message_id,
            timestamp=at,
        )

    def replaceable(self, message_id: UUID | None) -> UUID:
        """The assistant message to regenerate: the given one, or the active branch's last.

        Raises ChatBusy, MessageNotFound.
        """
        self._require_idle()
        if message_id is not None:
            self._message(message_id, "assistant")
            return message_id
        for candidate in self._upwards(self.state.leaf_id):
            if self.state.messages[candidate].role == "assistant":
                return candidate
        raise MessageNotFound(None)

    def regenerate(
        self,
        reply_id: UUID,
        message_id: UUID,
        replaces: UUID,
        model: str,
        payer: UUID,
        parameters: Parameters,
        at: datetime,
    ) -> None:
        """Begin another version of `replaces`; it becomes active only when it is complete."""
        replaced = self._message(self.replaceable(replaces), "assistant")
        assert replaced.parent_id is not None and self.state.leaf_id is not None
        self._reply_started(
            reply_id=reply_id,
            message_id=message_id,
            parent_id=replaced.parent_id,
            kind="regenerate",
            replaces=replaces,
            model=model,
            payer=payer,
            parameters=parameters,
            leaf_id=self.state.leaf_id,
            timestamp=at,
        )

    def request_stop(self, reply_id: UUID, at: datetime) -> bool:
        """Ask the reply's owner to end it. Returns False where it has ended already."""
        self._require_existing()
        reply = self.state.reply
        if reply is None or reply.reply_id != reply_id:
            return False
        if not reply.stop_requested:
            self._stop_requested(reply_id=reply_id, timestamp=at)
        return True

    def complete_reply(
        self,
        reply_id: UUID,
        content: str,
        reasoning: str | None,
        model: str,
        finish_reason: str,
        usage: MessageUsage | None,
        at: datetime,
    ) -> None:
        """End the reply with its answer. Raises ReplyNotOpen.

        A regeneration that was stopped before its first word leaves the old version active.
        """
        reply = self._open_reply(reply_id)
        assert self.state.leaf_id is not None
        if reply.kind == "send" or reply.replaces is None:
            self._message_completed(
                reply_id=reply_id,
                message_id=reply.message_id,
                content=content,
                reasoning=reasoning,
                model=model,
                finish_reason=finish_reason,
                usage=usage,
                leaf_id=self.state.leaf_id,
                timestamp=at,
            )
            return
        keeps_old = finish_reason == STOPPED and not content
        self._message_regenerated(
            reply_id=reply_id,
            message_id=reply.message_id,
            replaces=reply.replaces,
            content=content,
            reasoning=reasoning,
            model=model,
            finish_reason=finish_reason,
            usage=usage,
            leaf_id=self.state.leaf_id if keeps_old else reply.message_id,
            timestamp=at,
        )

    def fail_reply(
        self,
        reply_id: UUID,
        code: str,
        content: str,
        reasoning: str | None,
        usage: MessageUsage | None,
        at: datetime,
    ) -> None:
        """End the reply without an answer. Raises ReplyNotOpen."""
        reply = self._open_reply(reply_id)
        self._reply_failed(
            reply_id=reply_id,
            message_id=reply.message_id,
            code=code,
            content=content,
            reasoning=reasoning,
            usage=usage,
            timestamp=at,
        )

    def interrupt_reply(
        self,
        reply_id: UUID,
        content: str,
        reasoning: str | None,
        usage: MessageUsage | None,
        at: datetime,
    ) -> None:
        """End a reply whose owner is gone. Raises ReplyNotOpen."""
        reply = self._open_reply(reply_id)
        self._reply_interrupted(
            reply_id=reply_id,
            message_id=reply.message_id,
            content=content,
            reasoning=reasoning,
            usage=usage,
            timestamp=at,
        )

    def select_branch(self, message_id: UUID, at: datetime) -> None:
        """Make the branch through a message active, down to where it was left the last time."""
        self._require_existing()
        leaf_id, node = message_id, self._message(message_id)
        while node.active_child or node.children:
            leaf_id = node.active_child or node.children[-1]
            node = self.state.messages[leaf_id]
        if leaf_id != self.state.leaf_id and message_id not in self._upwards(self.state.leaf_id):
            self._branch_selected(message_id=message_id, leaf_id=leaf_id, timestamp=at)

    def versions(self, message_id: UUID) -> list[UUID]:
        """All siblings of the message's role, itself included, in time order."""
        node = self.state.messages[message_id]
        siblings = (
            self.state.messages[node.parent_id].children if node.parent_id else self.state.roots
        )
        return [sibling for sibling in siblings if self.state.messages[sibling].role == node.role]

    def _require_existing(self) -> None:
        if self.state.deleted:
            raise ChatNotFound(self.id)

    def _require_idle(self) -> None:
        self._require_existing()
        if self.state.reply is not None:
            raise ChatBusy(self.state.reply.reply_id)

    def _message(self, message_id: UUID, role: Role | None = None) -> Node:
        node = self.state.messages.get(message_id)
        if node is None or (role is not None and node.role != role):
            raise MessageNotFound(message_id)
        return node

    def _open_reply(self, reply_id: UUID) -> OpenReply:
        reply = self.state.reply
        if reply is None or reply.reply_id != reply_id:
            raise ReplyNotOpen(reply_id)
        return reply

    def _upwards(self, message_id: UUID | None) -> Iterator[UUID]:
        while message_id is not None:
            yield message_id
            message_id = self.state.messages[message_id].parent_id

    # Applying

    @event(Created)
    def __init__(self, owner: UUID, title: str | None, model: str | None) -> None:
        self.state = ChatState(owner=owner, titled=title is not None, model=model)

    @event(Renamed)
    def _renamed(self, title: str, timestamp: datetime) -> None:
        self.state.titled = True

    @event(ArchiveChanged)
    def _archive_changed(self, archived: bool, timestamp: datetime) -> None:
        self.state.archived = archived

    @event(Deleted)
    def _deleted(self, owner: UUID, reply_id: UUID | None, timestamp: datetime) -> None:
        self.state = ChatState(
            owner=owner, titled=self.state.titled, model=self.state.model, deleted=True
        )

    @event(Erased)
    def _erased(self, owner: UUID, reply_id: UUID | None, timestamp: datetime) -> None:
        self.state = ChatState(
            owner=owner,
            titled=self.state.titled,
            model=self.state.model,
            deleted=True,
            erased=True,
        )

    @event(Claimed)
    def _claimed(self, owner: UUID, previous_owner: UUID, timestamp: datetime) -> None:
        self.state.owner = owner

    @event(MessageSent)
    def _message_sent(
        self,
        message_id: UUID,
        parent_id: UUID | None,
        edit_of: UUID | None,
        content: str,
        client_message_id: str | None,
        timestamp: datetime,
    ) -> None:
        self._add(message_id, Node(parent_id, "user", "complete"))
        self._activate(message_id)

    @event(ReplyStarted)
    def _reply_started(
        self,
        reply_id: UUID,
        message_id: UUID,
        parent_id: UUID,
        kind: ReplyKind,
        replaces: UUID | None,
        model: str,
        payer: UUID,
        parameters: Parameters,
        leaf_id: UUID,
        timestamp: datetime,
    ) -> None:
        self._add(message_id, Node(parent_id, "assistant", "streaming"))
        self.state.reply = OpenReply(reply_id, message_id, kind, replaces, payer)
        self.state.model = model
        self._activate(leaf_id)

    @event(StopRequested)
    def _stop_requested(self, reply_id: UUID, timestamp: datetime) -> None:
        if self.state.reply is not None:
            self.state.reply.stop_requested = True

    @event(MessageCompleted)
    def _message_completed(
        self,
        reply_id: UUID,
        message_id: UUID,
        content: str,
        reasoning: str | None,
        model: str,
        finish_reason: str,
        usage: MessageUsage | None,
        leaf_id: UUID,
        timestamp: datetime,
    ) -> None:
        self._end(message_id, status_of(finish_reason), leaf_id)

    @event(MessageRegenerated)
    def _message_regenerated(
        self,
        reply_id: UUID,
        message_id: UUID,
        replaces: UUID,
        content: str,
        reasoning: str | None,
        model: str,
        finish_reason: str,
        usage: MessageUsage | None,
        leaf_id: UUID,
        timestamp: datetime,
    ) -> None:
        self._end(message_id, status_of(finish_reason), leaf_id)

    @event(ReplyFailed)
    def _reply_failed(
        self,
        reply_id: UUID,
        message_id: UUID,
        code: str,
        content: str,
        reasoning: str | None,
        usage: MessageUsage | None,
        timestamp: datetime,
    ) -> None:
        self._end(message_id, "failed", self.state.leaf_id)

    @event(ReplyInterrupted)
    def _reply_interrupted(
        self,
        reply_id: UUID,
        message_id: UUID,
        content: str,
        reasoning: str | None,
        usage: MessageUsage | None,
        timestamp: datetime,
    ) -> None:
        self._end(message_id, "interrupted", self.state.leaf_id)

    @event(BranchSelected)
    def _branch_selected(self, message_id: UUID, leaf_id: UUID, timestamp: datetime) -> None:
        self._activate(leaf_id)

    def _add(self, message_id: UUID, node: Node) -> None:
        self.state.messages[message_id] = node
        if node.parent_id is None:
            self.state.roots.append(message_id)
        else:
            self.state.messages[node.parent_id].children.append(message_id)

    def _end(self, message_id: UUID, status: Status, leaf_id: UUID | None) -> None:
        self.state.messages[message_id].status = status
        self.state.reply = None
        if leaf_id is not None:
            self._activate(leaf_id)

    def _activate(self, leaf_id: UUID) -> None:
        self.state.leaf_id = leaf_id
        child_id = leaf_id
        # Upwards only as far as the way is new: a message that follows the leaf is one step.
        while (parent_id := self.state.messages[child_id].parent_id) is not None:
            parent = self.state.messages[parent_id]
            if parent.active_child == child_id:
                return
            parent.active_child = child_id
            child_id = parent_id


def status_of(finish_reason: str) -> Status:
    """The status of a message whose reply ended with an answer."""
    return "stopped" if finish_reason == STOPPED else "complete"
