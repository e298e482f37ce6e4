"""The pages that describe the interfaces, under their own policies."""

import re

from playwright.sync_api import BrowserContext, expect

from interfaces.ws.messages import Session
from interfaces.ws.push_messages import PUSHES
from interfaces.ws.requests import REQUESTS
from tests.service import Service


def test_the_socket_page_shows_all_and_leads_to_the_routes(
    service: Service, context: BrowserContext
) -> None:
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{service.url}/asyncapi#request-create_chat")
    expect(page.locator("h1")).to_have_text("Dabir over Socket.IO")
    for name in REQUESTS:
        expect(page.locator(f"#request-{name} h3")).to_have_text(name)
    for name in PUSHES:
        expect(page.locator(f"#push-{name} h3")).to_have_text(name)
    shown = page.locator("#shape-Session tbody th").all_inner_texts()
    assert shown == list(Session.__struct_encode_fields__)
    rows = page.locator("#request-list_chats tr", has_text=re.compile("^limit"))
    expect(rows).to_contain_text("at least 1, at most 100, 20 if it is missing")
    expect(page.locator("#request-create_chat")).to_be_in_viewport()
    page.get_by_role("link", name="those routes").click()
    expect(page.get_by_text("/api/v1/messages/regenerate").first).to_be_visible()
    assert faults == []
    page.get_by_role("link", name="described beside it").click()
    expect(page.locator("h1")).to_have_text("Dabir over Socket.IO")
