"""What was, event by event, and the state at the end."""

from pathlib import Path
from uuid import uuid4

import pytest

from application.ledger.event_words import _WORDS, words_of
from application.ledger.ports import NotInLog
from application.ledger.replay import Replay
from infrastructure.event_store.codec import codec
from tests.ledger.given import Conversation, edit, ledger, write_history


@pytest.fixture
def held(tmp_path: Path) -> Conversation:
    return Conversation(tmp_path / "events.db")


def test_a_chat_is_replayed_with_the_money_of_its_replies(held: Conversation) -> None:
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 14)
        steps = list(replay.of_chat(held.chat_id))
    assert [step.position for step in steps] == [1, *range(4, 15)]
    settled = steps[5]
    assert settled.topic == "usage.hold-settled"
    assert settled.money is not None
    assert (settled.money.balance, settled.money.held) == ("0.00098", "0")
    assert settled.actor == held.principal.id


def test_the_state_is_that_of_the_position(held: Conversation) -> None:
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 6, contents=True)
        list(replay.of_chat(held.chat_id))
        (chat,), (account,) = list(replay.chats()), list(replay.accounts())
    assert chat.title == "A secret title"
    assert chat.open_reply == held.reply_id
    assert [(m.role, m.status, m.content, m.active) for m in chat.messages] == [
        ("user", "complete", "A secret question", True),
        ("assistant", "streaming", None, True),
    ]
    assert (account.balance, account.held, account.available) == ("0.001", "0.00005", "0.00095")
    assert account.holds == [held.reply_id]


def test_versions_stand_in_the_tree(held: Conversation) -> None:
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 14, contents=True)
        list(replay.of_chat(held.chat_id))
        (chat,) = replay.chats()
    answers = [(m.status, m.version, m.versions, m.active, m.depth) for m in chat.messages[1:]]
    assert answers == [("complete", 1, 2, True, 1), ("stopped", 2, 2, False, 1)]
    assert chat.title == "Another title"


def test_no_contents_unless_they_are_wanted(held: Conversation) -> None:
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 14)
        steps = list(replay.of_chat(held.chat_id))
        (chat,) = replay.chats()
    assert {message.content for message in chat.messages} == {None}
    assert chat.title is None
    assert not any("secret" in step.what for step in steps)


def test_a_principal_is_replayed_with_all_that_was_theirs(held: Conversation) -> None:
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 14)
        steps = list(replay.of_principal(held.principal.id))
        assert [step.position for step in steps] == list(range(1, 15))
        assert [chat.id for chat in replay.chats()] == [held.chat_id]
        assert [account.principal for account in replay.accounts()] == [held.principal.id]


def test_what_was_not_there_yet_is_refused(held: Conversation) -> None:
    with ledger(held.path) as reading:
        with pytest.raises(NotInLog):
            list(Replay(reading.log, str, 14).of_chat(uuid4()))
        with pytest.raises(NotInLog):
            list(Replay(reading.log, str, 14).of_chat(held.principal.id))
        with pytest.raises(NotInLog):
            list(Replay(reading.log, str, 0).of_principal(held.principal.id))


def test_an_erased_chat_is_replayed_without_its_words(held: Conversation) -> None:
    edit(held.path, "UPDATE events SET personal = NULL")
    with ledger(held.path) as reading:
        replay = Replay(reading.log, str, 14, contents=True)
        assert len(list(replay.of_chat(held.chat_id))) == 12
        (chat,) = replay.chats()
        assert {message.content for message in chat.messages} == {""}


def test_every_kind_of_event_has_its_words(tmp_path: Path) -> None:
    assert set(_WORDS) == set(codec.event_classes.values())
    write_history(tmp_path / "events.db", 1, 300)
    with ledger(tmp_path / "events.db") as reading:
        for batch in reading.log.batches():
            for stored in batch:
                assert words_of(reading.log.decoded(stored).event, str)
