"""What each event does to an account, and what of it is shown."""

from datetime import timedelta
from uuid import UUID, uuid4

from application.ports import Principal
from application.queries import UsageView
from domain.usage import Kind, Usage
from infrastructure.projections import usage
from infrastructure.projections.usage import Terms
from tests.projections.given import CONSUMPTION, QUOTE, Given

TERMS = Terms(anon_limit=3, starting_balance=5_000_000_000, currency="EUR")


def opened(given: Given, kind: Kind = "user") -> Usage:
    account = Usage.open(uuid4(), kind, "USD", given.later())
    given.happened(account)
    return account


def shown(given: Given, account: Usage) -> UsageView:
    return of(given, account.id, account.state.kind)


def of(given: Given, principal: UUID, kind: Kind) -> UsageView:
    return given.read(usage.usage, Principal(principal, kind, "name"), TERMS, given.time)


def balance(available: str, balance: str, reserved: str, spent: str) -> dict[str, object]:
    return {"available": available, "balance": balance, "reserved": reserved, "spent": spent}


def amounts(view: UsageView) -> dict[str, object]:
    return balance(*(str(getattr(view, f)) for f in ("available", "balance", "reserved", "spent")))


def allow(given: Given, account: Usage, hours: float = 24) -> UUID:
    hold_id = uuid4()
    at = given.later()
    ends = at + timedelta(hours=hours)
    account.hold_allowance(hold_id, uuid4(), 50_000, QUOTE, 3, ends, at)
    given.happened(account)
    return hold_id


def test_an_account_nobody_has_used_shows_how_it_would_begin(given: Given) -> None:
    user = of(given, uuid4(), "user")
    assert amounts(user) == balance("5", "5", "0", "0")
    assert (user.currency, user.messages, user.position) == ("EUR", 0, 0)
    assert of(given, uuid4(), "anonymous") == UsageView(
        kind="anonymous", limit=3, used=0, remaining=3, resets_at=None, position=0
    )


def test_an_opened_account_is_empty(given: Given) -> None:
    view = shown(given, opened(given))
    assert amounts(view) == balance("0", "0", "0", "0")
    assert (view.kind, view.currency, view.messages, view.position) == ("user", "USD", 0, 1)


def test_a_top_up_is_available(given: Given) -> None:
    account = opened(given)
    account.top_up(1_500_000_001, "operator", "a reference", given.later())
    given.happened(account)
    assert amounts(shown(given, account)) == balance("1.500000001", "1.500000001", "0", "0")


def test_a_held_amount_is_reserved_and_not_available(given: Given) -> None:
    account = opened(given)
    account.top_up(1_000_000, "operator", None, given.later())
    account.hold_amount(uuid4(), uuid4(), 50_000, QUOTE, given.later())
    given.happened(account)
    assert amounts(shown(given, account)) == balance("0.00095", "0.001", "0.00005", "0")


def test_a_settled_hold_is_spent_and_counted(given: Given) -> None:
    account, hold_id, chat_id = opened(given), uuid4(), uuid4()
    account.top_up(1_000_000, "operator", None, given.later())
    account.hold_amount(hold_id, chat_id, 50_000, QUOTE, given.later())
    given.happened(account)
    account.settle(hold_id, chat_id, CONSUMPTION, given.later())
    given.happened(account)
    view = shown(given, account)
    assert amounts(view) == balance("0.00098", "0.00098", "0", "0.00002")
    assert view.messages == 1


def test_a_released_hold_is_available_again(given: Given) -> None:
    account, hold_id, chat_id = opened(given), uuid4(), uuid4()
    account.top_up(1_000_000, "operator", None, given.later())
    account.hold_amount(hold_id, chat_id, 50_000, QUOTE, given.later())
    given.happened(account)
    account.release(hold_id, chat_id, "no-output", given.later())
    given.happened(account)
    view = shown(given, account)
    assert amounts(view) == balance("0.001", "0.001", "0", "0")
    assert view.messages == 0


def test_an_allowance_is_used_up_message_by_message(given: Given) -> None:
    account = opened(given, "anonymous")
    hold_id = allow(given, account)
    window = given.time + timedelta(hours=24)
    view = shown(given, account)
    assert (view.limit, view.used, view.remaining, view.resets_at) == (3, 1, 2, window)
    account.settle(hold_id, uuid4(), CONSUMPTION, given.later())
    given.happened(account)
    assert shown(given, account).used == 1
    allow(given, account)
    allow(given, account)
    assert (shown(given, account).used, shown(given, account).remaining) == (3, 0)


def test_a_released_allowance_is_given_back(given: Given) -> None:
    account = opened(given, "anonymous")
    hold_id = allow(given, account)
    account.release(hold_id, uuid4(), "no-output", given.later())
    given.happened(account)
    assert shown(given, account).used == 0


def test_a_window_that_is_over_shows_a_whole_allowance(given: Given) -> None:
    account = opened(given, "anonymous")
    allow(given, account, hours=1)
    given.later(3600)
    view = shown(given, account)
    assert (view.used, view.remaining, view.resets_at) == (0, 3, None)


def test_what_an_earlier_window_lent_is_not_given_back_to_the_next(given: Given) -> None:
    account = opened(given, "anonymous")
    lent = allow(given, account, hours=1)
    given.later(3600)
    allow(given, account, hours=1)
    account.release(lent, uuid4(), "no-output", given.later())
    given.happened(account)
    assert shown(given, account).used == account.state.allowance_used == 1
