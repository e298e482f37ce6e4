"""What the tests of the views start from: aggregates whose events are projected as they come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast
from uuid import UUID, uuid4

from eventsourcing.domain import Aggregate
from sqlalchemy import text

from application.ports import Meta, Recorded
from domain.chat import Chat, MessageUsage, Parameters
from domain.usage import Consumption, Price, Quote, Usage
from infrastructure.projections.all_views import VIEWS
from infrastructure.projections.generation import Generation
from infrastructure.projections.projector import Projector
from infrastructure.projections.view import ViewOf
from tests.projections.places import Place, opened

T = TypeVar("T")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
META = Meta(UUID(int=1))
PRICE = Price(1_000_000_000, 2_000_000_000, "test")
QUOTE = Quote("model", PRICE, 10, 20)
CONSUMPTION = Consumption("model", PRICE, 10, 5, estimated=False)
USAGE = MessageUsage(10, 5, 20_000, "USD", False, "test")


class Given:
    """A set of views, and the log they follow, which lives only in memory."""

    def __init__(self, generation: Generation, views: tuple[ViewOf, ...]) -> None:
        self.generation = generation
        self.projector = Projector(generation.writing, views)
        self.projector.load()
        self.log: list[Recorded] = []
        self.time = NOW

    def later(self, seconds: float = 1) -> datetime:
        """The time goes on, and what it is now."""
        self.time += timedelta(seconds=seconds)
        return self.time

    def record(self, *aggregates: Chat | Usage) -> list[Recorded]:
        """The pending events, as the log would hold them."""
        recorded = []
        for event in (event for each in aggregates for event in each.collect_events()):
            event = cast(Aggregate.Event, event)
            position = len(self.log) + 1
            self.log.append(
                Recorded(
                    position,
                    event.originator_id,
                    event.originator_version,
                    event,
                    META,
                    event.timestamp,
                )
            )
            recorded.append(self.log[-1])
        return recorded

    def happened(self, *aggregates: Chat | Usage) -> int:
        """Record the pending events and project them; returns the position."""
        recorded = self.record(*aggregates)
        return self.projector.apply(recorded) if recorded else self.projector.position

    def rows(self, table: str) -> int:
        count = text(f"SELECT count(*) FROM {table}")
        return int(self.read(lambda connection: connection.execute(count).scalar_one()))

    def read(self, query: Callable[..., T], *arguments: object) -> T:
        with self.generation.reading.begin() as connection:
            return query(connection, *arguments)

    # A conversation

    def chat(self, owner: UUID | None = None, title: str | None = "A title") -> Chat:
        chat = Chat.start(uuid4(), owner or uuid4(), title, None, self.later())
        self.happened(chat)
        return chat

    def sent(
        self,
        chat: Chat,
        content: str,
        parent_id: UUID | None = None,
        edit_of: UUID | None = None,
    ) -> UUID:
        """A user's message; its id."""
        message_id = uuid4()
        chat.send(message_id, content, self.later(), parent_id=parent_id, edit_of=edit_of)
        self.happened(chat)
        return message_id

    def started(self, chat: Chat, parent_id: UUID, model: str = "model") -> tuple[UUID, UUID]:
        """An answer under way; the ids of the reply and of its message."""
        reply_id, message_id = uuid4(), uuid4()
        chat.start_reply(
            reply_id,
            message_id,
            parent_id,
            model,
            chat.state.owner,
            Parameters(max_tokens=20),
            self.later(),
        )
        self.happened(chat)
        return reply_id, message_id

    def restarted(self, chat: Chat, replaces: UUID) -> tuple[UUID, UUID]:
        """Another version under way; the ids of the reply and of its message."""
        reply_id, message_id = uuid4(), uuid4()
        chat.regenerate(
            reply_id,
            message_id,
            replaces,
            "model",
            chat.state.owner,
            Parameters(max_tokens=20),
            self.later(),
        )
        self.happened(chat)
        return reply_id, message_id

    def completed(
        self, chat: Chat, reply_id: UUID, content: str = "Hello", finish_reason: str = "stop"
    ) -> None:
        chat.complete_reply(
            reply_id, content, None, "answering", finish_reason, USAGE, self.later()
        )
        self.happened(chat)

    def turn(
        self, chat: Chat, question: str, answer: str, parent_id: UUID | None = None
    ) -> tuple[UUID, UUID]:
        """A message and its whole answer; the ids of both."""
        asked = self.sent(chat, question, parent_id)
        reply_id, answered = self.started(chat, asked)
        self.completed(chat, reply_id, answer)
        return asked, answered


@contextmanager
def given_views(place: Place, views: tuple[ViewOf, ...] = VIEWS) -> Iterator[Given]:
    generation = opened(place, "a-log")
    try:
        yield Given(generation, views)
    finally:
        generation.close()
