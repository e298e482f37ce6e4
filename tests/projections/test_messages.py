"""What each event does to the messages of a chat."""

from uuid import UUID, uuid4

import pytest

from application.queries import ListMessages, MessageUsageView, MessageView
from domain.chat import STOPPED, Chat, ChatNotFound, MessageNotFound, Parameters
from infrastructure.projections import message_queries
from tests.projections.given import USAGE, Given


def shown(given: Given, chat: Chat) -> list[MessageView]:
    request = ListMessages(chat_id=chat.id)
    return given.read(message_queries.list_messages, chat.state.owner, request).messages


def one(given: Given, chat: Chat, message_id: UUID) -> MessageView:
    return given.read(message_queries.message, chat.state.owner, chat.id, message_id)


def test_a_message_sent_is_shown_whole(given: Given) -> None:
    chat = given.chat()
    message_id = given.sent(chat, "سلام\nدنیا")
    assert shown(given, chat) == [
        MessageView(
            id=message_id,
            chat_id=chat.id,
            parent_id=None,
            role="user",
            content="سلام\nدنیا",
            status="complete",
            model=None,
            created_at=given.time,
            completed_at=given.time,
            version=1,
            versions=[message_id],
            usage=None,
            finish_reason=None,
            error=None,
        )
    ]


def test_a_reply_that_started_is_an_empty_streaming_message(given: Given) -> None:
    chat = given.chat()
    asked = given.sent(chat, "Who?")
    _, message_id = given.started(chat, asked, "large")
    question, answer = shown(given, chat)
    assert question.id == asked
    assert (answer.id, answer.parent_id, answer.role) == (message_id, asked, "assistant")
    assert (answer.content, answer.status, answer.model) == ("", "streaming", "large")
    assert (answer.created_at, answer.completed_at) == (given.time, None)


def test_a_completed_answer_has_text_usage_and_the_model_that_answered(given: Given) -> None:
    chat = given.chat()
    reply_id, message_id = given.started(chat, given.sent(chat, "Who?"))
    given.completed(chat, reply_id, "Ferdowsi")
    answer = one(given, chat, message_id)
    assert (answer.content, answer.status, answer.model) == ("Ferdowsi", "complete", "answering")
    assert (answer.finish_reason, answer.completed_at) == ("stop", given.time)
    assert answer.usage == MessageUsageView(10, 5, 15, "0.00002", "USD", False, "test")


def test_a_stopped_answer_keeps_its_text(given: Given) -> None:
    chat = given.chat()
    reply_id, message_id = given.started(chat, given.sent(chat, "Who?"))
    given.completed(chat, reply_id, "Ferd", STOPPED)
    answer = one(given, chat, message_id)
    assert (answer.content, answer.status, answer.finish_reason) == ("Ferd", "stopped", "stopped")


def test_a_failed_reply_keeps_its_code_and_what_had_arrived(given: Given) -> None:
    chat = given.chat()
    reply_id, message_id = given.started(chat, given.sent(chat, "Who?"))
    chat.fail_reply(reply_id, "PROVIDER_TIMEOUT", "Fer", None, None, given.later())
    given.happened(chat)
    answer = one(given, chat, message_id)
    assert (answer.status, answer.error, answer.content) == ("failed", "PROVIDER_TIMEOUT", "Fer")
    assert (answer.finish_reason, answer.usage) == (None, None)


def test_an_interrupted_reply_keeps_what_was_saved_of_it(given: Given) -> None:
    chat = given.chat()
    reply_id, message_id = given.started(chat, given.sent(chat, "Who?"))
    chat.interrupt_reply(reply_id, "Fe", None, USAGE, given.later())
    given.happened(chat)
    answer = one(given, chat, message_id)
    assert (answer.status, answer.error, answer.content) == ("interrupted", "INTERRUPTED", "Fe")


def test_another_version_is_counted_at_once_and_shown_when_complete(given: Given) -> None:
    chat = given.chat()
    _, old = given.turn(chat, "Who?", "Hafez")
    reply_id, new = given.restarted(chat, old)
    active = shown(given, chat)[-1]
    assert (active.id, active.version, active.versions) == (old, 1, [old, new])
    given.completed(chat, reply_id, "Rumi")
    active = shown(given, chat)[-1]
    assert (active.id, active.content, active.version) == (new, "Rumi", 2)
    assert one(given, chat, old).content == "Hafez"


