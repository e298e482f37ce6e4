"""The view of messages: their tree, their texts, each chat's active branch, and the replies.

A text comes when it is whole, so a message under way has none. A chat's rows go when it is
deleted, but for its replies: who follows one is still told how it ended.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, select, update

from application.ports import Recorded
from domain.chat import Chat, Role, status_of
from infrastructure.projections.columns import Id
from infrastructure.projections.message_tables import (
    BranchRow,
    MessageRow,
    ReplyRow,
    branch_rows,
    message_rows,
    messages,
    replies,
    reply_rows,
)
from infrastructure.projections.new_texts import NewText
from infrastructure.projections.search_words import term_of
from infrastructure.projections.texts import Move
from infrastructure.projections.view import Handlers, Storage

PREVIEW_LENGTH = 120

INTERRUPTED = "INTERRUPTED"
"""The code of a reply whose node went away."""

ReplyEnded = (
    Chat.MessageCompleted | Chat.MessageRegenerated | Chat.ReplyFailed | Chat.ReplyInterrupted
)


class Messages:
    name = "messages"

    def __init__(self, storage: Storage) -> None:
        self._connection = storage.connection
        self._texts = storage.texts
        self.messages = storage.rows(message_rows)
        self.branches = storage.rows(branch_rows)
        self.replies = storage.rows(reply_rows)
        self.texts: list[tuple[UUID, int, str, str | None]] = []
        """New ones: the chat, the message's number, content and reasoning."""
        self.indexed_for: dict[UUID, UUID] = {}
        """Of each chat that changed hands or went: whose it is in the search index."""
        self.deleted: dict[UUID, UUID] = {}
        """Chats that went, with their last owners."""
        self.handlers: Handlers = {
            Chat.Created: self.on_created,
            Chat.Claimed: self.on_claimed,
            Chat.Deleted: self.on_deleted,
            Chat.Erased: self.on_erased,
            Chat.MessageSent: self.on_message_sent,
            Chat.ReplyStarted: self.on_reply_started,
            Chat.MessageCompleted: self.on_message_completed,
            Chat.MessageRegenerated: self.on_message_completed,
            Chat.ReplyFailed: self.on_reply_failed,
            Chat.ReplyInterrupted: self.on_reply_interrupted,
            Chat.BranchSelected: self.on_branch_selected,
        }

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        new: set[UUID] = set()
        wanted_messages: set[UUID] = set()
        wanted_replies: set[UUID] = set()
        for recorded in batch:
            state = recorded.event.__dict__
            if isinstance(recorded.event, Chat.Created):
                new.add(recorded.stream_id)
            elif isinstance(recorded.event, Chat.MessageSent):
                new.add(state["message_id"])
            elif isinstance(recorded.event, Chat.ReplyStarted):
                new.update((state["message_id"], state["reply_id"]))
            wanted_messages.update(
                state[field] for field in ("message_id", "parent_id", "leaf_id") if field in state
            )
            if "reply_id" in state:
                wanted_replies.add(state["reply_id"])
        self.branches.prefetch({recorded.stream_id for recorded in batch} - new)
        self.messages.prefetch(wanted_messages - new - {None})
        self.replies.prefetch(wanted_replies - new - {None})

    # The chat

    def on_created(self, event: Chat.Created, recorded: Recorded) -> None:
        self.branches.add(recorded.stream_id, BranchRow(recorded.stream_id, event.owner))

    def on_claimed(self, event: Chat.Claimed, recorded: Recorded) -> None:
        self.branches.change(recorded.stream_id).owner = event.owner
        self.indexed_for.setdefault(recorded.stream_id, event.previous_owner)

    def on_deleted(self, event: Chat.Deleted | Chat.Erased, recorded: Recorded) -> None:
        chat_id = recorded.stream_id
        self.branches.remove(chat_id)
        self.indexed_for.setdefault(chat_id, event.owner)
        self.deleted[chat_id] = event.owner
        if event.reply_id is not None:
            self._end_reply(event.reply_id, recorded)

    def on_erased(self, event: Chat.Erased, recorded: Recorded) -> None:
        """As a deletion, where the chat was not deleted before."""
        if self.branches.find(recorded.stream_id) is not None:
            self.on_deleted(event, recorded)

    def on_branch_selected(self, event: Chat.BranchSelected, recorded: Recorded) -> None:
        self._point(recorded.stream_id, event.leaf_id)

    # Its messages

    def on_message_sent(self, event: Chat.MessageSent, recorded: Recorded) -> None:
        message = self._add_message(event.message_id, event.parent_id, "user", recorded)
        message.completed_at = event.timestamp
        self._add_text(message, event.content, None)
        self._point(recorded.stream_id, event.message_id)

    def on_reply_started(self, event: Chat.ReplyStarted, recorded: Recorded) -> None:
        message = self._add_message(event.message_id, event.parent_id, "assistant", recorded)
        message.status = "streaming"
        message.model = event.model
        self._point(recorded.stream_id, event.leaf_id)
        self._add_reply(event, recorded)

    def on_message_completed(
        self, event: Chat.MessageCompleted | Chat.MessageRegenerated, recorded: Recorded
    ) -> None:
        message = self._end_message(event, recorded)
        message.status = status_of(event.finish_reason)
        message.model = event.model
        message.finish_reason = event.finish_reason
        self._point(recorded.stream_id, event.leaf_id)

    def on_reply_failed(self, event: Chat.ReplyFailed, recorded: Recorded) -> None:
        message = self._end_message(event, recorded)
        message.status = "failed"
        message.error = event.code
        self._point(recorded.stream_id)

    def on_reply_interrupted(self, event: Chat.ReplyInterrupted, recorded: Recorded) -> None:
        message = self._end_message(event, recorded)
        message.status = "interrupted"
        message.error = INTERRUPTED
        self._point(recorded.stream_id)

    def _add_message(
        self, message_id: UUID, parent_id: UUID | None, role: Role, recorded: Recorded
    ) -> MessageRow:
        parent = self.messages.get(parent_id) if parent_id else None
        return self.messages.add(
            message_id,
            MessageRow(
                number=recorded.position,
                id=message_id,
                chat_id=recorded.stream_id,
                parent_key=parent_id or recorded.stream_id,
                role=role,
                depth=parent.depth + 1 if parent else 0,
                created_at=recorded.event.timestamp,
            ),
        )

    def _add_reply(self, event: Chat.ReplyStarted, recorded: Recorded) -> ReplyRow:
        return self.replies.add(
            event.reply_id,
            ReplyRow(
                id=event.reply_id,
                chat_id=recorded.stream_id,
                payer=event.payer,
                user_message_id=event.parent_id,
                message_id=event.message_id,
                kind=event.kind,
                replaces=event.replaces,
                started_at=event.timestamp,
                position=recorded.position,
            ),
        )

    def _end_message(self, event: ReplyEnded, recorded: Recorded) -> MessageRow:
        message = self.messages.change(event.message_id)
        message.completed_at = event.timestamp
        message.usage = msgspec.json.encode(event.usage) if event.usage else None
        if event.content or event.reasoning:
            self._add_text(message, event.content, event.reasoning)
        self._end_reply(event.reply_id, recorded)
        return message

    def _end_reply(self, reply_id: UUID, recorded: Recorded) -> None:
        reply = self.replies.change(reply_id)
        reply.ended_at = recorded.event.timestamp
        reply.position = recorded.position

    def _add_text(self, message: MessageRow, content: str, reasoning: str | None) -> None:
        self.texts.append((message.chat_id, message.number, content, reasoning))
        if content:
            message.preview = preview_of(content)

    def _point(self, chat_id: UUID, leaf_id: UUID | None = None) -> None:
        """Make the branch that ends in `leaf_id` active, or bring the active one up to date."""
        branch = self.branches.change(chat_id)
        branch.leaf_id = leaf_id or branch.leaf_id
        if branch.leaf_id is None:
            raise ValueError(f"chat {chat_id} has no message")
        last = self.messages.get(branch.leaf_id)
        branch.message_count = last.depth + 1
        # An answer without text follows a user's message, which has one.
        if last.preview is None and last.role == "assistant":
            last = self.messages.get(last.parent_key)
        branch.last_role, branch.last_preview = last.role, last.preview

    # Writing

    def flush(self) -> None:
        self._move_texts()
        self._delete_chats()
        self.hand_on_texts()
        for rows in (self.messages, self.branches, self.replies):
            rows.flush()
        self._leave_replies()
        self.indexed_for.clear()
        self.deleted.clear()

    def hand_on_texts(self) -> None:
        """Those that are new: `flush` does it too. Their chats have their owners by now."""
        self._texts.add(
            [
                NewText(number, term_of(self.branches.get(chat_id).owner), content, reasoning)
                for chat_id, number, content, reasoning in self.texts
            ]
        )
        self.texts.clear()

    def _move_texts(self) -> None:
        """Of chats that changed hands or went: still without this batch's texts."""
        moves: list[Move] = []
        for chat_id, owner in self.indexed_for.items():
            numbers = self._connection.scalars(_numbers_of_chat, {"of": chat_id}).all()
            branch = self.branches.find(chat_id)
            to = None if branch is None else term_of(branch.owner)
            moves.append(Move(list(numbers), term_of(owner), to))
        self._texts.move(moves)

    def _delete_chats(self) -> None:
        if self.deleted:
            self.messages.forget(lambda message: message.chat_id in self.deleted)
            self.texts = [text for text in self.texts if text[0] not in self.deleted]
            chats = [{"of": chat_id} for chat_id in self.deleted]
            self._connection.execute(_delete_messages, chats)

    def _leave_replies(self) -> None:
        if self.deleted:
            owners = [{"of": chat_id, "owner": owner} for chat_id, owner in self.deleted.items()]
            self._connection.execute(_leave_replies, owners)


_of_chat = bindparam("of", type_=Id)
_numbers_of_chat = select(messages.c.number).where(messages.c.chat_id == _of_chat)
_delete_messages = delete(messages).where(messages.c.chat_id == _of_chat)
_leave_replies = (
    update(replies)
    .where(replies.c.chat_id == _of_chat)
    .values(last_owner=bindparam("owner", type_=Id))
)


def preview_of(content: str) -> str:
    """The text's beginning on one line, to be shown in a list."""
    # Mostly no more is needed; where it has much empty space, it may be.
    line = " ".join(content[: PREVIEW_LENGTH + 20].split())
    if len(line) <= PREVIEW_LENGTH < len(content):
        line = " ".join(content[: 4 * PREVIEW_LENGTH].split())
    return line if len(line) <= PREVIEW_LENGTH else f"{line[: PREVIEW_LENGTH - 1]}…"
