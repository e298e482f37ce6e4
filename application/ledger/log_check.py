"""Folding the whole log, and doubting every event: what `replay --check` does.

Each event is decided again by its aggregate, on the state before it. Nothing is written.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import cast
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate

from application.ledger.event_fields import personal_fields, personal_of
from application.ledger.folded import Folded, Inapplicable, applied
from application.ledger.hold_check import Finding, HoldCheck
from application.ledger.ports import EventFilter, LogReading, StoredEvent, UnreadableRow
from application.ledger.redecide import decide_again, difference
from application.ports import Recorded
from domain.chat import Chat, OpenReply
from domain.refusal import Refusal
from domain.usage import Usage


class CheckResult(msgspec.Struct, frozen=True):
    """`state_hash` is over the final state of every stream (see `Folded.digest`)."""

    log_id: str
    head: int
    events: int
    streams: int
    findings: int
    state_hash: str


class LogCheck:
    """One check of one log, up to `until` or to the head."""

    def __init__(
        self, log: LogReading, found: Callable[[Finding], None], until: int | None = None
    ) -> None:
        self._log = log
        self._until = until
        self._told = found
        self._findings = 0
        self._holds = HoldCheck(self._found)
        self._folded = Folded()
        self._versions: dict[UUID, int] = {}
        self._set_aside: set[UUID] = set()
        self._without_words: dict[UUID, int] = {}
        self._erased: set[UUID] = set()
        self._position = 0

    def run(self, advance: Callable[[int], None] = lambda position: None) -> CheckResult:
        """Check it all; `advance` is told of the position now and then."""
        events = 0
        for batch in self._log.batches(0, self._until):
            for stored in batch:
                self._check(stored)
            events += len(batch)
            advance(self._position)
        self._holds.end()
        self._check_balances()
        for stream_id, position in self._without_words.items():
            if stream_id not in self._erased:
                words = "its personal fields are gone, and the stream was not erased"
                self._found(Finding(position, stream_id, "words-missing", words))
        return CheckResult(
            self._log.log_id,
            self._position,
            events,
            len(self._versions),
            self._findings,
            self._folded.digest(),
        )

    def _found(self, finding: Finding) -> None:
        self._findings += 1
        self._told(finding)

    def _check(self, stored: StoredEvent) -> None:
        self._check_place(stored)
        self._check_digests(stored)
        if stored.stream_id in self._set_aside:
            return
        try:
            recorded = self._log.decoded(stored)
        except UnreadableRow as error:
            self._tell(stored, "unreadable", str(error))
            self._set_stream_aside(stored)
            return
        self._check_words(stored, recorded.event)
        before = self._folded.take(stored.stream_id)
        reply = _open_reply(before)
        if (after := self._decided(stored, recorded, before)) is None:
            self._set_stream_aside(stored)
            return
        self._folded.put(after)
        self._holds.see(recorded, reply)

    def _check_place(self, stored: StoredEvent) -> None:
        if stored.position != self._position + 1:
            words = f"it follows position {self._position}"
            self._tell(stored, "position-gap", words)
        self._position = stored.position
        version = self._versions.get(stored.stream_id, 0)
        if stored.version != version + 1:
            words = f"version {stored.version} of its stream follows version {version}"
            self._tell(stored, "version-gap", words)
        self._versions[stored.stream_id] = stored.version

    def _check_digests(self, stored: StoredEvent) -> None:
        if sha256(stored.payload).digest() != stored.payload_digest:
            self._tell(stored, "payload-digest", "the payload does not have its digest")
        personal = stored.personal
        if personal is not None and sha256(personal).digest() != stored.personal_digest:
            self._tell(stored, "personal-digest", "the personal fields do not have their digest")

    def _check_words(self, stored: StoredEvent, event: Aggregate.Event) -> None:
        """Personal fields may only be gone where the stream was erased, and leave their digest."""
        if isinstance(event, Chat.Erased | Usage.PrincipalErased):
            self._erased.add(stored.stream_id)
        if stored.personal is None and personal_fields(type(event)):
            self._without_words.setdefault(stored.stream_id, stored.position)
            if stored.personal_digest is None:
                words = "the digest of its personal fields is missing"
                self._tell(stored, "personal-digest", words)

    def _decided(
        self, stored: StoredEvent, recorded: Recorded, before: Chat | Usage | None
    ) -> Chat | Usage | None:
        """The aggregate after the event; None where it cannot be applied."""
        event = recorded.event
        erased = self._words_unknown(stored, event)
        after: Chat | Usage | None = None
        try:
            after = decide_again(before, event, erased)
        except Refusal as refusal:
            self._tell(stored, "refused", f"{type(refusal).__name__}: {refusal}")
        except Exception as error:  # noqa: BLE001 - whatever it raises tells of the event
            self._tell(stored, "refused", f"{type(error).__name__}: {error}")
            return self._folded_anew(stored)
        made = list(after.collect_events()) if after is not None else []
        if len(made) == 1:
            field = difference(event, cast(Aggregate.Event, made[0]), erased)
            if field is None:
                return after
            words = f"it would be decided otherwise today: {field} differs"
            self._tell(stored, "decided-otherwise", words)
            return self._folded_anew(stored)
        if after is not None:
            words = f"{len(made)} events would be decided in its place"
            self._tell(stored, "decided-otherwise", words)
        if made:
            return self._folded_anew(stored)
        return self._applied(stored, recorded, before)

    def _words_unknown(self, stored: StoredEvent, event: Aggregate.Event) -> bool:
        """Whether the personal fields are empty because they were erased, or are sealed here."""
        words = personal_of(event)
        return bool(words) and not any(words.values()) and not self._log.opens(stored)

    def _folded_anew(self, stored: StoredEvent) -> Chat | Usage | None:
        """The stream up to the event, as it is recorded: what was decided again went elsewhere."""
        aggregate: Chat | Usage | None = None
        wanted = EventFilter(stream=stored.stream_id, until=stored.position)
        for batch in self._log.found(wanted):
            for each in batch:
                aggregate = self._applied(each, self._log.decoded(each), aggregate)
                if aggregate is None:
                    return None
        return aggregate

    def _applied(
        self, stored: StoredEvent, recorded: Recorded, before: Chat | Usage | None
    ) -> Chat | Usage | None:
        try:
            return applied(before, recorded)
        except Inapplicable as error:
            self._tell(stored, "inapplicable", str(error))
            return None

    def _set_stream_aside(self, stored: StoredEvent) -> None:
        self._set_aside.add(stored.stream_id)
        words = "the rest of its stream cannot be checked"
        self._tell(stored, "set-aside", words)

    def _check_balances(self) -> None:
        for usage in self._folded.accounts():
            tally = self._holds.tallies[usage.id]
            if tally.differs_from(usage):
                words = (
                    f"it folds to {usage.balance} with {usage.reserved} reserved, its events sum"
                    f" up to {tally.balance} with {tally.reserved}"
                )
                self._found(Finding(self._position, usage.id, "balance", words))

    def _tell(self, stored: StoredEvent, rule: str, words: str) -> None:
        self._found(Finding(stored.position, stored.stream_id, rule, words))


def _open_reply(aggregate: Chat | Usage | None) -> OpenReply | None:
    """As it is now: deciding changes the aggregate, but never this object's payer."""
    return aggregate.state.reply if isinstance(aggregate, Chat) else None
