"""A real Chromium for each test, one at a time: it needs a processor for itself."""

import fcntl
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.node import CLIENTS
from tests.service import token

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]

OpenPage = Callable[[str], Page]


@pytest.fixture
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser of the test's own: its event loop must not run beside another test's."""
    executable = shutil.which("chromium")
    assert executable, "`just setup` installs Chromium"
    lock = tmp_path_factory.getbasetemp().parent / "chromium.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the other workers' browsers wait for this one
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            context = browser.new_context()
            context.set_default_timeout(20_000)
            yield context
            browser.close()


@pytest.fixture
def open_page(context: BrowserContext) -> OpenPage:
    """Opens a tab of an origin, under the policy of Dabir's own page but without its script."""
    snippets = (CLIENTS / "first_clients.js").read_text().replace("export ", "")
    watching = (CLIENTS / "watching.js").read_text()
    # A page's own script is what the policy forbids; the debugger's is not.
    context.add_init_script(f"{snippets}\n{watching}")

    def opened(origin: str) -> Page:
        page = context.new_page()
        page.goto(f"{origin}/web/style.css")
        return page

    return opened


@pytest.fixture
def headers(sub: str) -> dict[str, str]:
    """What a page sends with its POST, and an EventSource cannot."""
    return {"Authorization": f"Bearer {token(sub)}"}
