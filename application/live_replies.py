"""The port to replies under way: their text while it grows, and how they end."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from application.ports import Lease
from application.queries import MessageHead
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


class FollowedReply(Protocol):
    """The text of one reply under way: UTF-8, append-only, addressed by offsets in bytes.

    Offsets always fall between code points. `ending` is set once, after the terminal append; one
    that has ended without it ended elsewhere, and the log has the end and maybe more of the text.
    """

    text: bytearray
    reasoning: bytearray
    ending: "Ending | None"

    @property
    def ended(self) -> bool: ...

    async def beyond(
        self,
        text_offset: int,
        reasoning_offset: int,
        at_once: Callable[[], bool] | None = None,
    ) -> None:
        """Return once there is more than at these offsets, or the reply has ended.

        `at_once` is called at each moment when there is more, before anybody else runs. While it
        says True, that it has dealt with it, the wait goes on; what it raises, the wait raises.
        """
        ...


class LiveReply(FollowedReply, Protocol):
    """The same for who answers it."""

    started: StartedReply

    def append(self, text: str, reasoning: str) -> None: ...

    def end(self, ending: "Ending | None") -> None:
        """Wake all followers for good; None sends them to the log (the node lost the reply)."""
        ...


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply ended, as its followers are told. `error` is a code, None for an answer."""

    position: int
    content: str
    message: MessageHead
    error: str | None = None


class LiveReplies(Protocol):
    def open(self, started: StartedReply) -> LiveReply: ...

    def find(self, reply_id: UUID) -> LiveReply | None:
        """A reply that this node answers."""
        ...

    def follow(self, reply_id: UUID) -> AbstractAsyncContextManager[FollowedReply]:
        """A reply of any node, for as long as the context is open.

        It may fall behind the reply and catch up; one that nobody answers has ended.
        """
        ...

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

    def next_token(self, seconds: float) -> None:
        """`seconds` after the one before it."""
        ...

    def reply_ended(self, started: StartedReply, outcome: str, cause: str | None) -> None: ...

    def fault(self, where: str, error: BaseException, reply_id: UUID | None = None) -> None:
        """A bug or a broken engine: logged with its traceback, and counted."""
        ...
