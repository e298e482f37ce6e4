"""One real Chromium for the tests of this folder, and a profile of its own for each of them."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.node import CLIENTS
from tests.service import token

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
PATIENCE_MS = 20_000

OpenPage = Callable[[str], Page]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Its event loop runs in this thread until the last of these tests has ended."""
    executable = shutil.which("chromium")
    assert executable, "`just setup` installs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext) -> OpenPage:
    """Opens a tab of an origin, under the policy of Dabir's own page but without its script."""
    snippets = (CLIENTS / "first_clients.js").read_text().replace("export ", "")
    watching = (CLIENTS / "watching.js").read_text()
    # A page's own script is what the policy forbids; the debugger's is not.
    context.add_init_script(f"{snippets}\n{watching}")

    def opened(origin: str) -> Page:
        page = context.new_page()
        page.goto(f"{origin}/web/common/theme.css")
        return page

    return opened


@pytest.fixture
def headers(sub: str) -> dict[str, str]:
    """What a page sends with its POST, and an EventSource cannot."""
    return {"Authorization": f"Bearer {token(sub)}"}
