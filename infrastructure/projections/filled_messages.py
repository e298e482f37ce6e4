"""The view of messages over a set that is being filled, where each chat's fate is known."""

from application.ports import Recorded
from domain.chat import Chat
from infrastructure.projections.fates import Fates
from infrastructure.projections.message_tables import BranchRow
from infrastructure.projections.messages import Messages, ReplyEnded
from infrastructure.projections.view import Handlers, Storage


class FilledMessages(Messages):
    """Chats have whom they end with from the beginning, so that nothing ever changes hands."""

    def __init__(self, storage: Storage, fates: Fates) -> None:
        super().__init__(storage)
        self._fates = fates
        self.handlers_of_gone: Handlers = {
            Chat.Deleted: self.on_gone,
            Chat.Erased: self.on_gone,
            Chat.ReplyStarted: self.on_reply_started_in_gone,
            Chat.MessageCompleted: self.on_reply_ended_in_gone,
            Chat.MessageRegenerated: self.on_reply_ended_in_gone,
            Chat.ReplyFailed: self.on_reply_ended_in_gone,
            Chat.ReplyInterrupted: self.on_reply_ended_in_gone,
        }
        """In place of `handlers` for chats that go: of them only the replies stay."""

    def on_created(self, event: Chat.Created, recorded: Recorded) -> None:
        owner = self._fates.owners.get(recorded.stream_id, event.owner)
        self.branches.add(recorded.stream_id, BranchRow(recorded.stream_id, owner))

    def on_claimed(self, event: Chat.Claimed, recorded: Recorded) -> None: ...

    def on_reply_started_in_gone(self, event: Chat.ReplyStarted, recorded: Recorded) -> None:
        self._add_reply(event, recorded).last_owner = self._fates.gone[recorded.stream_id]

    def on_reply_ended_in_gone(self, event: ReplyEnded, recorded: Recorded) -> None:
        self._end_reply(event.reply_id, recorded)

    def on_gone(self, event: Chat.Deleted | Chat.Erased, recorded: Recorded) -> None:
        """Also of an erasure after the deletion: no reply is under way in one then."""
        if event.reply_id is not None:
            self._end_reply(event.reply_id, recorded)
