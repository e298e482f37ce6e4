"""The chat page at `/`, in Chromium, against the real server."""

import re
from collections.abc import Iterator
from pathlib import Path
from socket import socket
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.browser.chat_page import ChatPage, chat_page
from tests.browser.long_chat import MESSAGES, write_long_chat
from tests.service import Service, bearer, send, token, until
from tests.upstream import Upstream

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def long_chat_of() -> str:
    return f"reader-{uuid4()}"


@pytest.fixture(scope="module")
def chatting(
    upstream: Upstream, long_chat_of: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("chat-page") / "data"
    write_long_chat(folder, long_chat_of)
    environ = {
        "DABIR_STARTING_BALANCE": "5",
        "DABIR_ANON_MESSAGE_LIMIT": "6",
        "DABIR_TOP_UP_URL": "https://example.org/pay",
    }
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


@pytest.fixture
def tab(context: BrowserContext, chatting: Service) -> Iterator[ChatPage]:
    with chat_page(context, chatting) as page:
        yield page.open()


def test_an_answer_streams_in_and_tells_its_cost(tab: ChatPage, sub: str) -> None:
    tab.sign_in(sub)
    tab.page.get_by_role("combobox", name="Model").select_option("paid")
    answer = tab.ask("[[tokens-20]] Good day")
    expect(answer).to_contain_text("t0 t1")
    expect(answer).to_contain_text("t19")
    cost = answer.locator(".cost")
    expect(cost).to_contain_text(re.compile(r"0\.02.* · \d+ tokens"))
    expect(cost).to_have_attribute("title", re.compile(r"Price from models.toml"))
    expect(tab.chats).to_contain_text(re.compile(r"Balance.*4\.9"))
    expect(tab.chat("[[tokens-20]] Good day")).to_have_attribute("aria-current", "page")


def test_answers_are_stopped_made_again_and_compared(tab: ChatPage, upstream: Upstream) -> None:
    tab.write("[[slow]] A long one")
    expect(tab.answers.last).to_contain_text("t3")
    tab.page.keyboard.press("Escape")
    tab.wait_until_answered()
    expect(tab.answers.last).to_contain_text("Stopped")
    stopped = tab.answers.last.inner_text()
    assert "t150" not in stopped

    tab.ask("The first question")
    tab.button("Regenerate").last.click()
    expect(tab.answers.last.get_by_role("group", name="Versions")).to_contain_text("2/2")
    tab.wait_until_answered()
    tab.button("Previous version").click()
    expect(tab.answers.last.get_by_role("group", name="Versions")).to_contain_text("1/2")

    tab.composer.focus()
    tab.page.keyboard.press("ArrowUp")
    tab.page.get_by_role("textbox", name="New text").fill("Another question")
    tab.page.keyboard.press("Enter")
    expect(tab.questions.last).to_contain_text("Another question")
    tab.wait_until_answered()
    expect(tab.answers.last).to_contain_text("Another question")
    tab.questions.last.get_by_role("button", name="Previous version").click()
    expect(tab.questions.last).to_contain_text("The first question")
    expect(tab.answers.last).to_contain_text("The first question")


def test_an_answer_is_read_once(tab: ChatPage) -> None:
    """Also one that ends before the socket tells of its beginning."""
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    for number in range(3):
        tab.ask(f"[[tokens-1]] {number}")
        expect(tab.chat("[[tokens-1]] 0")).to_be_visible()
    tab.page.reload()  # whatever it asked for, it has asked for by now
    expect(tab.answers).to_have_count(3)
    assert [each for each in asked if "GET" in each and "/messages/send" in each] == []


def test_an_answer_is_stopped_before_it_has_begun(tab: ChatPage) -> None:
    tab.ask("Before")
    tab.composer.fill("[[slow]] A long one")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Escape")
    tab.wait_until_answered()
    expect(tab.answers.last).to_contain_text("Stopped")
    expect(tab.questions.last).to_contain_text("A long one")
    expect(tab.composer).to_have_value("")


def test_keys_that_compose_a_character_do_nothing_else(tab: ChatPage, upstream: Upstream) -> None:
    """As an input method sends them: Enter takes what is composed, Escape gives it up."""
    press = """(element, key) => element.dispatchEvent(
        new KeyboardEvent("keydown", { key, isComposing: true, bubbles: true, cancelable: true })
    )"""
    tab.write("[[gate-composing]] Something")
    expect(tab.answers.last).to_contain_text("Waiting.")
    tab.composer.evaluate(press, "Escape")
    tab.button("Edit message").click()
    edited = tab.page.get_by_role("textbox", name="New text")
    edited.evaluate(press, "Escape")
    edited.evaluate(press, "Enter")
    expect(edited).to_be_visible()
    upstream.release("composing")
    tab.wait_until_answered()
    expect(tab.answers.last).to_contain_text("Something")
    expect(tab.answers.last).not_to_contain_text("Stopped")


def test_chats_are_renamed_archived_found_and_deleted(tab: ChatPage, sub: str) -> None:
    tab.sign_in(sub)
    tab.ask("Kestrels hover over the meadow")
    title = "Kestrels hover over the meadow"
    tab.choose(title, "Rename")
    tab.page.get_by_role("textbox", name="Rename chat").fill("Birds & <b>beasts</b>")
    tab.page.keyboard.press("Enter")
    renamed = "Birds & <b>beasts</b>"
    expect(tab.chat(renamed)).to_be_visible()

    tab.button("New chat").click()
    expect(tab.answers).to_have_count(0)
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type("kestr")
    found = tab.page.get_by_role("list", name="Messages found")
    expect(found).to_contain_text("hover over the meadow")
    found.get_by_role("link").first.click()
    expect(tab.questions.first).to_contain_text("Kestrels")
    tab.page.get_by_role("searchbox").fill("")

    tab.choose(renamed, "Archive")
    expect(tab.chat(renamed)).to_have_count(0)
    tab.button("Show archived chats").click()
    tab.choose(renamed, "Unarchive")
    expect(tab.chat(renamed)).to_have_count(0)
    tab.button("Back to chats").click()
    tab.choose(renamed, "Delete")
    dialog = tab.page.get_by_role("dialog", name="Delete chat?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(tab.chat(renamed)).to_be_visible()
    tab.choose(renamed, "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(tab.chat(renamed)).to_have_count(0)
    expect(tab.answers).to_have_count(0)


def test_the_list_goes_on_as_it_is_scrolled(tab: ChatPage, chatting: Service, sub: str) -> None:
    for number in range(65):
        send(chatting, bearer(sub), f"[[tokens-1]] Chat number {number}")
    tab.sign_in(sub)
    last = tab.chat("[[tokens-1]] Chat number 64")
    first = tab.chat("[[tokens-1]] Chat number 0")
    expect(last).to_be_visible()
    expect(first).to_have_count(0)
    last.hover()
    while not first.count():
        seen = tab.chat_links.count()
        tab.page.mouse.wheel(0, 20_000)
        expect(tab.chat_links).not_to_have_count(seen)
    first.scroll_into_view_if_needed()
    expect(first).to_be_visible()

    # By its address, one that is far down is not searched for in the whole list.
    first.click()
    expect(tab.questions).to_have_count(1)
    asked: list[str] = []
    tab.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda frame: asked.append(str(frame))),
    )
    tab.page.reload()
    expect(tab.page.get_by_role("heading", name="Chat number 0")).to_be_visible()
    assert len([each for each in asked if "list_chats" in each]) == 1


def test_at_the_limit_people_sign_in_and_bring_their_chats_along(tab: ChatPage, sub: str) -> None:
    for number in range(6):
        tab.ask(f"[[tokens-1]] Question {number}")
    limit = tab.page.get_by_role("alert", name="You have used all free messages")
    expect(limit).to_contain_text("6 messages")
    tab.write("One more")
    expect(limit).to_be_visible()
    expect(tab.composer).to_have_value("One more")
    limit.get_by_role("button", name="Sign in").click()
    dialog = tab.page.get_by_role("dialog", name="Sign in")
    dialog.get_by_role("textbox", name="Token").fill("not a token")
    dialog.click(position={"x": 3, "y": 3})  # at its edge, which is not beside it
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not valid")
    dialog.get_by_role("textbox", name="Token").fill(token(sub))
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)
    tab.button("Bring them along").click()
    expect(tab.chat("[[tokens-1]] Question 0")).to_be_visible()
    expect(limit).to_have_count(0)
    tab.chat("[[tokens-1]] Question 0").click()
    answer = tab.ask("And now as a user")
    expect(answer).to_contain_text("And now as a user")
    expect(tab.answers).to_have_count(7)


