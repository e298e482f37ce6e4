"""The pages people open, and the modules that they load: all of it from the package."""

import base64
import hashlib
import json
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from interfaces.http.web_files import ASK_EACH_TIME, READING, WebFiles, answer, file_of

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Markup can only be made of what the sanitizer let through.
NO_MARKUP = "; require-trusted-types-for 'script'; trusted-types dompurify"
# The renderer of the API's description writes its own style elements.
SCHEMA_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

IMPORTS = {
    "dabir-client": "dabir-client.js",
    "dompurify": "vendor/purify.es.js",
    "eventsource-parser": "vendor/eventsource-parser.js",
    "highlight.js": "vendor/highlight.min.js",
    "htm": "vendor/htm.js",
    "markdown-it": "vendor/markdown-it.esm.min.js",
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "socket.io-client": "vendor/socket.io.esm.min.js",
    "uplot": "vendor/uplot.esm.js",
}
"""What the pages' modules call the libraries, and the files these are."""

CHAT_MODULES = (
    "chat/",
    "common/",
    IMPORTS["dabir-client"],
    IMPORTS["dompurify"],
    IMPORTS["eventsource-parser"],
    IMPORTS["htm"],
    IMPORTS["markdown-it"],
    IMPORTS["preact"],
    IMPORTS["preact/hooks"],
    IMPORTS["socket.io-client"],
)
CONSOLE_MODULES = (
    "console/",
    "common/copy.js",
    "common/dialog.js",
    "common/html.js",
    "common/only_when_changed.js",
    IMPORTS["htm"],
    IMPORTS["preact"],
    IMPORTS["preact/hooks"],
    IMPORTS["uplot"],
)
"""What a page needs before it can show anything: folders, and single files."""


def headers_of(policy: str) -> dict[str, str]:
    """What a page and its files are sent with."""
    return {
        "cache-control": ASK_EACH_TIME,
        "content-security-policy": policy,
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


class PageSettings(msgspec.Struct, frozen=True):
    """What the operator tells the pages: where people sign in, and where they top up."""

    sign_in_url: str | None = None
    top_up_url: str | None = None


class Pages:
    """Pages are templates with `{{web}}` (where files are), `{{imports}}` (the import map),
    `{{preload}}` (all modules that the page is made of) and `{{settings}}`.
    """

    def __init__(self, files: WebFiles, settings: PageSettings) -> None:
        self._files = files
        self._settings = settings
        self._web = f"/web/{files.release}"
        addresses = {name: f"{self._web}/{path}" for name, path in IMPORTS.items()}
        self._imports = json.dumps({"imports": addresses})
        digest = base64.b64encode(hashlib.sha256(self._imports.encode()).digest()).decode()
        # An import map can only stand in the page: its hash lets in this one and no other script.
        self._policy = PAGE_POLICY.replace(
            "script-src 'self'", f"script-src 'self' 'sha256-{digest}'"
        )

    def routes(self) -> list[HTTPRouteHandler]:
        """The pages, and their files below `/web`."""
        chat = file_of(self._filled("index.html", CHAT_MODULES).encode(), "text/html")
        console = file_of(self._filled("console.html", CONSOLE_MODULES).encode(), "text/html")

        @route("/", http_method=READING, include_in_schema=False)
        async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
            return await answer(request, chat, headers_of(self._policy + NO_MARKUP))

        @route("/console", http_method=READING, include_in_schema=False)
        async def open_console(request: Request[Any, Any, Any]) -> Response[bytes]:
            return await answer(request, console, headers_of(self._policy))

        @route("/web/{path:path}", http_method=READING, include_in_schema=False)
        async def asset(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
            return await self._files.response(request, path, headers_of(PAGE_POLICY))

        return [index, open_console, asset]

    def _filled(self, page: str, needed: tuple[str, ...]) -> str:
        modules = [name for path in needed for name in self._files.names(path)]
        preload = "\n".join(
            f'<link rel="modulepreload" href="{self._web}/{name}">'
            for name in modules
            if name.endswith(".js")
        )
        settings = msgspec.json.encode(self._settings).decode()
        return (
            self._files.text(page)
            .replace("{{web}}", self._web)
            .replace("{{imports}}", self._imports)
            .replace("{{preload}}", preload)
            # Data, which the page reads as text: no markup can end it early.
            .replace("{{settings}}", settings.replace("<", "\\u003c"))
        )
