"""Statements and reports, read from the log itself."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from application.ledger.ports import NotInLog
from application.ledger.statements import account_of, statement
from application.ledger.usage_report import By, ReportRow, usage_report
from application.ports import Meta
from domain.chat import Chat, Parameters
from domain.usage import Usage
from tests.ledger.given import HELD, Conversation, ledger, write
from tests.projections.given import CONSUMPTION, NOW, QUOTE


@pytest.fixture
def held(tmp_path: Path) -> Conversation:
    return Conversation(tmp_path / "events.db")


def test_a_statement_says_what_moved_and_what_was_left(held: Conversation) -> None:
    with ledger(held.path) as reading:
        lines = list(statement(reading.log, held.principal.id))
    assert [(line.position, line.entry, line.balance, line.reserved) for line in lines] == [
        (3, "top-up", "0.001", "0"),
        (6, "hold", "0.001", "0.00005"),
        (8, "settlement", "0.00098", "0"),
        (10, "hold", "0.00098", "0.00005"),
        (13, "release", "0.00098", "0"),
    ]
    top_up, hold, settlement, _, release = lines
    assert (top_up.amount, top_up.reference) == ("0.001", "invoice-1")
    assert (hold.amount, hold.reply_id, hold.chat_id) == ("0.00005", held.reply_id, held.chat_id)
    assert (hold.model, hold.price_input, hold.price_output) == ("model", "1", "2")
    assert (hold.price_source, hold.prompt_tokens, hold.completion_tokens) == ("test", 10, 20)
    assert (settlement.cost, settlement.charged, settlement.absorbed) == ("0.00002", "0.00002", "0")
    assert (settlement.completion_tokens, settlement.estimated) == (5, False)
    assert release.reason == "stopped"


def test_a_part_of_a_statement_opens_with_what_went_before(held: Conversation) -> None:
    later = NOW + timedelta(days=1)
    account_id = held.principal.id
    with ledger(held.path) as reading:
        (opening,) = statement(reading.log, account_id, since=later)
        assert (opening.entry, opening.balance, opening.position) == ("opening", "0.00098", 13)
        assert next(statement(reading.log, account_id, since=NOW)).entry == "top-up"
        with pytest.raises(NotInLog):
            list(statement(reading.log, account_id, before=NOW))
        with pytest.raises(NotInLog):
            list(statement(reading.log, uuid4()))


def test_an_account_is_as_of_its_last_event(held: Conversation) -> None:
    with ledger(held.path) as reading:
        account, position = account_of(reading.log, held.principal.id)
    assert (account.balance, account.reserved, position) == (980_000, 0, 13)


def report(path: Path, by: By, **times: object) -> list[tuple[object, ...]]:
    with ledger(path) as reading:
        rows = usage_report(reading.log, str, by, **times)  # type: ignore[arg-type]
    return [tuple(getattr(row, name) for name in ReportRow.__struct_fields__) for row in rows]


def test_a_report_sums_up_what_was_settled(held: Conversation) -> None:
    sums = (1, 10, 5, "0.00002", "0.00002", "0", 0)
    assert report(held.path, "model") == [("model", "USD", *sums)]
    assert report(held.path, "day") == [("2026-11-01", "USD", *sums)]
    assert report(held.path, "principal") == [(str(held.principal.id), "USD", *sums)]


def another(path: Path, currency: str) -> None:
    """A reply of the next day that failed with something said, and one that said nothing."""
    at = NOW + timedelta(days=1)
    owner = uuid4()
    account = Usage.open(owner, "user", currency, at)
    account.top_up(10**9, "operator", None, at)
    write(path, [([account], Meta(uuid4()))])
    chat = Chat.start(uuid4(), owner, None, None, at)
    for settled in (True, False):
        asked, reply_id, parameters = uuid4(), uuid4(), Parameters(max_tokens=20)
        chat.send(asked, "A question", at)
        chat.start_reply(reply_id, uuid4(), asked, "asked", owner, parameters, at)
        account.hold_amount(reply_id, chat.id, HELD, QUOTE, at)
        chat.fail_reply(reply_id, "PROVIDER_ERROR", "", None, None, at)
        if settled:
            account.settle(reply_id, chat.id, CONSUMPTION, at)
        else:
            account.release(reply_id, chat.id, "PROVIDER_ERROR", at)
    write(path, [([chat, account], Meta(uuid4()))])


def test_failures_count_under_the_model_that_was_asked(held: Conversation) -> None:
    another(held.path, "USD")
    assert report(held.path, "model") == [
        ("asked", "USD", 0, 0, 0, "0", "0", "0", 2),
        ("model", "USD", 2, 20, 10, "0.00004", "0.00004", "0", 0),
    ]


def test_currencies_are_not_added_up(held: Conversation) -> None:
    another(held.path, "EUR")
    rows = report(held.path, "model")
    assert [row[:3] for row in rows] == [
        ("asked", "EUR", 0),
        ("model", "EUR", 1),
        ("model", "USD", 1),
    ]


def test_a_report_is_of_its_time_alone(held: Conversation) -> None:
    another(held.path, "USD")
    midnight = NOW.replace(hour=0) + timedelta(days=1)
    assert [row[0] for row in report(held.path, "day")] == ["2026-11-01", "2026-11-02"]
    assert [row[0] for row in report(held.path, "day", since=midnight)] == ["2026-11-02"]
    assert [row[0] for row in report(held.path, "day", before=midnight)] == ["2026-11-01"]