def test_a_version_stopped_before_its_first_word_leaves_the_old_one_active(given: Given) -> None:
    chat = given.chat()
    _, old = given.turn(chat, "Who?", "Hafez")
    reply_id, new = given.restarted(chat, old)
    given.completed(chat, reply_id, "", STOPPED)
    assert shown(given, chat)[-1].id == old
    assert one(given, chat, new).status == "stopped"


def test_an_edited_message_is_a_version_of_the_first_one(given: Given) -> None:
    chat = given.chat()
    first, _ = given.turn(chat, "On", "Off?")
    second = given.sent(chat, "One", edit_of=first)
    (active,) = shown(given, chat)
    assert (active.id, active.parent_id, active.version) == (second, None, 2)
    assert active.versions == [first, second]


def test_a_selected_branch_is_the_one_shown(given: Given) -> None:
    chat = given.chat()
    asked, old = given.turn(chat, "Who?", "Hafez")
    reply_id, new = given.restarted(chat, old)
    given.completed(chat, reply_id, "Rumi")
    assert [m.id for m in shown(given, chat)] == [asked, new]
    chat.select_branch(old, given.later())
    given.happened(chat)
    assert [m.id for m in shown(given, chat)] == [asked, old]


def test_a_claimed_chats_messages_are_its_new_owners(given: Given) -> None:
    chat, user = given.chat(), uuid4()
    visitor = chat.state.owner
    asked = given.sent(chat, "Who?")
    chat.claim(user, given.later())
    given.happened(chat)
    assert one(given, chat, asked).content == "Who?"
    with pytest.raises(ChatNotFound):
        given.read(message_queries.message, visitor, chat.id, asked)


def test_a_deleted_chats_messages_are_gone_from_the_file(given: Given) -> None:
    kept, deleted = given.chat(), given.chat()
    given.turn(kept, "stays", "here")
    asked, _ = given.turn(deleted, "goes", "away")
    owner = deleted.state.owner
    deleted.delete(given.later())
    given.happened(deleted)
    with pytest.raises(ChatNotFound):
        given.read(message_queries.message, owner, deleted.id, asked)
    for table in ("messages", "texts"):
        assert given.rows(table) == 2
    assert [m.content for m in shown(given, kept)] == ["stays", "here"]


def test_a_chat_made_and_deleted_in_one_batch_leaves_nothing(given: Given) -> None:
    chat = Chat.start(uuid4(), uuid4(), None, None, given.later())
    message_id, reply_id = uuid4(), uuid4()
    chat.send(message_id, "Who?", given.later())
    chat.start_reply(
        reply_id, uuid4(), message_id, "m", chat.state.owner, Parameters(max_tokens=1), given.time
    )
    chat.delete(given.later())
    given.happened(chat)
    for table in ("chats", "branches", "messages", "texts"):
        assert given.rows(table) == 0


def test_anothers_message_does_not_exist(given: Given) -> None:
    chat, other = given.chat(), given.chat()
    asked = given.sent(chat, "Who?")
    with pytest.raises(ChatNotFound):
        given.read(message_queries.message, other.state.owner, chat.id, asked)
    with pytest.raises(MessageNotFound):
        given.read(message_queries.message, other.state.owner, other.id, asked)
    with pytest.raises(ChatNotFound):
        given.read(message_queries.history, other.state.owner, chat.id, asked, 10)
    with pytest.raises(MessageNotFound):
        given.read(message_queries.history, other.state.owner, other.id, asked, 10)


def test_the_history_goes_upwards_from_the_message_along_its_own_branch(given: Given) -> None:
    chat = given.chat()
    first, answer = given.turn(chat, "One", "Uno")
    second = given.sent(chat, "Two")
    reply_id, _ = given.started(chat, second)
    given.completed(chat, reply_id, "Due")
    given.sent(chat, "Three", parent_id=answer)
    found = given.read(message_queries.history, chat.state.owner, chat.id, second, 10)
    assert [(m.id, m.parent_id, m.role, m.content) for m in found] == [
        (second, answer, "user", "Two"),
        (answer, first, "assistant", "Uno"),
        (first, None, "user", "One"),
    ]
    assert given.read(message_queries.history, chat.state.owner, chat.id, second, 2) == found[:2]
