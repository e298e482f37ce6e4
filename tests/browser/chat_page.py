"""The chat page as people see it: by the names that are shown, and read out."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.node import CLIENTS
from tests.service import Service, token

AXE = CLIENTS / "node_modules" / "axe-core" / "axe.min.js"
EXPECTED_IN_THE_LOG = (
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE_CHUNKED",
    "status of 4",
    "WebSocket",
)
"""What a browser itself says of a request that was refused, or of a server that went away."""


class ChatPage:
    """A tab. `faults` is what the browser found wrong: errors of scripts and of the policy."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.url = service.url
        self.faults: list[str] = []
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.composer = page.get_by_role("textbox", name="Message", exact=True)
        self.chats = page.get_by_role("navigation", name="Chats")
        self.chat_links = self.chats.get_by_role("listitem").get_by_role("link")
        self.answers = page.get_by_role("article", name="Assistant")
        self.questions = page.get_by_role("article", name="You")

    def open(self, place: str = "") -> "ChatPage":
        self.page.goto(f"{self.url}/{place}")
        expect(self.composer).to_be_visible()
        return self

    def sign_in(self, sub: str) -> None:
        """As who comes back from where people sign in: the token must not stay in sight."""
        self.page.evaluate("() => sessionStorage.setItem('dabir.place', '')")
        self.follow_link_with(token(sub))
        expect(self.chats.get_by_text(sub, exact=True)).to_be_visible()
        assert "token" not in self.page.url

    def follow_link_with(self, given: str) -> None:
        self.page.evaluate("token => { location.hash = `#token=${token}` }", given)

    def write(self, content: str) -> None:
        self.composer.fill(content)
        self.composer.press("Enter")

    def ask(self, content: str) -> Locator:
        """The whole answer's element."""
        before = self.answers.count()
        self.write(content)
        expect(self.answers).to_have_count(before + 1)
        self.wait_until_answered()
        return self.answers.last

    def wait_until_answered(self) -> None:
        expect(self.button("Stop")).to_have_count(0)
        expect(self.button("Send")).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def chat(self, title: str) -> Locator:
        return self.chats.get_by_role("link", name=title, exact=True)

    def choose(self, title: str, deed: str) -> None:
        """From the menu of a chat."""
        self.chat(title).hover()
        self.button(f"Options for {title}").click()
        self.page.get_by_role("menuitem", name=deed, exact=True).click()

    def violations(self) -> list[str]:
        """Of the rules for people with other ways to read, as axe-core has them."""
        self.page.evaluate(AXE.read_text())
        found: list[dict[str, object]] = self.page.evaluate(
            "async () => (await axe.run()).violations.map("
            "({ id, nodes }) => ({ id, at: nodes.map((node) => node.html) }))"
        )
        return [str(each) for each in found]

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(
            known in message.text for known in EXPECTED_IN_THE_LOG
        ):
            self.faults.append(f"{message.type}: {message.text}")


@contextmanager
def chat_page(context: BrowserContext, service: Service) -> Iterator[ChatPage]:
    """Fails in the end where the browser found something wrong."""
    page = ChatPage(context.new_page(), service)
    yield page
    assert page.faults == []
