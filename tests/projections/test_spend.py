"""What a settled reply adds to its model's day."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from application.console.answers import Spend, SpendRow
from domain.usage import Consumption, Usage
from infrastructure.projections.spend import spend_by_day
from tests.projections.given import CONSUMPTION, PRICE, QUOTE, Given


def account_of(given: Given, kind: str = "user") -> Usage:
    account = Usage.open(uuid4(), kind, "USD", given.later())  # type: ignore[arg-type]
    account.top_up(10**12, "operator", None, given.time)
    given.happened(account)
    return account


def settled(given: Given, account: Usage, used: Consumption = CONSUMPTION) -> None:
    """With a hold of half a thousandth, which is all that can be charged."""
    hold_id, chat_id = uuid4(), uuid4()
    account.hold_amount(hold_id, chat_id, 500_000, QUOTE, given.later())
    account.settle(hold_id, chat_id, used, given.later())
    given.happened(account)


def shown(given: Given, days: int = 30, now: datetime | None = None) -> Spend:
    return given.read(spend_by_day, "USD", days, now or given.time)


def row(day: str, model: str, replies: int, **figures: object) -> SpendRow:
    return SpendRow(
        day=datetime.fromisoformat(day).date(),
        model=model,
        replies=replies,
        **figures,  # type: ignore[arg-type]
    )


def test_settled_replies_are_added_up_by_model_and_day(given: Given) -> None:
    account, other = account_of(given), account_of(given)
    settled(given, account)
    settled(given, other)
    settled(given, other, Consumption("another", PRICE, 1, 2, estimated=True))
    given.time = datetime(2026, 11, 2, 0, 0, 0, tzinfo=UTC) - timedelta(seconds=2)
    settled(given, account)
    assert shown(given).rows == [
        row(
            "2026-11-01",
            "another",
            1,
            prompt_tokens=1,
            completion_tokens=2,
            cost="0.000005",
            charged="0.000005",
            absorbed="0",
        ),
        row(
            "2026-11-01",
            "model",
            2,
            prompt_tokens=20,
            completion_tokens=10,
            cost="0.00004",
            charged="0.00004",
            absorbed="0",
        ),
        row(
            "2026-11-02",
            "model",
            1,
            prompt_tokens=10,
            completion_tokens=5,
            cost="0.00002",
            charged="0.00002",
            absorbed="0",
        ),
    ]
    assert (shown(given).total, shown(given).position) == ("0.000065", len(given.log))


def test_what_nobody_was_charged_is_absorbed(given: Given) -> None:
    settled(given, account_of(given), Consumption("model", PRICE, 0, 1_000, estimated=False))
    visitor = Usage.open(uuid4(), "anonymous", "USD", given.later())
    hold_id, chat_id = uuid4(), uuid4()
    ends = given.time + timedelta(hours=1)
    visitor.hold_allowance(hold_id, chat_id, 50_000, QUOTE, 3, ends, given.later())
    visitor.settle(hold_id, chat_id, CONSUMPTION, given.later())
    given.happened(visitor)
    (spent,) = shown(given).rows
    assert (spent.cost, spent.charged, spent.absorbed) == ("0.00202", "0.0005", "0.00152")
    assert (shown(given).total, shown(given).absorbed) == ("0.00202", "0.00152")


def test_a_released_hold_costs_nothing(given: Given) -> None:
    account, hold_id, chat_id = account_of(given), uuid4(), uuid4()
    account.hold_amount(hold_id, chat_id, 50_000, QUOTE, given.later())
    account.release(hold_id, chat_id, "no-output", given.later())
    given.happened(account)
    assert shown(given).rows == []


def test_only_the_days_asked_for_are_shown(given: Given) -> None:
    account = account_of(given)
    settled(given, account)
    given.later(86_400)
    settled(given, account)
    assert [each.day.day for each in shown(given, 2).rows] == [1, 2]
    (last,) = shown(given, 1).rows
    assert last.day.day == 2
    assert (shown(given, 2).since.day, shown(given, 2).until.day) == (1, 2)
    assert shown(given, 1, given.time + timedelta(days=1)).rows == []


def test_who_is_erased_leaves_the_sums_as_they_are(given: Given) -> None:
    account = account_of(given)
    settled(given, account)
    before = shown(given).rows
    account.erase(0, given.later())
    given.happened(account)
    assert shown(given).rows == before != []
