"""What is known of replies, for those who come late."""

from datetime import timedelta
from uuid import uuid4

from domain.chat import Chat
from infrastructure.projections import reply_queries
from tests.projections.given import NOW, USAGE, Given


def newest(given: Given, chat: Chat, *, after: float = 60, within: object = None) -> object:
    """The newest reply of the last `after` seconds."""
    since = given.time - timedelta(seconds=after)
    return given.read(reply_queries.newest_reply, chat.state.owner, since, within)


def test_a_reply_under_way_is_known_with_its_empty_message(given: Given) -> None:
    chat = given.chat()
    asked = given.sent(chat, "Who?")
    reply_id, message_id = given.started(chat, asked)
    found = given.read(reply_queries.reply, reply_id)
    assert found is not None
    assert (found.reply_id, found.chat_id, found.kind) == (reply_id, chat.id, "send")
    assert found.owner == found.payer == chat.state.owner
    assert (found.user_message_id, found.replaces) == (asked, None)
    assert (found.started_at, found.ended_at) == (given.time, None)
    assert (found.message.id, found.message.status) == (message_id, "streaming")
    assert (found.position, found.chat_deleted) == (len(given.log), False)


def test_an_ended_reply_has_its_end_and_its_reasoning(given: Given) -> None:
    chat = given.chat()
    reply_id, _ = given.started(chat, given.sent(chat, "Who?"))
    chat.complete_reply(reply_id, "Rumi", "Hm.", "m", "stop", USAGE, given.later())
    position = given.happened(chat)
    given.sent(chat, "And?")
    found = given.read(reply_queries.reply, reply_id)
    assert found is not None
    assert (found.ended_at, found.position) == (found.message.completed_at, position)
    assert (found.message.content, found.reasoning) == ("Rumi", "Hm.")


def test_a_regeneration_names_what_it_replaces(given: Given) -> None:
    chat = given.chat()
    asked, old = given.turn(chat, "Who?", "Rumi")
    reply_id, new = given.restarted(chat, old)
    given.completed(chat, reply_id, "Hafez")
    found = given.read(reply_queries.reply, reply_id)
    assert found is not None
    assert (found.kind, found.replaces, found.user_message_id) == ("regenerate", old, asked)
    assert (found.message.id, found.message.version) == (new, 2)


def test_a_failed_and_an_interrupted_reply_have_ended(given: Given) -> None:
    chat = given.chat()
    failed, _ = given.started(chat, given.sent(chat, "Who?"))
    chat.fail_reply(failed, "INTERNAL", "", None, None, given.later())
    given.happened(chat)
    interrupted, _ = given.started(chat, given.sent(chat, "Who?"))
    chat.interrupt_reply(interrupted, "", None, None, given.later())
    given.happened(chat)
    for reply_id in (failed, interrupted):
        found = given.read(reply_queries.reply, reply_id)
        assert found is not None and found.ended_at is not None


def test_a_reply_of_a_deleted_chat_is_known_to_be_one(given: Given) -> None:
    chat = given.chat()
    given.turn(chat, "Who?", "Rumi")
    ended = given.read(reply_queries.newest_reply, chat.state.owner, NOW, None)
    cut, _ = given.started(chat, given.sent(chat, "And?"))
    owner = chat.state.owner
    chat.delete(given.later())
    position = given.happened(chat)
    for reply_id in (ended, cut):
        found = given.read(reply_queries.reply, reply_id)
        assert found is not None
        assert (found.chat_deleted, found.owner, found.reasoning) == (True, owner, None)
        assert (found.message.content, found.message.error) == ("", "CHAT_NOT_FOUND")
    last = given.read(reply_queries.reply, cut)
    assert last is not None
    assert (last.ended_at, last.position) == (given.time, position)
    assert newest(given, chat) is None


def test_a_reply_of_a_claimed_chat_has_its_new_owner_and_its_old_payer(given: Given) -> None:
    chat, user = given.chat(), uuid4()
    visitor = chat.state.owner
    reply_id, _ = given.started(chat, given.sent(chat, "Who?"))
    given.completed(chat, reply_id)
    chat.claim(user, given.later())
    given.happened(chat)
    found = given.read(reply_queries.reply, reply_id)
    assert found is not None
    assert (found.owner, found.payer) == (user, visitor)
    assert newest(given, chat) == reply_id


def test_an_unknown_reply_is_none(given: Given) -> None:
    assert given.read(reply_queries.reply, uuid4()) is None


def test_the_newest_reply_is_the_principals_last_one_within_the_time(given: Given) -> None:
    first, second = given.chat(), given.chat()
    second.claim(first.state.owner, given.later())
    given.happened(second)
    stranger = given.chat()
    older, _ = given.started(first, given.sent(first, "One"))
    given.later(30)
    newer, _ = given.started(second, given.sent(second, "Two"))
    given.completed(first, older)
    given.started(stranger, given.sent(stranger, "Three"))
    second.set_archived(True, given.later())
    given.happened(second)
    assert newest(given, first) == newer
    assert newest(given, first, within=first.id) == older
    assert newest(given, first, within=stranger.id) is None
    given.later(100)
    assert newest(given, first) is None
    assert newest(given, first, after=1000) == newer
