"""What each event does to the list of chats, and how it is paged."""

from uuid import UUID, uuid4

import pytest

from application.errors import InvalidRequest
from application.queries import ChatsPage, ChatView, LastMessage, ListChats
from domain.chat import Chat, ChatNotFound
from infrastructure.projections import chat_list, message_queries
from tests.projections.given import USAGE, Given


def listed(given: Given, owner: UUID, **request: object) -> ChatsPage:
    return given.read(chat_list.list_chats, owner, ListChats(**request))  # type: ignore[arg-type]


def only(given: Given, owner: UUID) -> ChatView:
    (chat,) = listed(given, owner).chats
    return chat


def ids(page: ChatsPage) -> list[UUID]:
    return [chat.id for chat in page.chats]


def test_a_chat_that_was_created_is_listed_empty(given: Given) -> None:
    owner = uuid4()
    chat = Chat.start(uuid4(), owner, "Plans", "small", given.later())
    position = given.happened(chat)
    page = listed(given, owner)
    assert page.chats == [
        ChatView(
            id=chat.id,
            title="Plans",
            model="small",
            archived=False,
            created_at=given.time,
            updated_at=given.time,
            message_count=0,
            last_message=None,
            active_reply_id=None,
        )
    ]
    assert (page.total, page.has_more, page.next_cursor) == (1, False, None)
    assert page.position == position


def test_a_chat_that_was_renamed_has_its_new_title_in_its_old_place(given: Given) -> None:
    owner = uuid4()
    first, second = given.chat(owner), given.chat(owner)
    first.rename("دفتر", given.later())
    given.happened(first)
    assert [(c.id, c.title) for c in listed(given, owner).chats] == [
        (second.id, "A title"),
        (first.id, "دفتر"),
    ]


def test_an_archived_chat_is_listed_only_among_the_archived(given: Given) -> None:
    owner = uuid4()
    kept, archived = given.chat(owner), given.chat(owner)
    archived.set_archived(True, given.later())
    given.happened(archived)
    assert (ids(listed(given, owner)), listed(given, owner).total) == ([kept.id], 1)
    page = listed(given, owner, archived=True)
    assert (ids(page), page.total) == ([archived.id], 1)
    archived.set_archived(False, given.later())
    given.happened(archived)
    assert (ids(listed(given, owner)), listed(given, owner).total) == ([archived.id, kept.id], 2)
    assert listed(given, owner, archived=True).total == 0


def test_a_deleted_chat_is_gone_from_list_and_total(given: Given) -> None:
    owner = uuid4()
    kept, deleted = given.chat(owner), given.chat(owner)
    given.turn(deleted, "a", "b")
    deleted.delete(given.later())
    given.happened(deleted)
    page = listed(given, owner)
    assert (ids(page), page.total) == ([kept.id], 1)
    with pytest.raises(ChatNotFound):
        given.read(chat_list.chat, owner, deleted.id)


def test_a_claimed_chat_moves_to_its_new_owner(given: Given) -> None:
    visitor, user = uuid4(), uuid4()
    chat = given.chat(visitor)
    chat.claim(user, given.later())
    given.happened(chat)
    assert (ids(listed(given, visitor)), listed(given, visitor).total) == ([], 0)
    assert (ids(listed(given, user)), listed(given, user).total) == ([chat.id], 1)


def test_a_message_sent_moves_the_chat_to_the_front_and_is_shown(given: Given) -> None:
    owner = uuid4()
    first, second = given.chat(owner), given.chat(owner)
    given.sent(first, "What  is\n\na scribe? " + "x" * 200)
    page = listed(given, owner)
    assert ids(page) == [first.id, second.id]
    shown = page.chats[0]
    assert (shown.updated_at, shown.message_count) == (given.time, 1)
    assert shown.last_message is not None and shown.last_message.role == "user"
    assert shown.last_message.preview.startswith("What is a scribe? xxx")
    assert len(shown.last_message.preview) == 120


def test_a_reply_that_started_is_named_and_sets_the_model(given: Given) -> None:
    chat = given.chat()
    asked = given.sent(chat, "Who?")
    reply_id, _ = given.started(chat, asked, model="large")
    shown = only(given, chat.state.owner)
    assert (shown.active_reply_id, shown.model) == (reply_id, "large")
    assert shown.updated_at == given.time
    assert shown.message_count == 2
    assert shown.last_message == LastMessage("user", "Who?")


def test_a_completed_answer_is_the_last_message(given: Given) -> None:
    chat = given.chat()
    given.turn(chat, "Who?", "Ferdowsi.")
    shown = only(given, chat.state.owner)
    assert (shown.active_reply_id, shown.message_count) == (None, 2)
    assert shown.last_message == LastMessage("assistant", "Ferdowsi.")
    assert shown.updated_at == given.time