def test_a_link_with_a_token_signs_nobody_in(tab: ChatPage, sub: str) -> None:
    """Whoever follows it would write into somebody else's chats."""
    with tab.page.expect_navigation(wait_until="load"):
        tab.follow_link_with(token(sub))
    expect(tab.button("Sign in")).to_be_visible()
    expect(tab.page.get_by_text("6 of 6 messages left")).to_be_visible()
    assert "token" not in tab.page.url


def test_nothing_of_who_signed_out_stays_in_sight(
    tab: ChatPage, context: BrowserContext, sub: str
) -> None:
    tab.sign_in(sub)
    tab.ask("[[tokens-1]] A secret")
    found = tab.page.get_by_role("list", name="Messages found")
    tab.page.get_by_role("searchbox").fill("secret")
    expect(found).to_contain_text("A secret")
    tab.button("Sign out").click()
    expect(found).to_have_count(0)

    tab.sign_in(sub)
    tab.chat("[[tokens-1]] A secret").click()
    expect(tab.questions).to_have_count(1)
    context.set_offline(offline=True)
    tab.button("Sign out").click()
    expect(tab.button("Sign out")).to_have_count(0)
    expect(tab.questions).to_have_count(0)
    expect(tab.chat_links).to_have_count(0)
    context.set_offline(offline=False)
    expect(tab.page.get_by_text("Your chats will be listed here")).to_be_visible()
    tab.faults = [each for each in tab.faults if "ERR_INTERNET_DISCONNECTED" not in each]


