"""Who takes part in a run, and what the run has seen: the model that the server is held against."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.plan import PEOPLE
from tests.faults.reading import BrokenPromiseError, Reading
from tests.service import bearer


@dataclass(frozen=True)
class Sent:
    """A request that starts a reply. `script` is what the upstream was told to do."""

    route: str
    body: dict[str, Any]
    headers: dict[str, str]
    key: str | None
    marker: str
    script: str
    content: str


@dataclass(frozen=True)
class Known:
    """A reply that the server has acknowledged."""

    reply_id: str
    chat_id: str
    token: str
    sent: Sent


@dataclass
class Person:
    """One principal, with as many devices as the plan says."""

    name: str
    sub: str
    headers: dict[str, str]
    chats: list[str] = field(default_factory=list)
    replies: list[Known] = field(default_factory=list)
    keyed: list[Sent] = field(default_factory=list)
    messages: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of a chat: (user message, assistant message) of each reply whose start was read."""

    @property
    def is_user(self) -> bool:
        return self.name != "visitor"

    @property
    def written(self) -> str:
        return f"user:{self.sub}" if self.is_user else f"anon:{self.sub}"


@dataclass
class Seen:
    """All that a run has seen; `people` by name."""

    people: dict[str, Person]
    replies: dict[str, Known] = field(default_factory=dict)
    replies_of_key: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    sent: dict[str, Sent] = field(default_factory=dict)
    """By marker: every message that was sent, whatever came of it."""
    ended: set[str] = field(default_factory=set)
    """Replies that a terminal event has told the end of."""
    unanswered: int = 0
    """Requests without a key whose answer never came: their reply may exist, or not."""
    given_up: set[str] = field(default_factory=set)
    """Chats that were deleted, or may have been."""
    claimed: bool = False
    """Whether somebody takes over the visitor's chats, or may have."""
    counts: Counter[str] = field(default_factory=Counter)

    def may_be_gone(self, person: Person, chat_id: str | None) -> bool:
        return chat_id in self.given_up or (self.claimed and not person.is_user)

    def acknowledge(self, person: Person, sent: Sent, headers: Any) -> Known:
        """The server has said which reply a request started."""
        known = Known(headers["x-reply-id"], headers["x-chat-id"], headers["x-stream-token"], sent)
        if sent.key is not None:
            replies = self.replies_of_key.setdefault((person.name, sent.key), set())
            replies.add(known.reply_id)
            if len(replies) > 1:
                raise BrokenPromiseError(f"one key began {len(replies)} replies: {replies}")
        before = self.replies.setdefault(known.reply_id, known)
        if before.sent.marker != sent.marker or before.sent.route != sent.route:
            raise BrokenPromiseError(f"two requests were told of one reply {known.reply_id}")
        if before is known:
            person.replies.append(known)
            if known.chat_id not in person.chats:
                person.chats.append(known.chat_id)
        return before


def people_of(seed: int, life: str) -> dict[str, Person]:
    """Nobody takes part in two runs. `life` tells one server's runs from another's."""
    people = {}
    for name in PEOPLE:
        sub = f"{name}-{life}-{seed}"
        headers = {"x-anon-id": sub} if name == "visitor" else bearer(sub)
        people[name] = Person(name, sub, headers)
    return people
