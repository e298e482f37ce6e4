"""What must be true of every run, whatever happened in it."""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate

from application.checkpoints import SHOWN_AHEAD
from application.ports import Recorded
from domain.chat import STOPPED, Chat
from domain.usage import Usage
from tests.faults.people import Person, Seen
from tests.faults.reading import BrokenPromiseError, Reading
from tests.faults.world import World

CHECKPOINT_WITHIN = SHOWN_AHEAD + 0.5
"""Seconds of text that a crash may take, and what a busy machine delays."""

PAUSED = 0.25
"""Seconds. No text that is under way comes as slowly as that."""

ENDS = (
    Chat.MessageCompleted,
    Chat.MessageRegenerated,
    Chat.ReplyFailed,
    Chat.ReplyInterrupted,
)
NANOS = Decimal(10) ** -9

ONE_TWO = "One two "
FAULTS: dict[str, tuple[str | None, str]] = {
    "cut": ("PROVIDER_ERROR", ONE_TWO),
    "cut-clean": ("PROVIDER_ERROR", ONE_TWO),
    "malformed": ("PROVIDER_ERROR", "One "),
    "midstream-error": ("PROVIDER_ERROR", "One "),
    "refuse-500": ("PROVIDER_ERROR", ""),
    "rate-limited-429": ("PROVIDER_RATE_LIMITED", ""),
    "stall-first": ("PROVIDER_TIMEOUT", ""),
    "stall-middle": ("PROVIDER_TIMEOUT", ONE_TWO),
    "content-filter": ("CONTENT_FILTERED", ""),
    "content-filter-late": (None, ONE_TWO),
    "no-usage": (None, ONE_TWO),
    "negative-usage": (None, ONE_TWO),
    "absurd-usage": (None, ONE_TWO),
    "surrogate": (None, "a\ufffdbpair 😀 end"),
}


class Ended:
    """A reply as the log tells it."""

    def __init__(self, started: Chat.ReplyStarted, owner_stream: UUID) -> None:
        self.started = started
        self.chat_id = owner_stream
        self.user_content = ""
        self.ends: list[Recorded] = []

    @property
    def content(self) -> str | None:
        """The stored text; None where the chat's deletion ended it."""
        return getattr(self.ends[0].event, "content", None)

    @property
    def outcome(self) -> str:
        event = self.ends[0].event
        if isinstance(event, Chat.ReplyFailed):
            return event.code
        if isinstance(event, Chat.ReplyInterrupted):
            return "INTERRUPTED"
        if isinstance(event, Chat.Deleted):
            return "CHAT_NOT_FOUND"
        return str(getattr(event, "finish_reason", ""))


class Told:
    """The log's part that a run has made."""

    def __init__(self, world: World, seen: Seen, streams: dict[UUID, list[Recorded]]) -> None:
        ids = {
            (kind, name): raw if isinstance(raw, UUID) else UUID(hex=raw)
            for raw, kind, name in world.rows("SELECT id, kind, name FROM principals")
        }
        self.accounts = {
            person.name: ids.get(("user" if person.is_user else "anonymous", person.sub))
            for person in seen.people.values()
        }
        owners = {account for account in self.accounts.values() if account is not None}
        self.streams = streams
        self.chats = {
            stream_id
            for stream_id, recorded in streams.items()
            if isinstance(recorded[0].event, Chat.Created) and recorded[0].event.owner in owners
        }
        self.replies: dict[str, Ended] = {}
        self.contents: dict[str, int] = {}
        for chat_id in self.chats:
            self._read_chat(chat_id)

    def _read_chat(self, chat_id: UUID) -> None:
        said: dict[UUID, str] = {}
        for recorded in self.streams[chat_id]:
            event = recorded.event
            if isinstance(event, Chat.MessageSent):
                said[event.message_id] = event.content
                self.contents[event.content] = self.contents.get(event.content, 0) + 1
            elif isinstance(event, Chat.ReplyStarted):
                ended = Ended(event, chat_id)
                ended.user_content = said[event.parent_id]
                self.replies[str(event.reply_id)] = ended
            elif isinstance(event, ENDS) or (isinstance(event, Chat.Deleted) and event.reply_id):
                self.replies[str(event.reply_id)].ends.append(recorded)

    def account(self, person: Person) -> list[Recorded]:
        account = self.accounts[person.name]
        return self.streams.get(account, []) if account else []


