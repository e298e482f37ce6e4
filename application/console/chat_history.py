"""A chat's past: its events one by one, and what it was after any of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from uuid import UUID

import msgspec

from application.console.answers import ChatAtPosition, MessageAt, Timeline, TimelineStep
from application.console.ports import LogPages, without_words
from application.ledger.event_fields import topic_of
from application.ledger.event_words import words_of
from application.ledger.folded import applied
from application.ledger.known import Known
from application.ledger.ports import EventFilter, StoredEvent
from application.ports import Recorded
from application.queries import decimal_of
from domain.chat import Chat, ChatNotFound

SHOWN_STEPS = 5_000
"""Events of a chat in its timeline."""

SHOWN_MESSAGES = 200
"""Messages of a chat as it was, the last ones of the branch."""

AT_ONCE = 1_000

Ended = Chat.MessageCompleted | Chat.MessageRegenerated | Chat.ReplyFailed | Chat.ReplyInterrupted


def timeline(log: LogPages, known: Known, chat_id: UUID) -> Timeline:
    """Raises ChatNotFound."""
    steps: list[TimelineStep] = []
    chat: Chat | None = None
    for recorded in islice(_events(log, chat_id, log.head()), SHOWN_STEPS + 1):
        chat = _after(chat, recorded, chat_id)
        steps.append(_step(recorded, known))
    if chat is None:
        raise ChatNotFound(chat_id)
    return Timeline(
        chat_id=chat_id,
        owner=known(chat.state.owner),
        deleted=chat.state.deleted,
        erased=chat.state.erased,
        steps=steps[:SHOWN_STEPS],
        truncated=len(steps) > SHOWN_STEPS,
    )


def _step(recorded: Recorded, known: Known) -> TimelineStep:
    actor = recorded.meta.actor
    return TimelineStep(
        position=recorded.position,
        version=recorded.version,
        topic=topic_of(recorded.event),
        at=recorded.recorded_at,
        actor=None if actor is None else known(actor),
        label=words_of(recorded.event, known),
    )


class _Message(msgspec.Struct):
    """What the aggregate does not keep of a message. `told_at` is where its words stand."""

    told_at: int | None
    at: datetime
    model: str | None = None
    cost: int | None = None


class _Past(msgspec.Struct):
    chat: Chat
    last: Recorded
    titled_at: int | None
    messages: dict[UUID, _Message]


def chat_at(log: LogPages, known: Known, chat_id: UUID, position: int) -> ChatAtPosition:
    """Raises ChatNotFound where it was not yet begun."""
    past = _past(log, chat_id, position)
    chat, state = past.chat, past.chat.state
    branch = list(_branch(chat))
    shown = branch[-SHOWN_MESSAGES:]
    told = [past.messages[message_id].told_at for message_id in shown]
    words = _words(log, [at for at in (past.titled_at, *told) if at is not None])
    return ChatAtPosition(
        chat_id=chat_id,
        position=past.last.position,
        version=past.last.version,
        at=past.last.recorded_at,
        owner=known(state.owner),
        title=words.get(past.titled_at),
        model=state.model,
        archived=state.archived,
        deleted=state.deleted,
        erased=state.erased,
        active_reply_id=state.reply.reply_id if state.reply else None,
        cost=decimal_of(sum(each.cost or 0 for each in past.messages.values())),
        earlier=len(branch) - len(shown),
        messages=[_message(chat, each, past.messages[each], words) for each in shown],
    )


def _past(log: LogPages, chat_id: UUID, position: int) -> _Past:
    """Everything but words: those of a long chat are not read for the few that are shown."""
    past: _Past | None = None
    for recorded in _events(log, chat_id, position):
        chat = _after(past.chat if past else None, recorded, chat_id)
        if past is None:
            past = _Past(chat, recorded, None, {})
        past.last = recorded
        _note(past, recorded)
    if past is None:
        raise ChatNotFound(chat_id)
    return past


def _note(past: _Past, recorded: Recorded) -> None:
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, Chat.Created | Chat.Renamed):
        past.titled_at = recorded.position
    elif isinstance(event, Chat.MessageSent):
        past.messages[event.message_id] = _Message(recorded.position, at)
    elif isinstance(event, Chat.ReplyStarted):
        past.messages[event.message_id] = _Message(None, at, event.model)
    elif isinstance(event, Ended):
        message = past.messages[event.message_id]
        message.told_at, message.at = recorded.position, at
        message.cost = event.usage.cost if event.usage else None
        if isinstance(event, Chat.MessageCompleted | Chat.MessageRegenerated):
            message.model = event.model


def _events(log: LogPages, chat_id: UUID, until: int) -> Iterator[Recorded]:
    after = 0
    while True:
        wanted = EventFilter(stream=chat_id, after=after, until=until)
        some = log.outlines(wanted, AT_ONCE)
        for stored in some:
            yield log.decoded(without_words(stored))
        if len(some) < AT_ONCE:
            return
        after = some[-1].position


def _after(before: Chat | None, recorded: Recorded, chat_id: UUID) -> Chat:
    chat = applied(before, recorded)
    if not isinstance(chat, Chat):
        raise ChatNotFound(chat_id)
    return chat


def _branch(chat: Chat) -> Sequence[UUID]:
    """From the first message to the active branch's last one."""
    upwards = []
    message_id = chat.state.leaf_id
    while message_id is not None:
        upwards.append(message_id)
        message_id = chat.state.messages[message_id].parent_id
    return upwards[::-1]


def _words(log: LogPages, positions: Sequence[int]) -> Mapping[int | None, str | None]:
    """What was written, by the position of its event; nothing of what was erased or is sealed."""
    words: dict[int | None, str | None] = {}
    for start in range(0, len(positions), AT_ONCE):
        for stored in log.at(positions[start : start + AT_ONCE]):
            if log.opens(stored):
                words[stored.position] = _written(log, stored)
    return words


def _written(log: LogPages, stored: StoredEvent) -> str | None:
    event = log.decoded(stored).event
    if isinstance(event, Chat.Created | Chat.Renamed):
        return event.title
    assert isinstance(event, Chat.MessageSent | Ended)
    return event.content


def _message(
    chat: Chat, message_id: UUID, kept: _Message, words: Mapping[int | None, str | None]
) -> MessageAt:
    node, versions = chat.state.messages[message_id], chat.versions(message_id)
    return MessageAt(
        id=message_id,
        role=node.role,
        status=node.status,
        content=words.get(kept.told_at),
        model=kept.model,
        at=kept.at,
        version=versions.index(message_id) + 1,
        versions=len(versions),
        cost=None if kept.cost is None else decimal_of(kept.cost),
    )