def test_without_balance_the_way_to_top_up_is_shown(
    context: BrowserContext, upstream: Upstream, tmp_path: Path, sub: str
) -> None:
    environ = {"DABIR_TOP_UP_URL": "https://example.org/pay"}
    with (
        Service(tmp_path / "data", upstream.api_base, environ=environ) as poor,
        chat_page(context, poor.wait_ready()) as tab,
    ):
        tab.open().sign_in(sub)
        tab.page.get_by_role("combobox", name="Model").select_option("paid")
        tab.write("Anything at all")
        refused = tab.page.get_by_role("alert", name="Your balance is too low")
        expect(refused).to_contain_text(re.compile(r"up to \$1\b"))
        expect(refused.get_by_role("link", name="Top up")).to_have_attribute(
            "href", "https://example.org/pay"
        )
        expect(tab.composer).to_have_value("Anything at all")


def test_tabs_that_are_opened_together_are_one_visitor(
    context: BrowserContext, chatting: Service
) -> None:
    held: list[Route] = []
    context.route("**/api/v1/anonymous", lambda route: held.append(route))
    with chat_page(context, chatting) as one, chat_page(context, chatting) as other:
        one.open()
        with other.page.expect_request("**/api/v1/anonymous"):
            other.open()
        assert len(held) == 2
        for route in held:
            route.continue_()
        identity = "localStorage['dabir.anon_id']"
        one.page.wait_for_function(f"() => {identity}")
        until(lambda: one.page.evaluate(identity) == other.page.evaluate(identity))
        one.ask("[[tokens-1]] Of one")
        expect(other.chat("[[tokens-1]] Of one")).to_be_visible()
        other.ask("[[tokens-1]] Of the other")
        expect(one.chat("[[tokens-1]] Of the other")).to_be_visible()


def test_a_second_tab_and_a_reload_go_on_with_the_same_stream(
    context: BrowserContext, tab: ChatPage, chatting: Service, upstream: Upstream, sub: str
) -> None:
    tab.sign_in(sub)
    tab.ask("Before")
    with chat_page(context, chatting) as other:
        other.open(tab.page.url.partition("/#")[2] and f"#{tab.page.url.partition('#')[2]}")
        expect(other.answers).to_have_count(1)
        tab.write("[[gates-tabs]] What both see")
        expect(other.questions.last).to_contain_text("What both see")
        upstream.release("tabs-1")
        expect(tab.answers.last).to_contain_text("Waiting.")
        expect(other.answers.last).to_contain_text("Waiting.")
        tab.page.reload()
        expect(tab.answers.last).to_contain_text("Waiting.")
        expect(tab.button("Stop")).to_be_visible()
        upstream.release("tabs-2")
        for each in (tab, other):
            each.wait_until_answered()
            expect(each.answers).to_have_count(2)
            expect(each.answers.last).to_contain_text("What both see")
            expect(each.questions).to_have_count(2)


def test_who_comes_second_sees_the_answer_that_is_under_way(
    context: BrowserContext, tab: ChatPage, chatting: Service, upstream: Upstream, sub: str
) -> None:
    tab.sign_in(sub)
    tab.ask("Before")
    with chat_page(context, chatting) as other:
        other.open(f"#{tab.page.url.partition('#')[2]}")
        expect(other.answers).to_have_count(1)
        held: list[Route] = []
        other.page.route("**/messages/send", lambda route: held.append(route))
        with other.page.expect_request("**/messages/send"):
            other.write("I come second")
        tab.write("[[gate-second]] I come first")
        expect(tab.answers.last).to_contain_text("Waiting.")
        held[0].continue_()
        expect(other.composer).to_have_value("I come second")
        expect(other.answers.last).to_contain_text("Waiting.")
        expect(other.button("Stop")).to_be_visible()
        upstream.release("second")
        other.wait_until_answered()
        expect(other.answers).to_have_count(2)


