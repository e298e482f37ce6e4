"""The port to replies under way: their text while it grows, and how they end."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from application.ports import Lease
from application.queries import MessageView
from domain.chat import ReplyKind


class StartedReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply from its append on; also what is remembered of the command that started it."""

    reply_id: UUID
    chat_id: UUID
    user_message_id: UUID
    message_id: UUID
    kind: ReplyKind
    replaces: UUID | None
    model: str
    payer: UUID
    started_at: datetime


class LiveReply(Protocol):
    """The text of one reply under way: UTF-8, append-only, addressed by offsets in bytes.

    Offsets always fall between code points. `ending` is set once, after the terminal append.
    """

    started: StartedReply
    text: bytearray
    reasoning: bytearray
    ending: "Ending | None"

    def append(self, text: str, reasoning: str) -> None: ...

    def end(self, ending: "Ending | None") -> None:
        """Wake all followers for good; None sends them to the log (the node lost the reply)."""
        ...

    @property
    def ended(self) -> bool: ...

    async def beyond(self, text_offset: int, reasoning_offset: int) -> None:
        """Return once there is more than at these offsets, or the reply has ended."""
        ...


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply ended, as its followers are told. `error` is a code, None for an answer."""

    position: int
    content: str
    message: MessageView
    error: str | None = None


class LiveReplies(Protocol):
    def open(self, started: StartedReply) -> LiveReply: ...

    def find(self, reply_id: UUID) -> LiveReply | None: ...

    def close(self, reply_id: UUID) -> None:
        """Forget an ended reply; those who follow it keep what they hold."""
        ...


class LeaseHolder(Protocol):
    @property
    def lease(self) -> Lease: ...


class Observer(Protocol):
    """What the operator is told of replies; never contents."""

    def reply_started(self, started: StartedReply) -> None: ...

    def first_token(self, started: StartedReply, seconds: float) -> None: ...

    def reply_ended(self, started: StartedReply, outcome: str, cause: str | None) -> None: ...

    def fault(self, where: str, error: BaseException, reply_id: UUID | None = None) -> None:
        """A bug or a broken engine: logged with its traceback, and counted."""
        ...