def check_log(seen: Seen, told: Told, calls_of: Mapping[str, int]) -> None:
    """One end a reply, one message and one model call a request, and nothing unasked for."""
    for reply_id, ended in told.replies.items():
        if len(ended.ends) != 1:
            raise BrokenPromiseError(f"reply {reply_id} has {len(ended.ends)} ends")
    for reply_id in seen.replies:
        if reply_id not in told.replies:
            raise BrokenPromiseError(f"the acknowledged reply {reply_id} is not in the log")
    unasked = told.replies.keys() - seen.replies.keys()
    if len(unasked) > seen.unanswered:
        contents = {reply_id: told.replies[reply_id].user_content[:80] for reply_id in unasked}
        raise BrokenPromiseError(
            f"{len(unasked)} replies that nobody was told of, {contents}, where"
            f" {seen.unanswered} requests were left without an answer"
        )
    for content, count in told.contents.items():
        if count != 1:
            raise BrokenPromiseError(f"{count} messages {content!r}")
    replies_of: dict[str, list[Ended]] = {}
    for ended in told.replies.values():
        replies_of.setdefault(ended.user_content.split(" ", 1)[0], []).append(ended)
    for marker, replies in replies_of.items():
        calls = calls_of[marker]
        # One that was ended at once, or whose server died, may not have got to its model.
        least = sum(ended.outcome in ("stop", "length") for ended in replies)
        if not least <= calls <= len(replies):
            raise BrokenPromiseError(f"{calls} model calls for {len(replies)} replies to {marker}")
    for chat_id in told.chats:
        _folded(told.streams[chat_id])


def check_outcomes(seen: Seen, told: Told, slow_start: bool) -> None:
    """Each reply came to what its upstream did, unless somebody or something cut it."""
    for reply_id, ended in told.replies.items():
        outcome, content = ended.outcome, ended.content
        seen.counts[f"end {outcome}"] += 1
        code, text = _expected(ended.user_content)
        if outcome == "CHAT_NOT_FOUND" or content is None:
            continue
        if outcome in (STOPPED, "INTERRUPTED", "length"):
            if not text.startswith(content):
                raise BrokenPromiseError(
                    f"reply {reply_id} stopped with {content[:80]!r}, not of {text[:80]!r}"
                )
        elif slow_start and outcome == "PROVIDER_TIMEOUT":
            continue
        elif code is not None and outcome == code:
            # What was under way when the provider broke off may be lost.
            if not text.startswith(content):
                raise BrokenPromiseError(f"reply {reply_id} failed with {content[:80]!r}")
        elif code is not None or outcome not in ("stop", "content_filter"):
            raise BrokenPromiseError(
                f"reply {reply_id} ended in {outcome}, not {code}: {ended.user_content!r}"
            )
        elif content != text:
            raise BrokenPromiseError(f"reply {reply_id} says {content[:80]!r}, not {text[:80]!r}")


def _expected(message: str) -> tuple[str | None, str]:
    script = re.search(r"\[\[([\w.-]+)\]\]", message)
    name = script[1] if script else ""
    if name in FAULTS:
        return FAULTS[name]
    if tokens := re.match(r"tokens-(\d+)", name):
        return None, "".join(f"t{n} " for n in range(int(tokens[1])))
    return None, message


def check_readings(seen: Seen, told: Told, may_lose: bool) -> float:
    """What clients read is what is stored. Returns the most seconds of text that a crash took.

    `may_lose`: a node went down, or may have been taken for dead by the others.
    """
    lost = 0.0
    for reading in seen.readings:
        known = seen.replies.get(reading.reply_id)
        ended = told.replies[reading.reply_id]
        if known is not None and str(ended.chat_id) != known.chat_id:
            raise BrokenPromiseError(f"reply {reading.reply_id} is of another chat")
        lost = max(lost, _check_reading(reading, ended, may_lose))
    return lost


def _check_reading(reading: Reading, ended: Ended, may_lose: bool) -> float:
    content, terminal = ended.content, reading.terminal
    where = f"reply {reading.reply_id} ({ended.outcome})"
    if content is None:  # its chat was deleted in mid-reply: there is nothing stored to compare
        if terminal is not None and terminal.get("code") != "CHAT_NOT_FOUND":
            raise BrokenPromiseError(
                f"{where} was told as {reading.terminal_name} {terminal.get('code')}"
            )
        return 0.0
    if terminal is not None and terminal.get("code") == "CHAT_NOT_FOUND":
        if not content.startswith(reading.text) and ended.outcome != "INTERRUPTED":
            raise BrokenPromiseError(f"{where} was read as {reading.text[:80]!r}")
        return 0.0
    if terminal is not None:
        _check_terminal(reading, ended, where)
    if ended.outcome == "INTERRUPTED":
        if not (reading.text.startswith(content) or content.startswith(reading.text)):
            raise BrokenPromiseError(
                f"{where}: {reading.text[:80]!r} is no beginning of {content[:80]!r}"
            )
        if terminal is not None and len(reading.text) < len(content):
            raise BrokenPromiseError(
                f"{where}: {len(reading.text)} of {len(content)} characters were read"
            )
        return _lost(reading, len(content), may_lose, where)
    if terminal is not None and reading.text != content:
        raise BrokenPromiseError(
            f"{where} was read as {reading.text[-80:]!r}, is {content[-80:]!r}"
        )
    if not content.startswith(reading.text):
        raise BrokenPromiseError(
            f"{where}: {reading.text[-80:]!r} is no beginning of {content[-80:]!r}"
        )
    return 0.0


