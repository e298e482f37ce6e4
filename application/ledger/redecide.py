"""What an aggregate decides when it is asked again for what an event says it decided."""

from collections.abc import Callable
from typing import Any

from eventsourcing.domain import Aggregate

from application.ledger.event_fields import payload_fields
from domain.chat import STOPPED, Chat
from domain.refusal import Refusal
from domain.usage import Usage

SOMETHING = "…"
"""Stands for an answer whose words were erased, but which had some."""


class OutOfPlace(Refusal):
    """An event of another kind of stream, or the first one in the middle."""


def decide_again(before: Chat | Usage | None, event: Aggregate.Event, erased: bool) -> Chat | Usage:
    """The aggregate after its public method was called with the event's own arguments.

    What it decided is pending in it: the same event, another one, or none. `before` is changed,
    and None for the first event of a stream. `erased`: the personal fields are not known any more.
    Raises what the method refuses, and OutOfPlace.
    """
    if before is None:
        if isinstance(event, Chat.Created):
            return Chat.start(
                event.originator_id, event.owner, event.title, event.model, event.timestamp
            )
        if isinstance(event, Usage.Created):
            return Usage.open(event.originator_id, event.kind, event.currency, event.timestamp)
        raise OutOfPlace("a stream cannot begin with it")
    decide = (_CHAT if isinstance(before, Chat) else _USAGE).get(type(event))
    if decide is None:
        raise OutOfPlace("it is of another kind of stream, or a beginning")
    decide(before, event, erased)
    return before


def difference(event: Aggregate.Event, made: Aggregate.Event, erased: bool) -> str | None:
    """The name of the first field in which they differ; "topic" for another kind of event."""
    if type(event) is not type(made):
        return "topic"
    if not erased and event.__dict__ == made.__dict__:
        return None
    compared = payload_fields(type(event)) if erased else tuple(event.__dict__)
    for name in compared:
        if event.__dict__[name] != made.__dict__.get(name):
            return name
    return None


def _send(chat: Chat, event: Chat.MessageSent, erased: bool) -> None:
    place = None if event.edit_of is not None else event.parent_id
    chat.send(
        event.message_id,
        event.content,
        event.timestamp,
        parent_id=place,
        edit_of=event.edit_of,
        client_message_id=event.client_message_id,
    )


def _start_reply(chat: Chat, event: Chat.ReplyStarted, erased: bool) -> None:
    asked = (event.model, event.payer, event.parameters, event.timestamp)
    if event.kind == "regenerate" and event.replaces is not None:
        chat.regenerate(event.reply_id, event.message_id, event.replaces, *asked)
    else:
        chat.start_reply(event.reply_id, event.message_id, event.parent_id, *asked)


def _complete(
    chat: Chat, event: Chat.MessageCompleted | Chat.MessageRegenerated, erased: bool
) -> None:
    content = event.content
    if erased and event.finish_reason == STOPPED and event.leaf_id == event.message_id:
        # Whether a stopped answer had words decides which version stays active.
        content = SOMETHING
    chat.complete_reply(
        event.reply_id,
        content,
        event.reasoning,
        event.model,
        event.finish_reason,
        event.usage,
        event.timestamp,
    )


def _fail(chat: Chat, event: Chat.ReplyFailed, erased: bool) -> None:
    chat.fail_reply(
        event.reply_id, event.code, event.content, event.reasoning, event.usage, event.timestamp
    )


def _interrupt(chat: Chat, event: Chat.ReplyInterrupted, erased: bool) -> None:
    chat.interrupt_reply(
        event.reply_id, event.content, event.reasoning, event.usage, event.timestamp
    )


def _top_up(usage: Usage, event: Usage.ToppedUp, erased: bool) -> None:
    usage.top_up(event.amount, event.source, event.reference, event.timestamp)


def _hold_amount(usage: Usage, event: Usage.AmountHeld, erased: bool) -> None:
    usage.hold_amount(event.hold_id, event.chat_id, event.amount, event.quote, event.timestamp)


def _hold_allowance(usage: Usage, event: Usage.AllowanceHeld, erased: bool) -> None:
    usage.hold_allowance(
        event.hold_id,
        event.chat_id,
        event.amount,
        event.quote,
        event.limit,
        event.resets_at,
        event.timestamp,
    )


_Decide = Callable[[Any, Any, bool], object]

_CHAT: dict[type[Aggregate.Event], _Decide] = {
    Chat.Renamed: lambda chat, event, _: chat.rename(event.title, event.timestamp),
    Chat.ArchiveChanged: lambda chat, e, _: chat.set_archived(e.archived, e.timestamp),
    Chat.Deleted: lambda chat, event, _: chat.delete(event.timestamp),
    Chat.Erased: lambda chat, event, _: chat.erase(event.timestamp),
    Chat.Claimed: lambda chat, event, _: chat.claim(event.owner, event.timestamp),
    Chat.MessageSent: _send,
    Chat.ReplyStarted: _start_reply,
    Chat.StopRequested: lambda chat, e, _: chat.request_stop(e.reply_id, e.timestamp),
    Chat.MessageCompleted: _complete,
    Chat.MessageRegenerated: _complete,
    Chat.ReplyFailed: _fail,
    Chat.ReplyInterrupted: _interrupt,
    Chat.BranchSelected: lambda chat, e, _: chat.select_branch(e.message_id, e.timestamp),
}

_USAGE: dict[type[Aggregate.Event], _Decide] = {
    Usage.ToppedUp: _top_up,
    Usage.AmountHeld: _hold_amount,
    Usage.AllowanceHeld: _hold_allowance,
    Usage.HoldSettled: lambda usage, e, _: usage.settle(
        e.hold_id, e.chat_id, e.consumption, e.timestamp
    ),
    Usage.HoldReleased: lambda usage, e, _: usage.release(
        e.hold_id, e.chat_id, e.reason, e.timestamp
    ),
    Usage.PrincipalErased: lambda usage, e, _: usage.erase(e.chats, e.timestamp),
}
