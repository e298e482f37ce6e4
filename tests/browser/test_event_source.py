"""Chromium's own EventSource, on Dabir's origin, under its policy, through cut connections."""

from typing import Any
from uuid import uuid4

from playwright.sync_api import Page

from tests.browser.conftest import OpenPage
from tests.proxy.cutting import CuttingProxy
from tests.proxy.speech import POEM, chunks
from tests.service import Service
from tests.upstream import Upstream

CUTS = [160, 0, 1, 13, 377, 0, 999, 1013, 1500, 450, 451, 452, 20, 777]
"""The first one lets `retry` through: a browser that has not read it waits three seconds."""
COMES_BACK_AFTER = 50
"""Milliseconds, by the proxy's leave."""
TOKENS = "".join(f"t{number} " for number in range(400))


def wait(page: Page, condition: str) -> dict[str, Any]:
    """What was seen, once `condition` holds of it."""
    page.wait_for_function(f"() => {condition}")
    seen: dict[str, Any] = page.evaluate("() => seen")
    return seen


def assert_it_never_comes_back(page: Page, proxy: CuttingProxy) -> None:
    asked = len(proxy.asked)
    page.wait_for_timeout(20 * COMES_BACK_AFTER)
    assert len(proxy.asked) == asked


def test_the_third_snippet_by_cookie_alone_survives_cuts(
    service: Service, open_page: OpenPage, headers: dict[str, str]
) -> None:
    with CuttingProxy(service.url, CUTS) as proxy:
        page = open_page(proxy.url)
        body = {"content": "[[tokens-400-at-100]]"}
        page.evaluate(
            "([headers, body]) => { window.seen = snippet(headers, body) }", [headers, body]
        )
        seen = wait(page, "seen.completed || seen.error")
        assert seen["text"] == seen["completed"]["content"] == TOKENS
        assert proxy.cuts_left == 0
        assert len(proxy.asked) == len(CUTS) + 1
        assert not any("authorization" in head.lower() for head in proxy.asked)
        assert_it_never_comes_back(page, proxy)


def test_by_stream_token_it_comes_back_by_itself_and_stops_after_the_end(
    service: Service, upstream: Upstream, open_page: OpenPage, headers: dict[str, str]
) -> None:
    upstream.script("poem", chunks(POEM * 8))
    with CuttingProxy(service.url, CUTS) as proxy:
        page = open_page(proxy.url)
        page.evaluate(
            """async (headers) => {
                const token = await post(headers, { content: '[[poem]]' });
                window.seen = watch(`/api/v1/messages/send?stream_token=${token}`);
            }""",
            headers,
        )
        seen = wait(page, "seen.closed")
        assert seen["text"] == seen["data"]["assistant_complete"]["content"] == POEM * 8
        assert seen["names"] == ["assistant_typing", "assistant_complete", "usage_info"]
        assert seen["lastId"].endswith(".u")
        assert proxy.cuts_left == 0
        # One for each cut, the one that reached the end, and the one that heard of it.
        assert len(proxy.asked) == len(CUTS) + 2
        assert_it_never_comes_back(page, proxy)


def test_a_refused_send_is_heard_once_by_the_event_source_opened_next(
    service: Service, open_page: OpenPage, headers: dict[str, str]
) -> None:
    """Without a proxy: after the server's own three seconds it hears 204."""
    page = open_page(service.url)
    body = {"content": "hello", "model": "no-such-model"}
    page.evaluate(
        """async ([headers, body]) => {
            await post(headers, body);
            window.seen = watch('/api/v1/messages/send');
        }""",
        [headers, body],
    )
    seen = wait(page, "seen.closed")
    assert seen["names"] == ["assistant_error"]
    assert seen["data"]["assistant_error"]["code"] == "MODEL_NOT_FOUND"
    assert seen["opened"] == 1


def test_the_third_snippet_shows_a_refusal(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.url)
    headers = {"Authorization": "Bearer not-a-token"}
    page.evaluate("(headers) => { window.seen = snippet(headers, { content: 'hello' }) }", headers)
    assert wait(page, "seen.error")["text"] == ""


def test_a_reload_in_mid_answer_goes_on(
    service: Service, upstream: Upstream, open_page: OpenPage, headers: dict[str, str]
) -> None:
    gate = f"gate-{uuid4()}"
    content = f"[[{gate}]] پس از بارگذاری دوباره"
    page = open_page(service.url)
    page.evaluate(
        """async ([headers, content]) => {
            await post(headers, { content });
            window.seen = watch('/api/v1/messages/send');
        }""",
        [headers, content],
    )
    before = wait(page, "seen.text")
    page.reload()
    page.evaluate(
        """(lastId) => {
            window.seen = watch('/api/v1/messages/send');
            window.rest = watch(`/api/v1/messages/send?last_event_id=${lastId}`);
        }""",
        before["lastId"],
    )
    wait(page, "seen.text")
    upstream.release(gate.removeprefix("gate-"))
    whole = wait(page, "seen.names.at(-1) === 'usage_info' && rest.names.at(-1) === 'usage_info'")
    rest = page.evaluate("() => rest")
    complete = whole["data"]["assistant_complete"]["content"]
    assert whole["text"] == complete == "Waiting. " + content
    assert before["text"] + rest["text"] == complete
    assert rest["names"] == ["assistant_complete", "usage_info"]


def test_two_tabs_follow_the_same_reply_live(
    service: Service, upstream: Upstream, open_page: OpenPage, headers: dict[str, str]
) -> None:
    gate = f"gate-{uuid4()}"
    content = f"[[{gate}]] in both tabs 🎈"
    first = open_page(service.url)
    first.evaluate(
        "([headers, content]) => { window.seen = snippet(headers, { content }) }",
        [headers, content],
    )
    wait(first, "seen.text")
    second = open_page(service.url)
    second.evaluate("() => { window.seen = watch('/api/v1/messages/send') }")
    assert wait(second, "seen.text")["text"] == "Waiting. "
    upstream.release(gate.removeprefix("gate-"))
    assert wait(first, "seen.completed")["text"] == "Waiting. " + content
    assert wait(second, "seen.data.assistant_complete")["text"] == "Waiting. " + content
