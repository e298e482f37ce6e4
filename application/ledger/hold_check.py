"""Whether money and replies go together: a hold with each reply, and both ended as one.

Which events were one append is not recorded, but an append lies in one piece and has one
correlation. A run of events with the same correlation is taken for one.
"""

from collections.abc import Callable
from uuid import UUID

import msgspec

from application.ports import Recorded
from domain.chat import Chat, MessageUsage, OpenReply
from domain.usage import Usage

MONEY = frozenset(
    {
        Usage.Created,
        Usage.ToppedUp,
        Usage.AmountHeld,
        Usage.AllowanceHeld,
        Usage.HoldSettled,
        Usage.HoldReleased,
        Usage.PrincipalErased,
    }
)


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with an event. `rule` is stable, `words` are for people."""

    position: int
    stream_id: UUID
    rule: str
    words: str


class Tally(msgspec.Struct):
    """An account's money by plain sums over its events, in nanos."""

    topped_up: int = 0
    charged: int = 0
    reserved: int = 0

    @property
    def balance(self) -> int:
        return self.topped_up - self.charged

    def differs_from(self, usage: Usage) -> bool:
        return self.balance != usage.balance or self.reserved != usage.reserved


class _Hold(msgspec.Struct, frozen=True):
    position: int
    account: UUID
    chat_id: UUID
    amount: int
    reserves: bool
    """It takes from a balance, not from an allowance."""


class _Started(msgspec.Struct, frozen=True):
    position: int
    chat_id: UUID
    payer: UUID


class _Ended(msgspec.Struct, frozen=True):
    """`payer` and `usage` are None where the event before or the end itself does not say."""

    position: int
    chat_id: UUID
    payer: UUID | None
    usage: MessageUsage | None


class _HoldEnded(msgspec.Struct, frozen=True):
    position: int
    account: UUID
    chat_id: UUID
    billed: int | None
    """What was billed, None where the hold was released."""