@pytest.mark.alone
def test_a_thousand_messages_open_in_under_a_second(
    tab: ChatPage, chatting: Service, long_chat_of: str
) -> None:
    tab.sign_in(long_chat_of)
    tab.chat("A thousand messages").click()
    expect(tab.answers.last).to_contain_text(f"Line {MESSAGES // 2 - 1}")
    # Again, from nothing, by the browser's own clock.
    tab.page.reload()
    tab.page.wait_for_function(
        "text => [...document.querySelectorAll('article')].some((e) => e.innerText.includes(text))",
        arg=f"Line {MESSAGES // 2 - 1}",
        polling="raf",
    )
    assert tab.page.evaluate("performance.now()") < 1000
    while not tab.questions.filter(has_text="after line 0 of").count():
        seen = tab.questions.count()
        tab.questions.first.scroll_into_view_if_needed()
        tab.page.mouse.move(700, 400)
        tab.page.mouse.wheel(0, -3000)
        expect(tab.questions).not_to_have_count(seen)
    expect(tab.questions).to_have_count(MESSAGES // 2)


def test_what_models_and_people_write_runs_nothing(tab: ChatPage, sub: str) -> None:
    tab.sign_in(sub)
    payloads = [
        "<script>window.ran = 1</script>",
        "<img src=x onerror='window.ran = 1'>",
        "[a link](javascript:window.ran=1)",
        "[data](data:text/html,<script>window.ran=1</script>)",
        "<svg onload='window.ran = 1'><a xlink:href='javascript:window.ran=1'>x</a></svg>",
        "![picture](https://tracker.example/pixel.png)",
        "```html\n<img src=x onerror='window.ran = 1'>\n```",
        "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    ]
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    answer = tab.ask("\n\n".join(payloads))
    title = tab.page.title()
    for link in answer.locator(".prose a, .markdown a").all():
        assert re.match(r"https?://|mailto:", link.get_attribute("href") or "")
        assert "noopener" in (link.get_attribute("rel") or "")
    tab.choose(tab.chat_links.first.inner_text(), "Rename")
    tab.page.get_by_role("textbox", name="Rename chat").fill(payloads[1])
    tab.page.keyboard.press("Enter")
    expect(tab.chat(payloads[1])).to_be_visible()
    assert tab.page.evaluate("window.ran") is None, title
    assert all(url.startswith(tab.url) for url in asked)
    assert answer.locator("img, script, iframe, svg[onload]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it_in_either_language_and_on_a_phone(
    tab: ChatPage, sub: str, scheme: str
) -> None:
    page = tab.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.sign_in(sub)
    tab.ask("**سلام** دنیا\n\n- one\n- دو\n\n| a | b |\n|---|---|\n| 1 | ۲ |\n\n```\ncode\n```")
    assert tab.violations() == []

    page.get_by_role("combobox", name="Language").select_option("fa")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator("html")).to_have_attribute("lang", "fa")
    sidebar = page.get_by_role("navigation").first.bounding_box()
    assert sidebar is not None
    assert sidebar["x"] > 640
    direction = "element => getComputedStyle(element).direction"
    prose = page.get_by_role("article").last
    assert prose.locator("p").first.evaluate(direction) == "rtl"
    assert prose.locator("li", has_text="one").evaluate(direction) == "ltr"
    assert prose.locator("li", has_text="دو").evaluate(direction) == "rtl"
    assert prose.locator("pre").evaluate(direction) == "ltr"
    assert tab.violations() == []

    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    assert tab.violations() == []


def test_a_long_name_leaves_room_to_sign_out(tab: ChatPage, sub: str) -> None:
    tab.sign_in(f"https://id.example.org/{sub}/{sub}")
    beside = tab.chats.bounding_box()
    leave = tab.button("Sign out").bounding_box()
    assert beside is not None
    assert leave is not None
    assert leave["x"] + leave["width"] <= beside["x"] + beside["width"]


def test_on_a_phone_the_chats_are_a_drawer(tab: ChatPage) -> None:
    tab.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    tab.ask("Something short")
    expect(tab.chat("Something short")).not_to_be_in_viewport()
    tab.button("Open chats").click()
    expect(tab.chat("Something short")).to_be_in_viewport()
    tab.button("New chat").first.click()
    expect(tab.chat("Something short")).not_to_be_in_viewport()
    expect(tab.answers).to_have_count(0)


def test_a_failure_says_so_and_offers_another_try(tab: ChatPage) -> None:
    tab.write("[[refuse-500]] Hello")
    expect(tab.answers.last).to_contain_text("The model failed to answer.")
    tab.answers.last.get_by_role("button", name="Try again").click()
    expect(tab.answers.last.get_by_role("group", name="Versions")).to_contain_text("/2")


def test_a_server_that_restarts_loses_nothing_of_what_is_shown(
    context: BrowserContext, upstream: Upstream, tmp_path: Path
) -> None:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        environ = {"DABIR_PORT": str(free.getsockname()[1])}
    service = Service(tmp_path / "data", upstream.api_base, environ=environ).start().wait_ready()
    with chat_page(context, service) as tab:
        tab.open()
        tab.write("[[gate-restart]] Whatever happens")
        expect(tab.answers.last).to_contain_text("Waiting.")
        service.kill()
        expect(tab.page.get_by_role("status", name="Connection")).to_contain_text("Trying again")
        service.start().wait_ready()
        expect(tab.answers.last).to_contain_text("interrupted", timeout=60_000)
        expect(tab.page.get_by_role("status", name="Connection")).to_be_empty()
        upstream.release("restart")
        tab.answers.last.get_by_role("button", name="Try again").click()
        tab.wait_until_answered()
        expect(tab.answers.last).to_contain_text("Whatever happens")
    assert service.stop() == 0


def test_the_local_model_answers_a_visitor(context: BrowserContext, tmp_path: Path) -> None:
    """As after the README's first command."""
    with (
        Service(tmp_path / "data", None) as service,
        chat_page(context, service.wait_ready()) as tab,
    ):
        tab.open().write("Write a long story about scribes.")
        expect(tab.answers.last.locator("p").first).to_have_text(
            re.compile(r"\w+ \w+ \w+"), timeout=60_000
        )
        tab.page.keyboard.press("Escape")
        tab.wait_until_answered()


@pytest.mark.alone
def test_a_fast_answer_is_drawn_at_each_frame(tab: ChatPage) -> None:
    """200 tokens a second: what is shown changes as often as the screen does."""
    tab.page.evaluate(
        """() => {
          window.drawn = { frames: 0, changed: 0, last: "" };
          const look = () => {
            const answers = document.querySelectorAll('article[aria-label="Assistant"]');
            const text = answers[answers.length - 1]?.textContent ?? "";
            if (text.includes("t20 ") && !text.includes("t580 ")) {
              drawn.frames += 1;
              drawn.changed += text !== drawn.last;
              drawn.began ??= performance.now();
              drawn.ended = performance.now();
            }
            drawn.last = text;
            requestAnimationFrame(look);
          };
          requestAnimationFrame(look);
        }"""
    )
    tab.ask("[[tokens-600-at-200]] Quickly")
    drawn = tab.page.evaluate("drawn")
    seconds = (drawn["ended"] - drawn["began"]) / 1000
    assert drawn["changed"] / seconds > 45, drawn
    assert drawn["changed"] > 0.85 * drawn["frames"], drawn


def test_of_a_long_answer_only_the_end_is_drawn_again(tab: ChatPage) -> None:
    """However long it gets: elements that one change makes, counted while it is written."""
    tab.page.evaluate(
        """() => {
          window.drawn = { most: 0, items: 0, lines: 0 };
          const size = (node) => (node.querySelectorAll?.("*").length ?? 0) + 1;
          const look = (records) => {
            const answer = [...document.querySelectorAll("article.answer")].at(-1);
            if (answer?.dataset.status !== "streaming") return;
            for (const { addedNodes } of records) {
              const made = [...addedNodes].reduce((sum, node) => sum + size(node), 0);
              drawn.most = Math.max(drawn.most, made);
            }
            drawn.items = Math.max(drawn.items, answer.querySelectorAll("li").length);
            const code = answer.querySelector("code")?.textContent ?? "";
            drawn.lines = Math.max(drawn.lines, code.split("\\n").length - 1);
          };
          new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    items = "".join(f"{number}. An **item** of many\n" for number in range(1, 81))
    code = "def line(number: int) -> str: return f'{number}' * len('abc')  # one\n" * 80
    answer = tab.ask(f"[[echo-at-600]]\n\n{items}\n```python\n{code}```")
    expect(answer.locator("ol")).to_have_count(1)
    expect(answer.locator("li")).to_have_count(80)
    assert answer.locator("pre code").text_content() == code
    drawn = tab.page.evaluate("drawn")
    assert drawn["items"] == 80
    assert drawn["lines"] > 60  # the last ones may come with the end
    assert drawn["most"] < 250, drawn
