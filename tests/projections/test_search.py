"""Finding messages by their words, in the languages people write."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given as given_text
from hypothesis import strategies as st

from application.errors import InvalidRequest
from application.queries import SearchMessages, SearchPage
from domain.chat import Chat
from infrastructure.projections import search, search_words
from infrastructure.projections.search_queries import search_messages
from tests.projections.given import Given


def found(given: Given, owner: UUID, query: str, **request: object) -> SearchPage:
    wanted = SearchMessages(query=query, **request)  # type: ignore[arg-type]
    return given.read(search_messages, owner, wanted)


def hits(given: Given, chat: Chat, query: str) -> list[str | None]:
    return [hit.message.content for hit in found(given, chat.state.owner, query).results]


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("The scribe writes everything down", "scribe everything"),
        ("The scribe writes everything down", "EVERYTHING wri"),
        ("state-of-the-art", "state-of-the-a"),
        ("می‌خواهم کتاب‌ها را بخوانم", "کتاب‌ها"),
        ("می‌خواهم کتاب بخوانم", "بخوا"),
        ("او کُتُب را خواند", "کتب"),
        ("كتاب عربي", "کتاب عربی"),
        ("Überraschung im Café", "uberraschung cafe"),
        ("naive cafe", "naïve café"),
        ("日本語の文章を検索する", "検索"),
        ("我喜欢写作", "写作"),
        ("ฉันชอบเขียน", "เขียน"),
        ("हिन्दी में लिखो", "हिन्दी"),
        ("한국어 문장", "한국"),
        ("Ελληνικά και Русский", "ΕΛΛΗΝΙΚΑ рус"),
        ("say \x00 it", "say\x00it"),
    ],
)
def test_words_are_found_in_any_language(given: Given, content: str, query: str) -> None:
    chat = given.chat()
    given.sent(chat, content)
    given.sent(chat, "something else entirely, اصلاً چیز دیگر, 別")
    assert hits(given, chat, query) == [content]


def test_only_the_last_word_is_a_prefix_and_all_must_be_there(given: Given) -> None:
    chat = given.chat()
    given.sent(chat, "writing letters")
    assert hits(given, chat, "writing let")
    assert not hits(given, chat, "writ letters")
    assert not hits(given, chat, "writing numbers")
    assert not hits(given, chat, "riting")


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '""',
        "'",
        "*",
        "!!!",
        "a AND",
        "NOT a",
        "NEAR(a b)",
        "a OR b",
        "owner:a",
        "content:a",
        "-a",
        "^a",
        "{content} : a",
        "a:b",
        '") OR owner:(a',
        "(((",
        "\x00",
        "%_",
        "\\",
        "😀",
        "a" * 200,
        "a " * 100,
    ],
)
def test_nothing_that_is_typed_is_syntax(given: Given, query: str) -> None:
    chat, stranger = given.chat(), given.chat()
    given.sent(stranger, "a or b, and near")
    assert hits(given, chat, query) == []


def test_words_of_any_length_and_number_are_found(given: Given) -> None:
    """Beyond what the index takes of a word, and of a text."""
    chat = given.chat()
    alike = ["x" * 3000 + "y", "x" * 3000 + "z"]
    many = " ".join(f"word{n:06}" for n in range(60_000)) + " needle in the end"
    for content in (*alike, many):
        given.sent(chat, content)
    assert hits(given, chat, alike[0]) == [alike[0]]
    assert hits(given, chat, "x" * 2999) == alike[::-1]
    assert hits(given, chat, "word000007 need") == [many]
    assert hits(given, chat, "word000007 nowhere") == []


def test_a_phrase_is_found_in_its_order_only(given: Given) -> None:
    chat = given.chat()
    given.sent(chat, "the-art of state")
    given.sent(chat, "作写")
    assert hits(given, chat, "art-of") == ["the-art of state"]
    assert not hits(given, chat, "state-of")
    assert not hits(given, chat, "写作")


def test_a_query_without_a_word_finds_nothing(given: Given) -> None:
    chat = given.chat()
    given.sent(chat, "!!! wow !!!")
    page = found(given, chat.state.owner, "!!!")
    assert (page.results, page.has_more, page.next_cursor) == ([], False, None)
    assert page.position == len(given.log)
    assert hits(given, chat, "!!! wow")


def test_a_hit_comes_with_its_chat_its_message_and_the_place(given: Given) -> None:
    chat = given.chat(title="Poets")
    _, answered = given.turn(chat, "Who?", "x " * 300 + "then came Hafez of Shiraz " + "y " * 300)
    (hit,) = found(given, chat.state.owner, "hafez").results
    assert (hit.chat.id, hit.chat.title, hit.chat.message_count) == (chat.id, "Poets", 2)
    assert (hit.message.id, hit.message.versions) == (answered, [answered])
    assert "Hafez of Shiraz" in hit.snippet
    assert hit.snippet.startswith("…") and hit.snippet.endswith("…")
    assert len(hit.snippet) < 180


def test_a_snippet_shows_the_match_behind_marks_and_ligatures() -> None:
    content = "ﬁrst " * 100 + "کِتاب خوب است"
    assert "کِتاب" in search_words.snippet_of(content, search_words.words_of("کتاب"))


def test_newest_messages_come_first_and_a_cursor_goes_on_below(given: Given) -> None:
    chat = given.chat()
    contents = [f"word number {n}" for n in range(7)]
    for content in contents:
        given.sent(chat, content)
    seen: list[str | None] = []
    cursor = None
    while True:
        page = found(given, chat.state.owner, "word", limit=3, cursor=cursor)
        seen += [hit.message.content for hit in page.results]
        given.sent(chat, "another word")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == contents[::-1]
    assert not page.has_more


def test_a_cursor_that_was_never_given_out_is_refused(given: Given) -> None:
    for cursor in ("x", "eyJiZWZvcmUiOjF9MQ", "eyJiZWZvcmUiOjFlOTl9"):
        with pytest.raises(InvalidRequest) as refused:
            found(given, uuid4(), "word", cursor=cursor)
        assert refused.value.path == "$.cursor"


def test_answers_are_found_once_they_are_whole_however_they_ended(given: Given) -> None:
    chat = given.chat()
    owner = chat.state.owner
    reply_id, _ = given.started(chat, given.sent(chat, "first"))
    assert hits(given, chat, "needle") == []
    given.completed(chat, reply_id, "a needle completed")
    failed, _ = given.started(chat, given.sent(chat, "second"))
    chat.fail_reply(failed, "INTERNAL", "a needle failed", None, None, given.later())
    interrupted_after = given.happened(chat)
    interrupted, _ = given.started(chat, given.sent(chat, "third"))
    chat.interrupt_reply(interrupted, "a needle interrupted", None, None, given.later())
    given.happened(chat)
    assert hits(given, chat, "needle") == [
        "a needle interrupted",
        "a needle failed",
        "a needle completed",
    ]
    assert found(given, owner, "needle").position > interrupted_after


def test_nobody_finds_what_others_wrote(given: Given) -> None:
    chat, stranger = given.chat(), uuid4()
    given.sent(chat, f"secret {stranger.hex}")
    assert found(given, stranger, "secret").results == []
    assert found(given, stranger, stranger.hex).results == []
    assert found(given, stranger, chat.state.owner.hex).results == []


def test_what_is_deleted_is_not_found(given: Given) -> None:
    kept, deleted = given.chat(), given.chat()
    given.turn(deleted, "a needle sent", "a needle answered")
    given.sent(kept, "a needle kept")
    owner = deleted.state.owner
    deleted.delete(given.later())
    given.happened(deleted)
    assert found(given, owner, "needle").results == []
    assert hits(given, kept, "needle") == ["a needle kept"]
    index = str(given.read(lambda c: c.execute(search.index_on(c.dialect.name).contents).all()))
    assert "kept" in index
    assert "answered" not in index and owner.hex not in index


def test_what_was_claimed_is_found_by_its_new_owner_only(given: Given) -> None:
    chat, user = given.chat(), uuid4()
    visitor = chat.state.owner
    given.sent(chat, "an old needle")
    given.record(chat)
    chat.claim(user, given.later())
    chat.send(uuid4(), "a needle of the same batch", given.later())
    given.happened(chat)
    assert hits(given, chat, "needle") == ["a needle of the same batch", "an old needle"]
    assert found(given, visitor, "needle").results == []
    chat.delete(given.later())
    given.happened(chat)
    assert found(given, user, "needle").results == []


@given_text(
    st.text(st.sampled_from("aé ãåسيكآئً\u0301\u0655\u200c日한각 \u1100\u1161"), max_size=80)
)
def test_a_text_is_folded_word_by_word_as_in_one(content: str) -> None:
    assert search_words._folded(content) == search_words._fold(content)