class HoldCheck:
    """Sees each event once, in order, and then the end of the log."""

    def __init__(self, found: Callable[[Finding], None]) -> None:
        self._found = found
        self.tallies: dict[UUID, Tally] = {}
        self._open_holds: dict[UUID, _Hold] = {}
        self._open_replies: set[UUID] = set()
        self._correlation: UUID | None = None
        # Of the append at hand, by the reply's id; pairs that are complete are gone.
        self._started: dict[UUID, _Started] = {}
        self._held: dict[UUID, _Hold] = {}
        self._ended: dict[UUID, _Ended] = {}
        self._holds_ended: dict[UUID, _HoldEnded] = {}

    def see(self, recorded: Recorded, reply: OpenReply | None) -> None:
        """`reply` is the one open in the event's chat before it."""
        if recorded.meta.correlation != self._correlation:
            self._end_append()
            self._correlation = recorded.meta.correlation
        event, stream_id = recorded.event, recorded.stream_id
        if type(event) in MONEY:
            self._see_money(recorded)
        elif isinstance(event, Chat.ReplyStarted):
            self._open_replies.add(event.reply_id)
            started = _Started(recorded.position, stream_id, event.payer)
            if hold := self._held.pop(event.reply_id, None):
                self._pair(started, hold)
            else:
                self._started[event.reply_id] = started
        elif (reply_id := _ended_reply(event)) is not None:
            self._open_replies.discard(reply_id)
            payer = reply.payer if reply is not None and reply.reply_id == reply_id else None
            usage = getattr(event, "usage", None)
            ended = _Ended(recorded.position, stream_id, payer, usage)
            if hold_ended := self._holds_ended.pop(reply_id, None):
                self._pair_ends(ended, hold_ended)
            else:
                self._ended[reply_id] = ended

    def end(self) -> None:
        """The log ends here."""
        self._end_append()
        for hold_id, hold in self._open_holds.items():
            if hold_id not in self._open_replies:
                self._tell(
                    hold, "hold-open", f"hold {hold_id} has no end, and its reply is not open"
                )

    def _see_money(self, recorded: Recorded) -> None:
        event, account = recorded.event, recorded.stream_id
        tally = self.tallies.setdefault(account, Tally())
        before = min(tally.balance, tally.balance - tally.reserved)
        if isinstance(event, Usage.ToppedUp):
            tally.topped_up += event.amount
        elif isinstance(event, Usage.AmountHeld | Usage.AllowanceHeld):
            self._see_hold(event, recorded, tally)
        elif isinstance(event, Usage.HoldSettled | Usage.HoldReleased):
            self._see_hold_end(event, recorded, tally)
        after = min(tally.balance, tally.balance - tally.reserved)
        if after < 0 and after < before:
            words = f"the account stands at {tally.balance}, {tally.reserved} of it reserved"
            self._found(Finding(recorded.position, account, "negative-balance", words))

    def _see_hold(
        self, event: Usage.AmountHeld | Usage.AllowanceHeld, recorded: Recorded, tally: Tally
    ) -> None:
        reserves = isinstance(event, Usage.AmountHeld)
        hold = _Hold(recorded.position, recorded.stream_id, event.chat_id, event.amount, reserves)
        self._open_holds[event.hold_id] = hold
        if reserves:
            tally.reserved += event.amount
        if started := self._started.pop(event.hold_id, None):
            self._pair(started, hold)
        else:
            self._held[event.hold_id] = hold

    def _see_hold_end(
        self, event: Usage.HoldSettled | Usage.HoldReleased, recorded: Recorded, tally: Tally
    ) -> None:
        hold = self._open_holds.pop(event.hold_id, None)
        if hold is not None and hold.reserves:
            tally.reserved -= hold.amount
        billed = None
        if isinstance(event, Usage.HoldSettled):
            tally.charged += event.charged
            billed = min(event.cost, hold.amount) if hold is not None else event.charged
        ended = _HoldEnded(recorded.position, recorded.stream_id, event.chat_id, billed)
        if reply_ended := self._ended.pop(event.hold_id, None):
            self._pair_ends(reply_ended, ended)
        else:
            self._holds_ended[event.hold_id] = ended

    def _pair(self, started: _Started, hold: _Hold) -> None:
        if (started.payer, started.chat_id) != (hold.account, hold.chat_id):
            words = f"held on {hold.account} for chat {hold.chat_id}; the reply says otherwise"
            self._tell(hold, "payer", words)

    def _pair_ends(self, ended: _Ended, hold: _HoldEnded) -> None:
        if (ended.payer or hold.account, ended.chat_id) != (hold.account, hold.chat_id):
            words = f"ended on {hold.account} for chat {hold.chat_id}; the reply says otherwise"
            self._tell(hold, "payer", words)
        billed = hold.billed
        if ended.usage is not None and billed is not None and ended.usage.cost != billed:
            words = f"{billed} was billed where the message says {ended.usage.cost}"
            self._tell(hold, "message-cost", words)

    def _end_append(self) -> None:
        """Nothing more comes of the append: what has no counterpart in it is told."""
        for reply_id, started in self._started.items():
            words = f"reply {reply_id} began, and nothing was held for it in the same append"
            self._found(Finding(started.position, started.chat_id, "reply-without-hold", words))
        for hold_id, hold in self._held.items():
            words = f"hold {hold_id} was taken, and no reply began in the same append"
            self._tell(hold, "hold-without-reply", words)
        for reply_id, ended in self._ended.items():
            if reply_id in self._open_holds:
                words = f"reply {reply_id} ended, and its hold did not in the same append"
                self._found(Finding(ended.position, ended.chat_id, "hold-end-apart", words))
        for hold_id, hold_ended in self._holds_ended.items():
            words = f"hold {hold_id} ended, and its reply did not in the same append"
            self._tell(hold_ended, "hold-end-apart", words)
        for noted in (self._started, self._held, self._ended, self._holds_ended):
            noted.clear()

    def _tell(self, hold: _Hold | _HoldEnded, rule: str, words: str) -> None:
        self._found(Finding(hold.position, hold.account, rule, words))


def _ended_reply(event: object) -> UUID | None:
    if isinstance(
        event,
        Chat.MessageCompleted
        | Chat.MessageRegenerated
        | Chat.ReplyFailed
        | Chat.ReplyInterrupted
        | Chat.Deleted
        | Chat.Erased,
    ):
        return event.reply_id
    return None
