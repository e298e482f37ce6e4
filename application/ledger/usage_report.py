"""What was used in a time, summed by model, day or principal."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.ledger.event_words import Named
from application.ledger.ports import EventFilter, LogReading
from application.ports import Recorded
from application.queries import decimal_of
from domain.chat import Chat
from domain.usage import Usage

By = Literal["model", "day", "principal"]

CONCERNED = (
    Usage.Created.TOPIC,
    Usage.HoldSettled.TOPIC,
    Chat.ReplyStarted.TOPIC,
    Chat.ReplyFailed.TOPIC,
    Chat.ReplyInterrupted.TOPIC,
    Chat.MessageCompleted.TOPIC,
    Chat.MessageRegenerated.TOPIC,
    Chat.Deleted.TOPIC,
    Chat.Erased.TOPIC,
)


class ReportRow(msgspec.Struct, frozen=True):
    """Amounts are exact decimals in the currency. `messages` are those that were settled.

    `failures` are replies that failed or were interrupted, whether or not they were settled, under
    the model that was asked; what was settled stands under the model that answered.
    """

    key: str
    currency: str
    messages: int
    prompt_tokens: int
    completion_tokens: int
    cost: str
    charged: str
    absorbed: str
    failures: int


class _Sums(msgspec.Struct):
    """Amounts in nanos."""

    messages: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    charged: int = 0
    absorbed: int = 0
    failures: int = 0


class _Asked(msgspec.Struct, frozen=True):
    model: str
    payer: UUID


def usage_report(
    log: LogReading,
    named: Named,
    by: By,
    since: datetime | None = None,
    before: datetime | None = None,
) -> list[ReportRow]:
    """A row for each key and currency, in their order; days are in UTC."""
    report = _Report(named, by, since)
    for batch in log.found(EventFilter(types=CONCERNED, before=before)):
        for stored in batch:
            report.see(log.decoded(msgspec.structs.replace(stored, personal=None)))
    return report.rows()


class _Report:
    def __init__(self, named: Named, by: By, since: datetime | None) -> None:
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._named = named
        self._by = by
        self._since = since
        self._currencies: dict[UUID, str] = {}
        self._asked: dict[UUID, _Asked] = {}

    def rows(self) -> list[ReportRow]:
        return [
            ReportRow(
                key,
                currency,
                sums.messages,
                sums.prompt_tokens,
                sums.completion_tokens,
                decimal_of(sums.cost),
                decimal_of(sums.charged),
                decimal_of(sums.absorbed),
                sums.failures,
            )
            for (key, currency), sums in sorted(self._sums.items())
        ]

    def see(self, recorded: Recorded) -> None:
        event = recorded.event
        wanted = self._since is None or recorded.recorded_at >= self._since
        if isinstance(event, Usage.Created):
            self._currencies[recorded.stream_id] = event.currency
        elif isinstance(event, Chat.ReplyStarted):
            self._asked[event.reply_id] = _Asked(event.model, event.payer)
        elif isinstance(event, Usage.HoldSettled):
            if wanted:
                self._settled(event, recorded)
        else:
            asked = self._asked.pop(event.reply_id, None) if hasattr(event, "reply_id") else None
            failed = isinstance(event, Chat.ReplyFailed | Chat.ReplyInterrupted)
            if wanted and failed and asked is not None:
                self._sums_of(recorded, asked.model, asked.payer).failures += 1

    def _settled(self, event: Usage.HoldSettled, recorded: Recorded) -> None:
        used = event.consumption
        sums = self._sums_of(recorded, used.model, recorded.stream_id)
        sums.messages += 1
        sums.prompt_tokens += used.prompt_tokens
        sums.completion_tokens += used.completion_tokens
        sums.cost += event.cost
        sums.charged += event.charged
        sums.absorbed += event.absorbed

    def _sums_of(self, recorded: Recorded, model: str, payer: UUID) -> _Sums:
        # Amounts of two currencies are not added up.
        currency = self._currencies.get(payer, "")
        if self._by == "model":
            key = model
        elif self._by == "day":
            key = recorded.recorded_at.astimezone(UTC).date().isoformat()
        else:
            key = self._named(payer)
        return self._sums.setdefault((key, currency), _Sums())
