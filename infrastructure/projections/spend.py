"""The view of spending: what each model consumed and cost on each day. Nobody's name is in it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import import_module

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Insert, Integer, String, Table, select

from application.console.answers import Spend, SpendRow
from application.ports import Recorded
from application.queries import decimal_of
from domain.usage import Usage
from infrastructure.event_store.schema import micros
from infrastructure.projections.checkpoint import position_now
from infrastructure.projections.columns import metadata
from infrastructure.projections.view import Handlers, Storage

DAY = 86_400_000_000
"""In microseconds."""
EPOCH = date(1970, 1, 1)

# Amounts are nanos of the log's one currency, days are counted from 1970 (UTC).
spend = Table(
    "spend",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    # The one that answered, which may be a fallback of the one that was asked.
    Column("model", String, primary_key=True),
    Column("replies", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("absorbed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


class Grown(msgspec.Struct):
    """What is to be added to a row, or its beginning."""

    day: int
    model: str
    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    absorbed: int = 0


_SUMS = ("replies", "prompt_tokens", "completion_tokens", "cost", "absorbed")


class SpendByDay:
    name = "spend"

    def __init__(self, storage: Storage) -> None:
        self._connection = storage.connection
        self._grown: dict[tuple[int, str], Grown] = {}
        self.handlers: Handlers = {Usage.HoldSettled: self.on_hold_settled}

    def prefetch(self, batch: Sequence[Recorded]) -> None:
        """Rows are added to where they are, and never read."""

    def flush(self) -> None:
        if self._grown:
            rows = [msgspec.structs.asdict(each) for each in self._grown.values()]
            self._connection.execute(_add_on(self._connection.dialect.name), rows)
            self._grown.clear()

    def on_hold_settled(self, event: Usage.HoldSettled, recorded: Recorded) -> None:
        used = event.consumption
        key = (_day(event.timestamp), used.model)
        if (grown := self._grown.get(key)) is None:
            grown = self._grown[key] = Grown(*key)
        grown.replies += 1
        grown.prompt_tokens += used.prompt_tokens
        grown.completion_tokens += used.completion_tokens
        grown.cost += event.cost
        grown.absorbed += event.absorbed


@cache
def _add_on(engine: str) -> Insert:
    # The other engine's side of SQLAlchemy would be loaded in vain.
    insert = import_module(f"sqlalchemy.dialects.{engine}").insert(spend)
    sums = {name: spend.c[name] + insert.excluded[name] for name in _SUMS}
    added: Insert = insert.on_conflict_do_update(index_elements=["day", "model"], set_=sums)
    return added


def _day(at: datetime | int) -> int:
    """Of a time, which is in microseconds already in a set that is being filled."""
    return (at if isinstance(at, int) else micros(at)) // DAY


def spend_by_day(connection: Connection, currency: str, days: int, now: datetime) -> Spend:
    """Of the last so many days, of which `now` is in the last."""
    until = now.astimezone(UTC).date()
    since = until - timedelta(days=days - 1)
    in_time = spend.c.day.between((since - EPOCH).days, (until - EPOCH).days)
    found = select(*(spend.c[name] for name in Grown.__struct_fields__)).where(in_time)
    rows = [Grown(*row) for row in connection.execute(found)]
    # Here, as databases differ in how they put texts in order.
    rows.sort(key=lambda row: (row.day, row.model))
    return Spend(
        currency=currency,
        since=since,
        until=until,
        rows=[_shown(row) for row in rows],
        total=decimal_of(sum(row.cost for row in rows)),
        absorbed=decimal_of(sum(row.absorbed for row in rows)),
        position=connection.scalars(position_now).one(),
    )


def _shown(row: Grown) -> SpendRow:
    return SpendRow(
        day=EPOCH + timedelta(days=row.day),
        model=row.model,
        replies=row.replies,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost=decimal_of(row.cost),
        charged=decimal_of(row.cost - row.absorbed),
        absorbed=decimal_of(row.absorbed),
    )