def test_another_version_is_the_last_message_once_it_is_complete(given: Given) -> None:
    chat = given.chat()
    _, answered = given.turn(chat, "Who?", "Hafez.")
    reply_id, _ = given.restarted(chat, answered)
    assert only(given, chat.state.owner).last_message == LastMessage("assistant", "Hafez.")
    assert only(given, chat.state.owner).active_reply_id == reply_id
    given.completed(chat, reply_id, "Sa'adi.")
    shown = only(given, chat.state.owner)
    assert (shown.last_message, shown.message_count) == (LastMessage("assistant", "Sa'adi."), 2)
    assert shown.active_reply_id is None


def test_a_failed_reply_is_over_and_leaves_the_question_last(given: Given) -> None:
    chat = given.chat()
    reply_id, _ = given.started(chat, given.sent(chat, "Who?"))
    chat.fail_reply(reply_id, "PROVIDER_ERROR", "", None, None, given.later())
    given.happened(chat)
    shown = only(given, chat.state.owner)
    assert (shown.active_reply_id, shown.updated_at) == (None, given.time)
    assert shown.last_message == LastMessage("user", "Who?")


def test_an_interrupted_reply_is_over_and_shows_what_was_kept(given: Given) -> None:
    chat = given.chat()
    reply_id, _ = given.started(chat, given.sent(chat, "Who?"))
    chat.interrupt_reply(reply_id, "Rumi, w", None, USAGE, given.later())
    given.happened(chat)
    shown = only(given, chat.state.owner)
    assert shown.active_reply_id is None
    assert shown.last_message == LastMessage("assistant", "Rumi, w")


def test_another_branch_shows_its_own_end(given: Given) -> None:
    chat = given.chat()
    first, _ = given.turn(chat, "One", "Uno")
    given.turn(chat, "Two", "Due")
    edited = given.sent(chat, "Ein", edit_of=first)
    assert only(given, chat.state.owner).message_count == 1
    chat.select_branch(first, given.later())
    given.happened(chat)
    shown = only(given, chat.state.owner)
    assert (shown.message_count, shown.last_message) == (4, LastMessage("assistant", "Due"))
    chat.select_branch(edited, given.later())
    given.happened(chat)
    assert only(given, chat.state.owner).last_message == LastMessage("user", "Ein")


def test_a_clock_that_runs_behind_does_not_move_a_chat_back(given: Given) -> None:
    chat = given.chat()
    given.sent(chat, "now")
    before = given.time
    given.time = before.replace(hour=1)
    given.sent(chat, "from a node whose clock is behind")
    assert only(given, chat.state.owner).updated_at == before


def test_anothers_chat_does_not_exist(given: Given) -> None:
    chat, stranger = given.chat(), uuid4()
    assert given.read(chat_list.chat, chat.state.owner, chat.id).chat.id == chat.id
    with pytest.raises(ChatNotFound):
        given.read(chat_list.chat, stranger, chat.id)
    assert listed(given, stranger).total == 0
    assert given.read(chat_list.chat_ids, stranger) == []


def test_all_chats_of_a_principal_are_named_archived_ones_too(given: Given) -> None:
    owner = uuid4()
    chats = [given.chat(owner) for _ in range(3)]
    chats[1].set_archived(True, given.later())
    given.happened(chats[1])
    assert set(given.read(chat_list.chat_ids, owner)) == {chat.id for chat in chats}


def test_pages_by_number_hold_every_chat_once(given: Given) -> None:
    owner = uuid4()
    newest_first = [given.chat(owner).id for _ in range(5)][::-1]
    pages = [listed(given, owner, page=page, limit=2) for page in range(4)]
    assert [ids(page) for page in pages] == [
        newest_first[:2],
        newest_first[2:4],
        newest_first[4:],
        [],
    ]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert {page.total for page in pages} == {5}


def test_a_cursor_neither_skips_nor_repeats_while_chats_are_added(given: Given) -> None:
    owner = uuid4()
    # Two of each time, so that the id decides.
    chats = []
    for _ in range(4):
        at = given.later()
        for _ in range(2):
            chat = Chat.start(uuid4(), owner, None, None, at)
            given.happened(chat)
            chats.append(chat.id)
    seen: list[UUID] = []
    cursor = None
    while True:
        page = listed(given, owner, limit=3, cursor=cursor)
        seen += ids(page)
        given.chat(owner)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 8 and set(seen) == set(chats)
    assert not page.has_more


@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "e30", "bnVsbA", "سلام", "W10"])
def test_a_cursor_that_was_never_given_out_is_refused(given: Given, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        listed(given, uuid4(), cursor=cursor)
    assert refused.value.path == "$.cursor"


def test_every_character_of_a_title_and_a_text_comes_back(given: Given) -> None:
    odd = "".join(map(chr, range(0x20))) + '"\\\x7f\u2028\ufffe\U0001f600 کتاب'
    owner = uuid4()
    chat = given.chat(owner, odd)
    message_id = given.sent(chat, odd)
    assert only(given, owner).title == odd
    (told,) = given.read(message_queries.history, owner, chat.id, message_id, 10)
    assert told.content == odd
