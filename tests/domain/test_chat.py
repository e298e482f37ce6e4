"""The rules of a chat, and what no history of commands can break."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from domain.chat import (
    STOPPED,
    Chat,
    ChatBusy,
    ChatNotFound,
    MessageNotFound,
    Parameters,
    ReplyNotOpen,
)
from domain.refusal import Refusal

AT = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = uuid4()
ASKED = Parameters(max_tokens=100)


def chat() -> Chat:
    return Chat.start(uuid4(), OWNER, "A chat", None, AT)


def sent(chat: Chat, **place: Any) -> tuple[UUID, UUID, UUID]:
    """A user message with a reply under way: ids of message, answer and reply."""
    message_id, answer_id, reply_id = uuid4(), uuid4(), uuid4()
    chat.send(message_id, "Hello", AT, **place)
    chat.start_reply(reply_id, answer_id, message_id, "m", OWNER, ASKED, AT)
    return message_id, answer_id, reply_id


def answered(chat: Chat, **place: Any) -> tuple[UUID, UUID]:
    message_id, answer_id, reply_id = sent(chat, **place)
    chat.complete_reply(reply_id, "Hi", None, "m", "stop", None, AT)
    return message_id, answer_id


def regenerating(chat: Chat, replaces: UUID) -> tuple[UUID, UUID]:
    answer_id, reply_id = uuid4(), uuid4()
    chat.regenerate(reply_id, answer_id, replaces, "m", OWNER, ASKED, AT)
    return answer_id, reply_id


def replayed(chat: Chat) -> Chat:
    replay: Any = None
    for event in chat.pending_events:
        replay = event.mutate(replay)
    assert isinstance(replay, Chat)
    return replay


def test_a_second_send_while_a_reply_is_under_way_is_refused() -> None:
    a_chat = chat()
    _, _, reply_id = sent(a_chat)
    with pytest.raises(ChatBusy) as refusal:
        sent(a_chat)
    assert refusal.value.reply_id == reply_id


def test_a_message_follows_the_active_branch() -> None:
    a_chat = chat()
    _, answer_id = answered(a_chat)
    message_id, next_answer_id = answered(a_chat)
    assert a_chat.state.messages[message_id].parent_id == answer_id
    assert a_chat.state.leaf_id == next_answer_id


def test_an_edit_is_a_sibling_of_the_message_it_edits_the_first_one_too() -> None:
    a_chat = chat()
    first_id, _ = answered(a_chat)
    edited_id, edited_answer_id = answered(a_chat, edit_of=first_id)
    assert a_chat.state.messages[edited_id].parent_id is None
    assert a_chat.versions(first_id) == [first_id, edited_id]
    assert a_chat.state.leaf_id == edited_answer_id


def test_an_answer_cannot_be_edited() -> None:
    a_chat = chat()
    _, answer_id = answered(a_chat)
    with pytest.raises(MessageNotFound):
        sent(a_chat, edit_of=answer_id)


def test_a_message_can_branch_off_anywhere_in_the_chat_but_nowhere_else() -> None:
    a_chat = chat()
    _, first_answer_id = answered(a_chat)
    answered(a_chat)
    branch_id, _ = answered(a_chat, parent_id=first_answer_id)
    assert a_chat.state.messages[branch_id].parent_id == first_answer_id
    with pytest.raises(MessageNotFound):
        sent(a_chat, parent_id=uuid4())


def test_regenerating_keeps_the_old_version_and_activates_the_new_one() -> None:
    a_chat = chat()
    _, old_id = answered(a_chat)
    new_id, reply_id = regenerating(a_chat, a_chat.replaceable(None))
    assert a_chat.state.leaf_id == old_id
    a_chat.complete_reply(reply_id, "Better", None, "m", "stop", None, AT)
    assert a_chat.state.leaf_id == new_id
    assert a_chat.versions(new_id) == [old_id, new_id]
    assert a_chat.state.messages[old_id].status == "complete"


def test_a_failed_regeneration_leaves_the_old_version_active() -> None:
    a_chat = chat()
    _, old_id = answered(a_chat)
    new_id, reply_id = regenerating(a_chat, old_id)
    a_chat.fail_reply(reply_id, "PROVIDER_ERROR", "", None, None, AT)
    assert a_chat.state.leaf_id == old_id
    assert a_chat.state.messages[new_id].status == "failed"


@pytest.mark.parametrize(("content", "active"), [("", "old"), ("Some", "new")])
def test_a_stopped_regeneration_becomes_active_only_with_text(content: str, active: str) -> None:
    a_chat = chat()
    _, old_id = answered(a_chat)
    new_id, reply_id = regenerating(a_chat, old_id)
    a_chat.complete_reply(reply_id, content, None, "m", STOPPED, None, AT)
    assert a_chat.state.leaf_id == {"old": old_id, "new": new_id}[active]
    assert a_chat.state.messages[new_id].status == "stopped"


def test_there_is_nothing_to_regenerate_in_an_empty_chat() -> None:
    with pytest.raises(MessageNotFound):
        chat().replaceable(None)


def test_a_reply_ends_once() -> None:
    a_chat = chat()
    _, _, reply_id = sent(a_chat)
    a_chat.complete_reply(reply_id, "Hi", None, "m", "stop", None, AT)
    with pytest.raises(ReplyNotOpen):
        a_chat.interrupt_reply(reply_id, "H", None, None, AT)


def test_stopping_twice_is_one_event_and_stopping_an_ended_reply_is_none() -> None:
    a_chat = chat()
    _, _, reply_id = sent(a_chat)
    assert a_chat.request_stop(reply_id, AT)
    assert a_chat.request_stop(reply_id, AT)
    a_chat.complete_reply(reply_id, "", None, "m", STOPPED, None, AT)
    assert not a_chat.request_stop(reply_id, AT)
    assert sum(isinstance(event, Chat.StopRequested) for event in a_chat.pending_events) == 1


def test_deleting_ends_the_reply_under_way_and_everything_after_it() -> None:
    a_chat = chat()
    _, _, reply_id = sent(a_chat)
    ended = a_chat.delete(AT)
    assert ended is not None
    assert ended.reply_id == reply_id
    with pytest.raises(ChatNotFound):
        a_chat.require_owner(OWNER)
    with pytest.raises(ChatNotFound):
        a_chat.rename("x", AT)
    with pytest.raises(ReplyNotOpen):
        a_chat.complete_reply(reply_id, "Hi", None, "m", "stop", None, AT)


def test_erasing_ends_the_reply_under_way_and_is_said_once() -> None:
    a_chat = chat()
    _, _, reply_id = sent(a_chat)
    ended = a_chat.erase(AT)
    assert ended is not None and ended.reply_id == reply_id
    assert a_chat.erase(AT) is None
    assert sum(isinstance(event, Chat.Erased) for event in a_chat.pending_events) == 1
    with pytest.raises(ChatNotFound):
        a_chat.rename("x", AT)
    with pytest.raises(ReplyNotOpen):
        a_chat.complete_reply(reply_id, "Hi", None, "m", "stop", None, AT)


def test_a_deleted_chat_is_erased_all_the_same() -> None:
    a_chat = chat()
    answered(a_chat)
    a_chat.delete(AT)
    assert a_chat.erase(AT) is None
    assert isinstance(a_chat.pending_events[-1], Chat.Erased)


def test_a_claimed_chat_belongs_to_its_new_owner_alone_and_the_payer_stays() -> None:
    a_chat = chat()
    sent(a_chat)
    user = uuid4()
    a_chat.claim(user, AT)
    a_chat.require_owner(user)
    with pytest.raises(ChatNotFound):
        a_chat.require_owner(OWNER)
    assert a_chat.state.reply is not None
    assert a_chat.state.reply.payer == OWNER


def test_selecting_a_branch_goes_down_to_where_it_was_left() -> None:
    a_chat = chat()
    first_id, old_id = answered(a_chat)
    _, last_id = answered(a_chat)
    new_id, reply_id = regenerating(a_chat, old_id)
    a_chat.complete_reply(reply_id, "", None, "m", STOPPED, None, AT)
    answered(a_chat, edit_of=first_id)
    a_chat.select_branch(first_id, AT)
    assert a_chat.state.leaf_id == last_id
    a_chat.select_branch(new_id, AT)
    assert a_chat.state.leaf_id == new_id


def test_selecting_a_branch_goes_down_to_its_last_message() -> None:
    a_chat = chat()
    first_id, answer_id = answered(a_chat)
    _, last_id = answered(a_chat)
    answered(a_chat, edit_of=first_id)
    a_chat.select_branch(answer_id, AT)
    assert a_chat.state.leaf_id == last_id


def test_selecting_the_active_branch_again_says_nothing() -> None:
    a_chat = chat()
    message_id, _ = answered(a_chat)
    before = len(a_chat.pending_events)
    a_chat.select_branch(message_id, AT)
    assert len(a_chat.pending_events) == before


def test_the_first_message_titles_an_untitled_chat_once() -> None:
    a_chat = Chat.start(uuid4(), OWNER, None, None, AT)
    a_chat.send(uuid4(), "One", AT, title="One")
    a_chat.send(uuid4(), "Two", AT, title="Two")
    titles = [e.title for e in a_chat.pending_events if isinstance(e, Chat.Renamed)]
    assert titles == ["One"]


class AnyHistory(RuleBasedStateMachine):
    """Whatever is asked of a chat, in whatever order."""

    messages: Bundle[UUID] = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.chat = chat()

    def ask(self, ask: Any) -> Any:
        try:
            return ask()
        except Refusal:
            return None

    @rule(target=messages)
    def send(self) -> UUID:
        ids = self.ask(lambda: sent(self.chat))
        return ids[1] if ids else uuid4()

    @rule(target=messages, at=messages)
    def branch(self, at: UUID) -> UUID:
        ids = self.ask(lambda: sent(self.chat, parent_id=at))
        return ids[0] if ids else uuid4()

    @rule(target=messages, of=messages)
    def edit(self, of: UUID) -> UUID:
        ids = self.ask(lambda: sent(self.chat, edit_of=of))
        return ids[0] if ids else uuid4()

    @rule(target=messages, of=messages)
    def regenerate(self, of: UUID) -> UUID:
        ids = self.ask(lambda: regenerating(self.chat, of))
        return ids[0] if ids else uuid4()

    @rule(how=st.sampled_from(["complete", "stop", "fail", "interrupt"]), text=st.text(max_size=3))
    def end(self, how: str, text: str) -> None:
        reply = self.chat.state.reply
        reply_id = reply.reply_id if reply else uuid4()
        endings = {
            "complete": lambda: self.chat.complete_reply(
                reply_id, text, None, "m", "stop", None, AT
            ),
            "stop": lambda: self.chat.complete_reply(reply_id, text, None, "m", STOPPED, None, AT),
            "fail": lambda: self.chat.fail_reply(reply_id, "INTERNAL", text, None, None, AT),
            "interrupt": lambda: self.chat.interrupt_reply(reply_id, text, None, None, AT),
        }
        self.ask(endings[how])

    @rule(message=messages)
    def select(self, message: UUID) -> None:
        self.ask(lambda: self.chat.select_branch(message, AT))

    @rule()
    def delete(self) -> None:
        if len(self.chat.state.messages) > 12:
            self.ask(lambda: self.chat.delete(AT))

    @rule()
    def erase(self) -> None:
        if len(self.chat.state.messages) > 12:
            self.ask(lambda: self.chat.erase(AT))

    @invariant()
    def the_tree_is_connected(self) -> None:
        state = self.chat.state
        reached: list[UUID] = []
        waiting = list(state.roots)
        while waiting:
            reached.append(waiting.pop())
            waiting.extend(state.messages[reached[-1]].children)
        assert sorted(reached) == sorted(state.messages)
        assert state.leaf_id is None or state.leaf_id in state.messages

    @invariant()
    def at_most_one_message_streams_and_it_is_the_open_replys(self) -> None:
        state = self.chat.state
        streaming = [key for key, node in state.messages.items() if node.status == "streaming"]
        assert streaming == ([state.reply.message_id] if state.reply else [])

    @invariant()
    def replay_equals_live(self) -> None:
        assert replayed(self.chat).state == self.chat.state


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyHistory = AnyHistory.TestCase