def _check_terminal(reading: Reading, ended: Ended, where: str) -> None:
    terminal = reading.terminal
    if terminal["content"] != ended.content:
        raise BrokenPromiseError(f"{where} was told with {terminal['content'][:80]!r}")
    if terminal["position"] != ended.ends[0].position:
        raise BrokenPromiseError(
            f"{where} is of {ended.ends[0].position}, told as {terminal['position']}"
        )
    told = terminal.get("code") or terminal.get("finish_reason")
    if told != ended.outcome:
        raise BrokenPromiseError(f"{where} was told as {told}")
    regenerated = ended.started.kind == "regenerate"
    name = "assistant_regenerated" if regenerated else "assistant_complete"
    if reading.terminal_name not in (name, "assistant_error"):
        raise BrokenPromiseError(f"{where} was told by {reading.terminal_name}")


def _lost(reading: Reading, kept: int, may_lose: bool, where: str) -> float:
    """Seconds of text that were read and not kept, without the pause that its node was in."""
    times = [at for at, length in reading.arrived if length > kept]
    if not times:
        return 0.0
    lost = sum(min(later - at, PAUSED) for at, later in pairwise(times))
    if not may_lose or lost > CHECKPOINT_WITHIN:
        raise BrokenPromiseError(f"{where}: {lost:.2f} s of text that was read are missing")
    return lost


def check_account(person: Person, told: Told, shown: dict[str, Any]) -> None:
    """Every hold ended once, and what the operator sees is the sum of the log."""
    recorded = told.account(person)
    usage = _folded(recorded) if recorded else None
    granted = charged = taken = 0
    holds: dict[UUID, int] = {}
    for event in (each.event for each in recorded):
        if isinstance(event, Usage.ToppedUp):
            granted += event.amount
        elif isinstance(event, Usage.AmountHeld | Usage.AllowanceHeld):
            if event.hold_id in holds or str(event.hold_id) not in told.replies:
                raise BrokenPromiseError(f"{person.written} has a hold twice, or for no reply")
            holds[event.hold_id] = event.amount
            taken += 1
        elif isinstance(event, Usage.HoldSettled):
            if not 0 <= event.charged <= holds.pop(event.hold_id):
                raise BrokenPromiseError(f"{person.written} was charged {event.charged}")
            if event.cost != event.charged + event.absorbed or event.cost < 0:
                raise BrokenPromiseError(f"{person.written} has a settlement that does not add up")
            charged += event.charged
        elif isinstance(event, Usage.HoldReleased):
            del holds[event.hold_id]
            taken -= 1
    if holds:
        raise BrokenPromiseError(f"{person.written} has open holds {holds}")
    if granted < charged:
        raise BrokenPromiseError(f"{person.written} was charged {charged} of {granted}")
    if usage is None:
        return
    assert isinstance(usage, Usage)
    if (usage.balance, usage.reserved) != (granted - charged, 0):
        raise BrokenPromiseError(
            f"{person.written} folds to {usage.balance}, {usage.reserved} held"
        )
    if person.is_user:
        figures = [Decimal(shown[name]) for name in ("balance", "reserved", "available", "spent")]
        sums = [n * NANOS for n in (granted - charged, 0, granted - charged, charged)]
        if figures != sums:
            raise BrokenPromiseError(f"{person.written} is shown {figures}, not {sums}")
    elif (shown["used"], usage.state.allowance_used) != (taken, taken):
        raise BrokenPromiseError(f"{person.written} used {taken}, is shown {shown['used']}")


def check_addresses(world: World, streams: Mapping[UUID, list[Recorded]]) -> None:
    """The limit per address counts just what the visitors' allowances do."""
    held: set[UUID] = set()
    for event in (each.event for recorded in streams.values() for each in recorded):
        if isinstance(event, Usage.AllowanceHeld):
            held.add(event.hold_id)
        elif isinstance(event, Usage.HoldReleased):
            held.discard(event.hold_id)
    counted = sum(used for (used,) in world.rows("SELECT used FROM address_uses"))
    if counted != len(held):
        raise BrokenPromiseError(f"addresses count {counted} messages, allowances {len(held)}")


def _folded(recorded: list[Recorded]) -> Aggregate:
    """The aggregate that a stream's events make."""
    aggregate: Aggregate | None = None
    for each in recorded:
        aggregate = each.event.mutate(aggregate)
    assert aggregate is not None
    return aggregate
