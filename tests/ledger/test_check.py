"""What `replay --check` finds: each rule, broken in a log that held."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.ledger.folded import Folded
from application.ledger.hold_check import Tally
from application.ledger.log_check import LogCheck
from application.ports import Meta
from domain.chat import STOPPED, Chat, Parameters
from domain.usage import Usage
from infrastructure.event_store.codec import codec
from tests.ledger.given import (
    HELD,
    Conversation,
    checked,
    edit,
    ledger,
    rewrite,
    rules,
    write,
    write_history,
)
from tests.projections.given import CONSUMPTION, NOW, QUOTE, USAGE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def held(path: Path) -> Conversation:
    return Conversation(path)


@pytest.mark.parametrize("seed", range(6))
def test_what_the_aggregates_decided_holds(path: Path, seed: int) -> None:
    write_history(path, seed, 400)
    result, findings = checked(path)
    assert findings == []
    assert result.events == result.head > 500


def test_a_conversation_holds(held: Conversation) -> None:
    result, findings = checked(held.path)
    assert findings == []
    assert (result.events, result.head, result.streams) == (14, 14, 2)


# The same states, however they are reached


def test_two_replays_and_few_aggregates_in_memory_give_the_same_hash(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(path, 3, 500)
    first, _ = checked(path)
    assert checked(path)[0] == first
    monkeypatch.setattr(Folded.__init__, "__defaults__", (30,))
    result, findings = checked(path)
    assert (result, findings) == (first, [])


def test_another_end_gives_another_hash(held: Conversation) -> None:
    before, _ = checked(held.path)
    with ledger(held.path) as opened:
        shorter = LogCheck(opened.log, print, 12).run()
    edit(held.path, "UPDATE events SET topic = 'chat.archive-changed' WHERE position = 14")
    rewrite(held.path, 14, archived=True)
    edit(held.path, "UPDATE events SET personal = NULL, personal_digest = NULL WHERE position = 14")
    after, findings = checked(held.path)
    assert findings == []
    assert len({before.state_hash, shorter.state_hash, after.state_hash}) == 3


def test_erased_streams_hold_and_their_words_do_not_count(path: Path) -> None:
    owner = uuid4()
    account = Usage.open(owner, "user", "USD", NOW)
    account.top_up(10**9, "operator", "invoice-1", NOW)
    chat = Chat.start(uuid4(), owner, "A title", "small", NOW)
    asked, first, parameters = uuid4(), uuid4(), Parameters(max_tokens=20)
    chat.send(asked, "A question", NOW)

    def play() -> list[tuple[list[Chat | Usage], Meta]]:
        appends: list[tuple[list[Chat | Usage], Meta]] = []
        for number, text in enumerate(["An answer", "", "Half an answer"]):
            reply_id = uuid4()
            message_id = first if number == 0 else uuid4()
            if number == 0:
                chat.start_reply(reply_id, message_id, asked, "small", owner, parameters, NOW)
            else:
                chat.regenerate(reply_id, message_id, first, "small", owner, parameters, NOW)
            account.hold_amount(reply_id, chat.id, HELD, QUOTE, NOW)
            chat.complete_reply(
                reply_id, text, None, "small", STOPPED if number else "stop", USAGE, NOW
            )
            account.settle(reply_id, chat.id, CONSUMPTION, NOW)
        appends.append(([chat, account], Meta(uuid4())))
        return appends

    write(path, play())
    chat.erase(NOW)
    account.erase(1, NOW)
    write(path, [([chat, account], Meta(uuid4()))])
    with_words, findings = checked(path)
    assert findings == []
    edit(path, "UPDATE events SET personal = NULL")
    assert checked(path) == (with_words, [])


# What was changed by other hands


def test_a_gap_in_the_positions(held: Conversation) -> None:
    edit(held.path, "DELETE FROM events WHERE position = 14")
    assert rules(held.path) == {}  # an end that is cut off is for the audit to find
    edit(held.path, "UPDATE events SET position = 15 WHERE position = 13")
    assert rules(held.path)["position-gap"] == [15]


def test_a_gap_in_the_versions(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET version = 99 WHERE position = 14")
    assert rules(held.path)["version-gap"] == [14]


def test_a_payload_without_its_digest(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET payload_digest = zeroblob(32) WHERE position = 8")
    assert rules(held.path) == {"payload-digest": [8]}


def test_words_without_their_digest(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET personal_digest = zeroblob(32) WHERE position = 4")
    assert rules(held.path) == {"personal-digest": [4]}


def test_words_that_are_gone_from_a_stream_that_was_not_erased(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET personal = NULL WHERE position = 4")
    assert rules(held.path) == {"words-missing": [4]}


def test_words_that_are_gone_with_their_digest(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET personal = NULL, personal_digest = NULL WHERE position = 4")
    assert rules(held.path) == {"words-missing": [4], "personal-digest": [4]}


@pytest.mark.parametrize(
    "change",
    ["topic = 'chat.unheard-of'", "schema_version = 99", "payload = '{', payload_digest = x''"],
)
def test_a_row_that_cannot_be_read(held: Conversation, change: str) -> None:
    edit(held.path, f"UPDATE events SET {change} WHERE position = 7")
    found = rules(held.path)
    assert found["unreadable"] == found["set-aside"] == [7]


# What an aggregate would refuse, or decide otherwise


@pytest.mark.parametrize(
    ("position", "fields", "words"),
    [
        (4, {"parent_id": str(uuid4())}, "MessageNotFound"),
        (5, {"parent_id": str(uuid4())}, "MessageNotFound"),
        (7, {"reply_id": str(uuid4())}, "ReplyNotOpen"),
        (3, {"amount": -5}, "ValueError"),
        (6, {"amount": 2_000_000}, "InsufficientBalance"),
        (8, {"hold_id": str(uuid4())}, "HoldNotOpen"),
    ],
)
def test_what_an_aggregate_would_refuse(
    held: Conversation, position: int, fields: dict[str, object], words: str
) -> None:
    rewrite(held.path, position, **fields)
    refused = [each for each in checked(held.path)[1] if each.rule == "refused"]
    assert refused[0].position == position
    assert refused[0].words.startswith(words)


@pytest.mark.parametrize(
    ("position", "fields"),
    [
        (5, {"leaf_id": str(UUID(int=1))}),
        (7, {"leaf_id": str(UUID(int=1))}),
        (8, {"charged": 1}),
        (8, {"cost": 1}),
        (8, {"absorbed": 7}),
        (9, {"parent_id": str(UUID(int=1))}),
        (12, {"replaces": str(UUID(int=1))}),
    ],
)
def test_what_an_aggregate_would_decide_otherwise(
    held: Conversation, position: int, fields: dict[str, object]
) -> None:
    rewrite(held.path, position, **fields)
    found = [each for each in checked(held.path)[1] if each.position == position]
    assert found[0].rule == "decided-otherwise"
    assert next(iter(fields)) in found[0].words


def test_what_an_aggregate_would_not_decide_at_all(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET topic = 'chat.archive-changed' WHERE position = 14")
    edit(held.path, "UPDATE events SET personal = NULL, personal_digest = NULL WHERE position = 14")
    rewrite(held.path, 14, archived=False)
    assert rules(held.path) == {"decided-otherwise": [14]}


def test_the_rest_of_a_log_is_checked_after_a_fault(held: Conversation) -> None:
    """What is decided otherwise does not make what follows look wrong."""
    rewrite(held.path, 4, edit_of=None, parent_id=None)
    rewrite(held.path, 8, absorbed=7)
    assert rules(held.path) == {"decided-otherwise": [8]}


def test_an_event_of_another_kind_of_stream(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET topic = 'usage.hold-released' WHERE position = 14")
    rewrite(held.path, 14, hold_id=str(uuid4()), chat_id=str(uuid4()), reason="x")
    assert 14 in rules(held.path)["refused"]


# Money and replies


def write_apart(path: Path, *, by_other_payer: bool = False, started: bool = True) -> None:
    """A reply, and a hold that another request took."""
    owner, payer = uuid4(), uuid4()
    account = Usage.open(payer if by_other_payer else owner, "user", "USD", NOW)
    account.top_up(10**9, "operator", "invoice-1", NOW)
    chat = Chat.start(uuid4(), owner, None, None, NOW)
    asked, reply_id, meta = uuid4(), uuid4(), Meta(uuid4())
    chat.send(asked, "A question", NOW)
    if started:
        chat.start_reply(reply_id, uuid4(), asked, "small", owner, Parameters(max_tokens=20), NOW)
    write(path, [([chat], meta)])
    account.hold_amount(reply_id, chat.id, HELD, QUOTE, NOW)
    write(path, [([account], meta if by_other_payer else Meta(uuid4()))])


def test_a_reply_whose_hold_is_not_in_its_append(path: Path) -> None:
    write_apart(path)
    assert rules(path) == {"reply-without-hold": [3], "hold-without-reply": [6]}


def test_a_hold_without_any_reply_has_no_end(path: Path) -> None:
    write_apart(path, started=False)
    assert rules(path) == {"hold-without-reply": [5], "hold-open": [5]}


def test_a_payer_who_is_not_the_replys(path: Path) -> None:
    write_apart(path, by_other_payer=True)
    assert rules(path) == {"payer": [6]}


def test_an_open_reply_may_hold(path: Path) -> None:
    owner = uuid4()
    account = Usage.open(owner, "anonymous", "USD", NOW)
    chat = Chat.start(uuid4(), owner, None, None, NOW)
    asked, reply_id = uuid4(), uuid4()
    chat.send(asked, "A question", NOW)
    chat.start_reply(reply_id, uuid4(), asked, "small", owner, Parameters(max_tokens=20), NOW)
    ends = NOW + timedelta(hours=1)
    account.hold_allowance(reply_id, chat.id, HELD, QUOTE, 5, ends, NOW)
    write(path, [([chat, account], Meta(uuid4()))])
    assert rules(path) == {}


def test_a_hold_that_ends_apart_from_its_reply(held: Conversation) -> None:
    meta = b'{"correlation":"%s"}' % str(uuid4()).encode()
    edit(held.path, "UPDATE events SET meta = ? WHERE position = 8", meta)
    assert rules(held.path) == {"hold-end-apart": [7, 8]}


def test_a_reply_that_ends_and_keeps_its_hold(held: Conversation) -> None:
    edit(held.path, "DELETE FROM events WHERE position IN (8, 13)")
    edit(held.path, "UPDATE events SET version = 4 WHERE position = 10")
    found = rules(held.path)
    assert found["hold-end-apart"] == [7, 12]
    assert found["hold-open"] == [6, 10]


def test_a_message_that_says_another_cost_than_was_billed(held: Conversation) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": 1,
        "currency": "USD",
        "estimated": False,
        "price_source": "test",
    }
    rewrite(held.path, 7, usage=usage)
    assert rules(held.path) == {"message-cost": [8]}


def test_a_balance_below_zero(held: Conversation) -> None:
    rewrite(held.path, 8, charged=5_000_000)
    assert rules(held.path)["negative-balance"] == [8, 10]  # each that takes it further down


def test_a_hold_beyond_what_is_available(held: Conversation) -> None:
    rewrite(held.path, 3, amount=60_000)
    rewrite(held.path, 10, amount=59_000)
    assert rules(held.path)["negative-balance"] == [10]


def test_a_fold_that_differs_from_the_sums(
    held: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a later release folds money in another way."""
    monkeypatch.setattr(Usage, "reserved", property(lambda usage: 1))
    assert rules(held.path) == {"balance": [14]}
    account = Usage.open(uuid4(), "user", "USD", NOW)
    assert Tally(topped_up=1).differs_from(account)
    monkeypatch.undo()
    assert not Tally().differs_from(account)


# Every event of the domain


def test_every_kind_of_event_is_decided_again(path: Path) -> None:
    """The histories have them all, but for the erasures that have a test of their own."""
    for seed in range(6):
        write_history(path.with_name(f"{seed}.db"), seed, 400)
    met: set[str] = set()
    for seed in range(6):
        connection = sqlite3.connect(path.with_name(f"{seed}.db"))
        met |= {topic for (topic,) in connection.execute("SELECT DISTINCT topic FROM events")}
        connection.close()
    assert set(codec.event_classes) - met == {"chat.erased", "usage.principal-erased"}
