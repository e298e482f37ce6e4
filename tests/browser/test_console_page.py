"""The console at `/console`, as an operator works with it in Chromium."""

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from domain.chat import Chat
from domain.usage import Usage
from interfaces.http.web_files import WebFiles
from tests.node import CLIENTS
from tests.service import Service, bearer, named, send, token
from tests.upstream import Upstream

AXE = CLIENTS / "node_modules" / "axe-core" / "axe.min.js"
SECTIONS = ("Overview", "Log", "Chats", "Audit", "Projections", "Principals")
PAYLOAD = "<img src=x onerror='window.ran = true'><script>window.ran = true</script>"


@pytest.fixture(scope="module")
def watched(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("console-page") / "data"
    environ = {"DABIR_STARTING_BALANCE": "5", "DABIR_AUDIT_INTERVAL": "200ms"}
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


@pytest.fixture
def console(context: BrowserContext, watched: Service) -> Iterator[Page]:
    """The page of somebody who signed in. Nothing may be said against it in the browser's log."""
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(told(message)))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{watched.url}/console")
    sign_in(page, token("operator", "dabir:admin"))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    yield page
    assert faults == []


def told(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text}"


def sign_in(page: Page, with_token: str) -> None:
    page.get_by_role("textbox", name="Token").fill(with_token)
    page.get_by_role("button", name="Sign in").click()


def asked(watched: Service, route: str) -> Any:
    """What the page's own routes say."""
    answer = httpx.get(
        f"{watched.url}/api/v1/admin/{route}", headers=bearer("operator", "dabir:admin")
    )
    return answer.raise_for_status().json()


def open_section(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Console").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def figure(page: Page, name: str) -> Locator:
    """The figure on the card of that name."""
    card = page.locator(".card").filter(has=page.get_by_role("term").get_by_text(name, exact=True))
    return card.locator(".figure")


def test_only_an_operators_token_opens_it(context: BrowserContext, watched: Service) -> None:
    page = context.new_page()
    page.goto(f"{watched.url}/console")
    sign_in(page, "no.token.atall")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    sign_in(page, token("somebody"))
    expect(page.get_by_role("alert")).to_contain_text("lacks the scope dabir:admin")
    expect(page.get_by_role("navigation", name="Console")).to_have_count(0)
    operator = token("operator", "dabir:admin")
    sign_in(page, operator)
    expect(page.get_by_role("navigation", name="Console").get_by_role("link")).to_have_text(
        list(SECTIONS)
    )
    assert operator not in page.url
    page.reload()
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_role("textbox", name="Token")).to_have_value("")


