"""What the console is told: the outbound schema of `/api/v1/admin/`.

Amounts are decimal strings in the service's currency, times are RFC 3339 in UTC. A principal is
written as operators write it, `user:SUB` or `anon:ID`; of who was erased the internal id is left.
"""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from domain.chat import Role, Status

# How the service does


class ViewsNow(msgspec.Struct, frozen=True, kw_only=True):
    """`lag` is in events; `keeps_up`: this node is the one that keeps the views up."""

    generation: str
    position: int
    lag: int
    set_aside: int
    keeps_up: bool


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What is open on this node at this moment."""

    open_replies: int
    open_streams: int
    open_sockets: int
    oldest_reply_seconds: float
    """The age of the oldest reply under way, and so of its hold; 0 without one."""
    orphaned_replies: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What this node has counted since it started."""

    replies_started: int
    replies_ended: int
    requests: int
    refusals: int
    faults: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """`now`, `totals` and `readiness` are this node's alone, the rest is the log's.

    `readiness` has what is wrong by the name of the check, None where all is well.
    """

    version: str
    log_id: str
    engine: Literal["sqlite", "postgresql"]
    node: UUID
    started_at: datetime
    at: datetime
    head: int
    unsealed: int
    currency: str
    views: ViewsNow
    now: Now
    totals: Totals
    readiness: dict[str, str | None]


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What this node did, step by step: one entry of each list for each of `times`, oldest first.

    Counts are of the `step_seconds` that end at the time, what is open and `lag` of that moment.
    A list of `refusals`, `faults` and `failures` is there for each code that was met. Percentiles
    are in seconds, interpolated in buckets, None where nothing was measured.
    """

    step_seconds: int
    times: list[datetime]
    events: list[int]
    requests: list[int]
    replies_started: list[int]
    replies_ended: list[int]
    pieces: list[int]
    """Pieces of text from models: a token, or several that came at once."""
    open_replies: list[int]
    open_streams: list[int]
    open_sockets: list[int]
    lag: list[int]
    refusals: dict[str, list[int]]
    """By code."""
    faults: dict[str, list[int]]
    """By where."""
    failures: dict[str, list[int]]
    """Replies that failed or were interrupted, by code."""
    first_token_p50: list[float | None]
    first_token_p95: list[float | None]
    append_p50: list[float | None]
    append_p95: list[float | None]


class SpendRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one model cost on one day (UTC). `cost` is `charged` and `absorbed` together."""

    day: date
    model: str
    replies: int
    prompt_tokens: int
    completion_tokens: int
    cost: str
    charged: str
    absorbed: str


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """Days without a reply have no row. Oldest first, then by model."""

    currency: str
    since: date
    until: date
    rows: list[SpendRow]
    total: str
    absorbed: str
    position: int


# The log


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event, newest first in a page. `what` is one line for people, without contents.

    `principal` owns the stream, `actor` did it (None: the service itself). `payload` is the event
    without what people wrote, None where it is `unreadable`. `chat` is the stream where that is a
    chat's.
    """

    position: int
    stream: UUID
    version: int
    topic: str
    recorded_at: datetime
    principal: str | None
    actor: str | None
    chat: UUID | None
    what: str
    payload: dict[str, Any] | None
    erased: bool
    """What people wrote in it is gone."""
    unreadable: str | None = None


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """`next_before` goes on with older events; None at the end of the log.

    A page may hold fewer events than were asked for, even none, and still go on: a search looks at
    a bounded part of the log at a time, down to `searched_to`.
    """

    events: list[EventLine]
    next_before: int | None
    searched_to: int
    head: int


class TimelineStep(msgspec.Struct, frozen=True, kw_only=True):
    """`label` is one line for people, without contents."""

    position: int
    version: int
    topic: str
    at: datetime
    actor: str | None
    label: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A chat's events, oldest first. `truncated`: there are more, which are not shown."""

    chat_id: UUID
    owner: str
    deleted: bool
    erased: bool
    steps: list[TimelineStep]
    truncated: bool


class MessageAt(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the branch that was active.

    `content` is None where it was erased, is sealed by a key elsewhere, or was not yet there: what
    a reply under way had said is not in the log. `version` counts from 1 among `versions` siblings.
    """

    id: UUID
    role: Role
    status: Status
    content: str | None
    model: str | None
    at: datetime
    version: int
    versions: int
    cost: str | None


class ChatAtPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as it was after the event at `position`, or the last one of its own before that."""

    chat_id: UUID
    position: int
    version: int
    at: datetime
    owner: str
    title: str | None
    model: str | None
    archived: bool
    deleted: bool
    erased: bool
    active_reply_id: UUID | None
    cost: str
    """Of all its replies so far, those of other branches too."""
    earlier: int
    """How many messages of the branch come before those shown."""
    messages: list[MessageAt]


# The proof


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`root` in hexadecimal; `delivered_at` is None until the auditor's folder or URL took it."""

    size: int
    root: str
    signed_at: datetime
    delivered_at: datetime | None
    note: str


class AuditState(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints` are the last ones, newest first. `target` is None where none are handed out."""

    head: int
    sealed: int
    unsealed: int
    verifier_key: str
    target: str | None
    interval_seconds: float
    checkpoints: list[SignedCheckpoint]


class Finding(msgspec.Struct, frozen=True):
    """`position` is None where it is no single event's."""

    position: int | None
    what: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The last verification that was started on this node.

    `ok`: all is as it was sealed. `failed`: there are `findings` (the first ones of
    `findings_total`), or it broke off with `error`.
    """

    state: Literal["none", "running", "ok", "failed"]
    checked: int = 0
    total: int | None = None
    findings: list[Finding] = []
    findings_total: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None


# The views


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    view: str
    stream: UUID
    position: int
    error: str


class GenerationState(msgspec.Struct, frozen=True, kw_only=True):
    """`position` of `target`: the log's head for the live one, else where it was begun."""

    name: str
    state: Literal["live", "running", "broken off", "ready"]
    position: int
    target: int
    bytes: int


class ProjectionsState(msgspec.Struct, frozen=True, kw_only=True):
    """`runner` keeps the views up; None on SQLite, where there is but one.

    Its id is not that of `Overview.node`.
    """

    code_version: int
    head: int
    lag: int
    kept_up: bool
    runner: UUID | None
    generations: list[GenerationState]
    set_aside: list[SetAside]


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """The last rebuild: one under way, wherever it was started, else the last of this node's.

    `broken off`: a build that nobody goes on with until the next rebuild is started. `target` is
    where it began to catch up, `events_per_second` counts from its start.
    """

    state: Literal["none", "running", "broken off", "ok", "failed"]
    generation: str | None = None
    position: int = 0
    target: int | None = None
    events_per_second: float | None = None
    started_at: datetime | None = None
    """None where it was not started from this node's console."""
    ended_at: datetime | None = None
    error: str | None = None


# Who


class ChatLine(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    title: str | None
    archived: bool
    created_at: datetime
    updated_at: datetime
    message_count: int


class ChatsOf(msgspec.Struct, frozen=True, kw_only=True):
    """A principal's chats, newest first; `next_cursor` goes on."""

    principal: str
    chats: list[ChatLine]
    total: int
    next_cursor: str | None
