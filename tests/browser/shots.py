"""The pictures of the README: `just shots` writes them into `docs/images/`."""

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chat_page import ChatPage, chat_page
from tests.browser.conftest import FLAGS
from tests.service import ROOT, Service, bearer, send, token
from tests.upstream import Upstream

IMAGES = ROOT / "docs" / "images"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
BUSY_SECONDS = 100.0

MODELS = """
default = "scribe"

[[models]]
id = "scribe"
litellm_model = "openai/{name}"
api_base = "{api_base}"
context_window = 8000
max_output_tokens = 1000
input_price_per_million = "0.25"
output_price_per_million = "1.25"
"""

CHATS = (
    "What did a scribe earn in Ur III?",
    "Explain double-entry bookkeeping to a child",
    "چند واژهٔ کهن فارسی برای نامه",
    "Proofread the letter to the archive",
    "Regular expressions for Persian digits",
)

QUESTION = "How would you keep a ledger that nobody can quietly change?"
ANSWER = """Write every entry **once**, and let each page vouch for the one before it.

1. Entries are only ever *added*; a mistake is corrected by another entry.
2. Every so often, sign the whole of it: a hash over all entries so far.
3. Hand the signature to somebody else. Whoever changes a line later must change theirs, too.

```python
def seal(previous: bytes, entry: bytes) -> bytes:
    return sha256(previous + sha256(entry).digest()).digest()
```

| who | holds | can find |
|---|---|---|
| the scribe | all entries | what was said |
| the auditor | signatures | that none was changed |
"""
QUESTION_FA = "دبیر در دربار ساسانی چه می‌کرد؟"
ANSWER_FA = """**دبیر** نویسنده و نگاه‌دارندهٔ سخن بود: نامه‌ها را می‌نوشت، دخل‌وخرج را ثبت می‌کرد و از
هر فرمان رونوشتی نگاه می‌داشت.

- *ایران‌دبیربد* سرپرست همهٔ دبیران بود.
- هر دیوان دبیری داشت: دبیرِ داد، دبیرِ خراج، دبیرِ گنج.
- خطِ هر دفتر جدا بود، تا دست بردن در آن آشکار شود.

> «نامه را چنان نویس که فردا از تو بپرسند و تو پاسخ داشته باشی.»
"""


def speech(text: str) -> list[bytes]:
    """A model's answer, as OpenAI's protocol has it."""

    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return f"data: {json.dumps(head | {'choices': choices} | more)}\n\n".encode()

    words = text.split(" ")
    pieces = [word + " " for word in words[:-1]] + words[-1:]
    tokens = len(pieces) * 2
    usage = {"prompt_tokens": 36, "completion_tokens": tokens, "total_tokens": tokens + 36}
    return [
        *(event([{"index": 0, "delta": {"content": piece}}]) for piece in pieces),
        event([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        event([], usage=usage) + b"data: [DONE]\n\n",
    ]


@contextmanager
def page(
    browser: Browser, service: Service, size: dict[str, int], scheme: str, language: str
) -> Any:
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="fa-IR" if language == "fa" else "en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        device_scale_factor=2 if size is PHONE else 1,
    )
    with chat_page(context, service) as tab:
        yield tab
    context.close()


def shoot(tab: ChatPage, name: str) -> None:
    tab.page.mouse.move(1, 1)
    tab.page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")


def open_chat(tab: ChatPage, title: str) -> None:
    tab.page.evaluate("token => localStorage.setItem('dabir.token', token)", token("mina"))
    tab.page.reload()
    # On a phone the list is out of sight.
    tab.page.locator("nav a", has_text=title).evaluate("link => link.click()")
    expect(tab.page.locator("article").last).to_have_attribute("data-status", "complete")
    if title == QUESTION:
        expect(tab.page.locator("pre span").first).to_be_visible()  # its colours come later


def take(browser: Browser, english: Service, persian: Service) -> None:
    for name, scheme in (("chat-light", "light"), ("chat-dark", "dark")):
        with page(browser, english, DESK, scheme, "en") as tab:
            tab.open()
            open_chat(tab, QUESTION)
            shoot(tab, name)
    with page(browser, english, PHONE, "light", "en") as tab:
        tab.open()
        open_chat(tab, QUESTION)
        shoot(tab, "chat-phone")
    with page(browser, persian, DESK, "light", "fa") as tab:
        tab.page.goto(tab.url)
        open_chat(tab, QUESTION_FA)
        shoot(tab, "chat-persian")
    keep_busy(english, BUSY_SECONDS)
    with page(browser, english, DESK, "light", "en") as tab:
        tab.page.goto(f"{tab.url}/console")
        tab.page.get_by_role("textbox", name="Token").fill(token("me", "dabir:admin"))
        tab.page.get_by_role("button", name="Sign in").click()
        expect(tab.page.get_by_role("heading", name="Overview")).to_be_visible()
        tab.page.wait_for_function("document.querySelectorAll('.uplot').length > 7")
        shoot(tab, "console")


def keep_busy(service: Service, seconds: float) -> None:
    """So that the console has something to show."""
    until = time.monotonic() + seconds

    def converse(number: int) -> None:
        dice = random.Random(number)
        while time.monotonic() < until:
            tokens, rate = dice.randrange(5, 120), dice.randrange(20, 90)
            script = "refuse-500" if dice.random() < 0.05 else f"tokens-{tokens}-at-{rate}"
            send(service, bearer(f"guest-{number}"), f"[[{script}]] Good day")

    with ThreadPoolExecutor(12) as people:
        list(people.map(converse, range(12)))


def served(
    folder: Path, upstream: Upstream, name: str, answer: str, asked: Iterable[str]
) -> Service:
    upstream.script(name, speech(answer))
    models = MODELS.replace("{name}", name)
    environ = {"DABIR_STARTING_BALANCE": "5"}
    service = Service(folder / name, upstream.api_base, models=models, environ=environ)
    service.start().wait_ready()
    for content in asked:
        send(service, bearer("mina"), content)
    return service


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    executable = shutil.which("chromium")
    assert executable, "`just setup` installs Chromium"
    with tempfile.TemporaryDirectory() as name, Upstream() as upstream:
        folder = Path(name)
        english = served(folder, upstream, "ledger", ANSWER, (*CHATS, QUESTION))
        persian = served(folder, upstream, "dabir", ANSWER_FA, (*CHATS, QUESTION_FA))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
                take(browser, english, persian)
                browser.close()
        finally:
            english.leave()
            persian.leave()


if __name__ == "__main__":
    main()