def test_the_overview_follows_what_goes_on(console: Page, watched: Service) -> None:
    head = int(figure(console, "Head").inner_text().replace(",", ""))
    ended = send(watched, bearer(f"u-{uuid4()}"), "[[tokens-20]]", model="paid")
    usage = named(ended, "assistant_complete").data["message"]["usage"]
    # Of itself, and without a flicker.
    figure(console, "Head").evaluate("(figure) => { window.first = figure }")
    expect(figure(console, "Head")).not_to_have_text(str(head), timeout=15_000)
    assert figure(console, "Head").evaluate("(figure) => figure === window.first")
    expect(figure(console, "Lag")).to_have_text("0")
    expect(console.get_by_role("figure").filter(has_text="Turns a minute")).to_be_visible()
    console.reload()
    spend = asked(watched, "spend")
    spent = {row["model"]: Decimal(row["cost"]) for row in spend["rows"]}
    assert spent["paid"] >= Decimal(usage["cost"]) > 0
    by_model = console.get_by_role("group", name="By model")
    expect(by_model.get_by_role("row", name="Total")).to_contain_text(spend["total"])
    console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.get_by_text("By day").click()
    console.get_by_role("button", name="Copy as CSV").click()
    expect(console.get_by_text("Copied.")).to_be_visible()
    copied = csv.DictReader(StringIO(console.evaluate("navigator.clipboard.readText()")))
    assert [(row["day"], row["model"], row["cost"], row["currency"]) for row in copied] == [
        (row["day"], row["model"], row["cost"], "USD") for row in spend["rows"]
    ]
    console.get_by_role("button", name="7 days").click()
    expect(console.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    expect(console.get_by_role("img", name="Cost in USD").locator("canvas")).to_be_visible()


def test_from_an_event_of_the_log_back_in_its_chats_time(console: Page, watched: Service) -> None:
    sub = f"u-{uuid4()}"
    first = named(send(watched, bearer(sub), PAYLOAD), "assistant_typing").data
    send(watched, bearer(sub), "and the last question", chat_id=first["chat_id"])

    open_section(console, "Log")
    console.get_by_role("combobox", name="Type").fill("chat.message-sent")
    console.get_by_role("textbox", name="Principal").fill(f"user:{sub}")
    console.get_by_role("button", name="Show").click()
    events = console.get_by_role("group", name="Events").locator("tbody tr:visible")
    expect(events).to_have_count(2)
    events.last.get_by_role("button").click()
    expect(console.locator("pre")).to_contain_text(f'"message_id": "{first["user_message_id"]}"')

    events.first.get_by_role("link", name="Timeline").click()
    messages = console.get_by_role("article")
    expect(messages).to_have_count(3)
    slider = console.get_by_role("slider", name="Position")
    slider.press("End")
    expect(messages).to_have_count(4)
    expect(messages.last).to_contain_text("and the last question")
    expect(messages.last).to_contain_text("changed")
    for _ in range(3):  # its end, its start, and what was asked
        slider.press("ArrowLeft")
    expect(messages).to_have_count(2)
    expect(messages.first).to_contain_text(PAYLOAD)
    expect(console.get_by_text("and the last question")).to_have_count(0)
    console.reload()
    expect(messages).to_have_count(2)
    assert console.evaluate("window.ran") is None
    assert console.locator("main img, main script").count() == 0


def test_the_log_is_verified_and_the_views_are_built_anew(console: Page, watched: Service) -> None:
    send(watched, bearer(f"u-{uuid4()}"), "something to seal")
    open_section(console, "Audit")
    console.get_by_role("button", name="Verify now").click()
    expect(console.get_by_role("progressbar", name="Verification")).to_be_visible()
    expect(console.get_by_role("button", name="Verify now")).to_be_disabled()
    verdict = re.compile(r"All \d+ events are as they were sealed")
    expect(console.get_by_text(verdict)).to_be_visible(timeout=60_000)
    expect(console.get_by_role("group", name="Checkpoints").locator("tbody tr")).not_to_have_count(
        0
    )

    open_section(console, "Projections")
    live = console.get_by_role("group", name="Generations").get_by_role("row", name="live")
    before = live.get_by_role("cell").first.inner_text()
    console.get_by_role("button", name="Rebuild").click()
    console.get_by_role("dialog").get_by_role("button", name="Start rebuild").click()
    expect(console.get_by_role("progressbar", name="Rebuild")).to_be_visible()
    expect(console.get_by_text("is built and in use")).to_be_visible(timeout=60_000)
    expect(live.get_by_role("cell").first).not_to_have_text(before)


def test_a_top_up_counts_once(console: Page, watched: Service) -> None:
    sub = f"u-{uuid4()}"
    send(watched, bearer(sub), "hello")
    open_section(console, "Principals")
    console.get_by_role("textbox", name="Principal").fill(f"user:{sub}")
    console.get_by_role("button", name="Look up").click()
    expect(figure(console, "Balance")).to_have_text("5")
    for outcome in ("were added", "already used"):
        console.get_by_role("textbox", name="Amount").fill("2.50")
        console.get_by_role("button", name="Top up").click()
        dialog = console.get_by_role("dialog")
        expect(dialog).to_contain_text(f"2.50 USD for user:{sub}")
        dialog.get_by_role("button", name="Add 2.50 USD").click()
        expect(console.get_by_role("status").filter(has_text=outcome)).to_be_visible()
        expect(figure(console, "Balance")).to_have_text("7.5")
    assert asked(watched, f"usage/user:{sub}")["balance"] == "7.5"
    expect(console.get_by_role("group", name="Chats").get_by_role("link")).to_have_text(["hello"])


def test_everybody_can_use_it_in_light_and_dark(console: Page, watched: Service) -> None:
    sub = f"u-{uuid4()}"
    chat = named(send(watched, bearer(sub), "سلام", model="paid"), "assistant_typing").data
    pages = {
        "overview": "Cost in USD",
        "log": "Timeline",
        "chats": "Paste a chat's id",
        f"chats/{chat['chat_id']}": "Cost so far",
        "audit": "Unsealed tail",
        "projections": "live",
        "principals": "Users are",
        f"principals/user:{sub}": "1 in all",
    }
    # The debugger's script: the page's policy forbids it to everybody else.
    console.evaluate(f"{AXE.read_text()}; undefined")
    for address, shown in pages.items():
        console.goto(f"{watched.url}/console#/{address}")
        expect(console.get_by_text(shown).first).to_be_visible()
        expect(console.get_by_text("Loading…")).to_have_count(0)
        for scheme in ("light", "dark"):
            console.emulate_media(color_scheme=scheme)
            found = console.evaluate("axe.run().then((found) => found.violations)")
            assert [violation["help"] for violation in found] == [], address


def test_all_topics_can_be_chosen() -> None:
    script = WebFiles().text("console/topics.js")
    topics = {
        event.TOPIC
        for aggregate in (Chat, Usage)
        for event in vars(aggregate).values()
        if isinstance(event, type) and hasattr(event, "TOPIC")
    }
    offered = set(re.findall(r'"([^"]+)",', script))
    assert offered == topics | {"chat.", "usage."}
