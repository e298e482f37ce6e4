"""Paging along the active branch, along another one, and far up a long one."""

import time
from uuid import UUID, uuid4

import pytest

from application.errors import InvalidRequest
from application.queries import ListMessages, MessagesPage
from domain.chat import Chat, ChatNotFound, MessageNotFound
from infrastructure.projections import message_queries
from infrastructure.projections.cursors import MessageCursor, encode_cursor
from tests.projections.given import Given


def listed(given: Given, chat: Chat, **request: object) -> MessagesPage:
    wanted = ListMessages(chat_id=chat.id, **request)  # type: ignore[arg-type]
    return given.read(message_queries.list_messages, chat.state.owner, wanted)


def texts(page: MessagesPage) -> list[str | None]:
    return [message.content for message in page.messages]


def conversation(given: Given, chat: Chat, turns: int) -> list[UUID]:
    return [m for turn in range(turns) for m in given.turn(chat, f"q{turn}", f"a{turn}")]


def test_page_0_is_the_newest_and_each_page_is_in_time_order(given: Given) -> None:
    chat = given.chat()
    conversation(given, chat, 3)
    pages = [listed(given, chat, page=page, limit=4) for page in range(3)]
    assert [texts(page) for page in pages] == [["q1", "a1", "q2", "a2"], ["q0", "a0"], []]
    assert [page.has_more for page in pages] == [True, False, False]
    assert {page.total for page in pages} == {6}


def test_a_chat_without_messages_has_an_empty_page(given: Given) -> None:
    page = listed(given, given.chat())
    assert (page.messages, page.total, page.has_more, page.next_cursor) == ([], 0, False, None)


def test_a_cursor_goes_on_where_the_page_ended_whatever_was_added(given: Given) -> None:
    chat = given.chat()
    ids = conversation(given, chat, 4)
    seen: list[UUID] = []
    cursor = None
    while True:
        page = listed(given, chat, limit=3, cursor=cursor)
        seen = [message.id for message in page.messages] + seen
        assert page.total == 8
        given.turn(chat, "more", "and more")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids
    assert not page.has_more


def test_a_cursor_stays_on_its_branch_when_another_becomes_active(given: Given) -> None:
    chat = given.chat()
    first, *_ = conversation(given, chat, 2)
    page = listed(given, chat, limit=2)
    given.sent(chat, "edited", edit_of=first)
    assert texts(listed(given, chat)) == ["edited"]
    assert texts(listed(given, chat, limit=2, cursor=page.next_cursor)) == ["q0", "a0"]


def test_a_branch_goes_through_its_message_and_on_by_the_newest_children(given: Given) -> None:
    chat = given.chat()
    first, answer = given.turn(chat, "q", "a")
    given.turn(chat, "older", "older answer", parent_id=answer)
    given.turn(chat, "newer", "newer answer", parent_id=answer)
    given.sent(chat, "edited", edit_of=first)
    page = listed(given, chat, branch=first)
    assert texts(page) == ["q", "a", "newer", "newer answer"]
    assert page.total == 4


def test_the_active_branch_is_shown_where_it_passes_through_the_message(given: Given) -> None:
    chat = given.chat()
    _, answer = given.turn(chat, "q", "a")
    older, _ = given.turn(chat, "older", "older answer", parent_id=answer)
    given.turn(chat, "newer", "newer answer", parent_id=answer)
    chat.select_branch(older, given.later())
    given.happened(chat)
    assert texts(listed(given, chat, branch=answer)) == ["q", "a", "older", "older answer"]


def test_a_branch_is_paged_too(given: Given) -> None:
    chat = given.chat()
    first, _ = given.turn(chat, "q0", "a0")
    given.turn(chat, "q1", "a1")
    given.sent(chat, "edited", edit_of=first)
    newest = listed(given, chat, branch=first, limit=2)
    assert texts(newest) == ["q1", "a1"]
    assert texts(listed(given, chat, branch=first, limit=2, page=1)) == ["q0", "a0"]
    assert texts(listed(given, chat, limit=2, cursor=newest.next_cursor)) == ["q0", "a0"]


def test_a_branch_through_a_message_of_another_chat_is_refused(given: Given) -> None:
    chat, other = given.chat(), given.chat()
    message_id = given.sent(other, "elsewhere")
    for unknown in (message_id, uuid4()):
        with pytest.raises(MessageNotFound):
            listed(given, chat, branch=unknown)


def test_anothers_chat_does_not_exist(given: Given) -> None:
    chat = given.chat()
    with pytest.raises(ChatNotFound):
        given.read(message_queries.list_messages, uuid4(), ListMessages(chat_id=chat.id))


def test_a_cursor_of_another_chat_or_of_none_is_refused(given: Given) -> None:
    chat, other = given.chat(), given.chat()
    conversation(given, chat, 1)
    conversation(given, other, 2)
    mine = chat.state.leaf_id
    assert mine is not None
    foreign = listed(given, other, limit=1).next_cursor
    for cursor in (foreign, "x", encode_cursor(MessageCursor(mine, uuid4()))):
        with pytest.raises(InvalidRequest) as refused:
            listed(given, chat, cursor=cursor)
        assert refused.value.path == "$.cursor"


def test_the_newest_page_of_a_deep_branch_costs_what_a_short_ones_does(given: Given) -> None:
    short, deep = given.chat(), given.chat()
    conversation(given, short, 10)
    answers_to = None
    for count in range(5000):
        message_id = uuid4()
        deep.send(message_id, f"m{count}", given.time, parent_id=answers_to)
        answers_to = message_id
    given.happened(deep)

    def cost(chat: Chat) -> float:
        def once() -> float:
            began = time.thread_time()
            listed(given, chat, limit=20)
            return time.thread_time() - began

        return min(once() for _ in range(20))

    assert listed(given, deep, limit=20).total == 5000
    assert cost(deep) < 3 * cost(short)
    assert len(listed(given, deep, limit=200, page=24).messages) == 200
