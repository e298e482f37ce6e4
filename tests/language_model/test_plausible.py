"""A provider's count is believed only where it can be true."""

import pytest

from application.ports import ProviderUsage
from infrastructure.language_model.plausible import PromptSize, plausible_usage
from tests.language_model.asking import prompt

QUESTION = "x" * 1000


@pytest.mark.parametrize("told", [(300, 20), (4, 1), (1000, 50), (1200, 50)])
def test_a_plausible_count_is_taken_as_it_is(told: tuple[int, int]) -> None:
    assert _usage(told, delivered=100) == ProviderUsage(*told)


@pytest.mark.parametrize(
    "told",
    [(-5, 20), (300, -1), (10**9, 20), (300, 10**9), (0, 20), (300, 0), (3.0, 20), (True, True)],
)
def test_an_impossible_count_is_none(told: tuple[object, object]) -> None:
    assert _usage(told, delivered=100) is None


@pytest.mark.parametrize("told", [None, (None, 20), (300, None), ("300", "20")])
def test_a_missing_count_is_none(told: tuple[object, object] | None) -> None:
    assert _usage(told, delivered=100) is None


def test_hidden_reasoning_counts_up_to_max_tokens() -> None:
    assert _usage((300, 50), delivered=1) == ProviderUsage(300, 50)
    assert _usage((300, 500), delivered=1) is None


def test_an_answer_longer_than_max_tokens_counts_by_its_bytes() -> None:
    assert _usage((300, 900), delivered=1000) == ProviderUsage(300, 900)


def test_one_token_for_a_long_answer_is_none() -> None:
    assert _usage((300, 1), delivered=10_000) is None


def _usage(told: tuple[object, object] | None, delivered: int) -> ProviderUsage | None:
    asked = prompt("any", QUESTION, max_tokens=50)
    return plausible_usage(told, PromptSize.of(asked), asked.max_tokens, delivered)
