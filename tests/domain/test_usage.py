"""The rules of an account: never overdrawn, and every hold ends."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.usage import (
    AccountErased,
    AnonymousLimitReached,
    Consumption,
    HoldNotOpen,
    HoldsOpen,
    InsufficientBalance,
    Price,
    Quote,
    Usage,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
CHAT = uuid4()
PRICE = Price(input_per_million=3_000_000_000, output_per_million=15_000_000_000, source="test")
QUOTE = Quote("m", PRICE, 10, 100)


def user(balance: int = 0) -> Usage:
    usage = Usage.open(uuid4(), "user", "USD", AT)
    if balance:
        usage.top_up(balance, "operator", "r", AT)
    return usage


def visitor() -> Usage:
    return Usage.open(uuid4(), "anonymous", "USD", AT)


def consumed(prompt_tokens: int, completion_tokens: int) -> Consumption:
    return Consumption("m", PRICE, prompt_tokens, completion_tokens, estimated=False)


def held(usage: Usage, limit: int = 2, at: datetime = AT) -> UUID:
    hold_id = uuid4()
    usage.hold_allowance(hold_id, CHAT, 1000, QUOTE, limit, at + timedelta(hours=24), at)
    return hold_id


def test_a_hold_beyond_the_balance_is_refused_with_what_is_missing() -> None:
    usage = user(100)
    usage.hold_amount(uuid4(), CHAT, 60, QUOTE, AT)
    with pytest.raises(InsufficientBalance) as refusal:
        usage.hold_amount(uuid4(), CHAT, 41, QUOTE, AT)
    assert (refusal.value.required, refusal.value.available) == (41, 40)
    assert usage.available == 40


def test_a_settled_hold_charges_what_was_consumed() -> None:
    usage = user(10_000_000)
    hold_id = uuid4()
    usage.hold_amount(hold_id, CHAT, 1_000_000, QUOTE, AT)
    assert usage.settle(hold_id, CHAT, consumed(10, 20), AT) == 330_000
    assert (usage.balance, usage.reserved) == (9_670_000, 0)


def test_no_more_is_charged_than_was_held_and_the_rest_is_recorded_as_absorbed() -> None:
    usage = user(500)
    hold_id = uuid4()
    usage.hold_amount(hold_id, CHAT, 500, QUOTE, AT)
    usage.settle(hold_id, CHAT, consumed(10, 20), AT)
    event = usage.pending_events[-1]
    assert isinstance(event, Usage.HoldSettled)
    assert (event.cost, event.charged, event.absorbed) == (330_000, 500, 329_500)
    assert usage.balance == 0


def test_a_released_hold_charges_nothing() -> None:
    usage = user(500)
    hold_id = uuid4()
    usage.hold_amount(hold_id, CHAT, 500, QUOTE, AT)
    usage.release(hold_id, CHAT, "PROVIDER_ERROR", AT)
    assert (usage.balance, usage.available) == (500, 500)


def test_a_hold_ends_once() -> None:
    usage = user(500)
    hold_id = uuid4()
    usage.hold_amount(hold_id, CHAT, 500, QUOTE, AT)
    usage.release(hold_id, CHAT, "no-output", AT)
    with pytest.raises(HoldNotOpen):
        usage.settle(hold_id, CHAT, consumed(1, 1), AT)
    with pytest.raises(HoldNotOpen):
        usage.release(hold_id, CHAT, "no-output", AT)


def test_holding_under_the_same_id_again_says_nothing() -> None:
    usage = user(500)
    hold_id = uuid4()
    usage.hold_amount(hold_id, CHAT, 500, QUOTE, AT)
    usage.hold_amount(hold_id, CHAT, 500, QUOTE, AT)
    assert usage.reserved == 500


def test_the_allowance_is_refused_once_used_up_and_comes_back_after_the_window() -> None:
    usage = visitor()
    usage.settle(held(usage), CHAT, consumed(1, 1), AT)
    held(usage)
    with pytest.raises(AnonymousLimitReached) as refusal:
        held(usage)
    assert (refusal.value.limit, refusal.value.used) == (2, 2)
    assert refusal.value.resets_at == AT + timedelta(hours=24)
    held(usage, at=AT + timedelta(hours=24))
    assert usage.state.allowance_used == 1


def test_a_window_starts_with_the_first_use_and_stays() -> None:
    usage = visitor()
    held(usage, limit=5)
    held(usage, limit=5, at=AT + timedelta(hours=3))
    assert usage.state.resets_at == AT + timedelta(hours=24)


def test_a_released_allowance_is_given_back_but_not_into_another_window() -> None:
    usage = visitor()
    given_back, old = held(usage), held(usage)
    usage.release(given_back, CHAT, "no-output", AT)
    assert usage.state.allowance_used == 1
    held(usage, at=AT + timedelta(hours=25))
    usage.release(old, CHAT, "no-output", AT + timedelta(hours=25))
    assert usage.state.allowance_used == 1


def test_a_visitor_is_never_charged_but_the_cost_is_recorded() -> None:
    usage = visitor()
    hold_id = held(usage)
    assert usage.settle(hold_id, CHAT, consumed(10, 20), AT) == 1000
    event = usage.pending_events[-1]
    assert isinstance(event, Usage.HoldSettled)
    assert (event.cost, event.charged, event.absorbed) == (330_000, 0, 330_000)
    assert usage.balance == 0


def test_an_account_is_not_erased_while_it_pays_for_a_reply() -> None:
    usage = visitor()
    hold_id = held(usage)
    with pytest.raises(HoldsOpen) as refusal:
        usage.erase(1, AT)
    assert refusal.value.hold_ids == [hold_id]


def test_an_erased_account_takes_and_gives_nothing_and_keeps_its_sums() -> None:
    usage = user()
    usage.top_up(1000, "operator", None, AT)
    usage.erase(3, AT)
    usage.erase(3, AT)
    assert sum(isinstance(e, Usage.PrincipalErased) for e in usage.pending_events) == 1
    with pytest.raises(AccountErased):
        usage.top_up(1, "operator", None, AT)
    with pytest.raises(AccountErased):
        usage.hold_amount(uuid4(), CHAT, 1, QUOTE, AT)
    with pytest.raises(AccountErased):
        usage.hold_allowance(uuid4(), CHAT, 1, QUOTE, 5, AT, AT)
    assert usage.state.topped_up >= 1000


@pytest.mark.parametrize("amount", [0, -1])
def test_a_top_up_is_positive(amount: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        user().top_up(amount, "operator", None, AT)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_cost_is_rounded_up_once(prompt: int, completion: int, inp: int, out: int) -> None:
    cost = Price(inp, out, "test").cost(prompt, completion)
    exact = prompt * inp + completion * out
    assert (cost - 1) * 1_000_000 < exact <= cost * 1_000_000


class AnyLedger(RuleBasedStateMachine):
    """Whatever is held, settled, released and topped up, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.usage = user()
        self.open: list[UUID] = []
        self.topped_up = 0
        self.charged = 0

    @rule(amount=st.integers(1, 10**9))
    def top_up(self, amount: int) -> None:
        self.usage.top_up(amount, "operator", None, AT)
        self.topped_up += amount

    @rule(amount=st.integers(0, 10**9))
    def hold(self, amount: int) -> None:
        hold_id = uuid4()
        try:
            self.usage.hold_amount(hold_id, CHAT, amount, QUOTE, AT)
        except InsufficientBalance:
            assert amount > self.usage.available
        else:
            self.open.append(hold_id)

    @rule(index=st.integers(0, 20), tokens=st.integers(0, 10**6))
    def settle(self, index: int, tokens: int) -> None:
        if index < len(self.open):
            self.charged += self.usage.settle(self.open.pop(index), CHAT, consumed(0, tokens), AT)

    @rule(index=st.integers(0, 20))
    def release(self, index: int) -> None:
        if index < len(self.open):
            self.usage.release(self.open.pop(index), CHAT, "no-output", AT)

    @invariant()
    def nothing_is_overdrawn_and_the_sums_agree(self) -> None:
        assert self.usage.available >= 0
        assert self.usage.balance == self.topped_up - self.charged
        assert list(self.usage.state.holds) == self.open

    @invariant()
    def replay_equals_live(self) -> None:
        replay: Any = None
        for event in self.usage.pending_events:
            replay = event.mutate(replay)
        assert replay.state == self.usage.state


AnyLedger.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyLedger = AnyLedger.TestCase
