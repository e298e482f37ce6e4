"""The built-in pages load nothing from elsewhere, and run nothing but what is in the package."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.http.test_problems import client_of, is_problem
from tests.ws.node import serving

WEB = Path(__file__).parents[2] / "interfaces" / "web"
PAGES = ("/", "/console", "/schema", "/asyncapi")
REFERENCE = re.compile(r"""\b(?:src|href|spec-url)="([^"]+)\"""")
IMPORT = re.compile(r"""\bfrom\s*"([^"]+)"|^import "([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)""", re.M)
AT_ONCE = re.compile(r"""\bfrom\s*"([^"]+)"|^import "([^"]+)\"""", re.M)
IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


@asynccontextmanager
async def visiting() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as node, client_of(node) as http:
        yield http


async def modules_of(
    http: httpx.AsyncClient, page: str, imported: re.Pattern[str] = IMPORT
) -> dict[str, str]:
    """All modules that a page loads, at once or later, by their addresses."""
    text = (await http.get(page)).text
    found = IMPORT_MAP.search(text)
    named = json.loads(found[1])["imports"] if found else {}
    waiting = re.findall(r'<script type="module" src="([^"]+)">', text)
    modules: dict[str, str] = {}
    while waiting:
        address = waiting.pop()
        if address in modules:
            continue
        answer = await http.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        modules[address] = answer.text
        if "/vendor/" in address and "preact" not in address:
            continue
        for groups in imported.findall(answer.text):
            name = next(filter(None, groups))
            assert name in named or name.startswith("."), f"{name} of {address}"
            waiting.append(named.get(name) or str(httpx.URL(address).join(name)))
    return modules


def test_all_that_a_page_refers_to_is_served_from_here() -> None:
    async def check() -> None:
        async with visiting() as http:
            for page in PAGES:
                answer = await http.get(page)
                assert answer.headers["content-type"] == "text/html; charset=utf-8"
                for reference in REFERENCE.findall(answer.text):
                    if reference == "data:,":
                        continue
                    assert reference.startswith("/")
                    assert not reference.startswith("//")
                    assert (await http.get(reference)).status_code == 200, reference
            assert len(await modules_of(http, "/")) > 10
            assert len(await modules_of(http, "/console")) > 5

    asyncio.run(check())


def test_a_page_preloads_all_that_it_begins_with_and_nothing_else() -> None:
    async def check() -> None:
        async with visiting() as http:
            for page in ("/", "/console"):
                preloaded = re.findall(
                    r'modulepreload" href="([^"]+)"', (await http.get(page)).text
                )
                assert set(preloaded) == set(await modules_of(http, page, AT_ONCE))

    asyncio.run(check())


def test_pages_run_nothing_but_modules_of_their_own() -> None:
    async def check() -> None:
        async with visiting() as http:
            for page in ("/", "/console"):
                answer = await http.get(page)
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                found = IMPORT_MAP.search(answer.text)
                assert found is not None
                digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
                assert f"script-src 'self' 'sha256-{digest}';" in policy
                scripts = re.findall(r"<script([^>]*)>", answer.text)
                assert all("src=" in s or 'type="importmap"' in s or "/json" in s for s in scripts)
                assert re.search(r"\son\w+=|\sstyle=|<style", answer.text) is None
                assert answer.headers["x-content-type-options"] == "nosniff"
            assert (
                "require-trusted-types-for"
                in (await http.get("/")).headers["content-security-policy"]
            )

    asyncio.run(check())


def test_a_file_is_kept_for_good_by_its_release_and_sent_compressed() -> None:
    async def check() -> None:
        async with visiting() as http:
            address = next(name for name in await modules_of(http, "/") if "/chat/" in name)
            async with http.stream("GET", address) as answer:
                raw = b"".join([piece async for piece in answer.aiter_raw()])
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["vary"].startswith("accept-encoding")
            assert "immutable" in answer.headers["cache-control"]
            plain = await http.get(address, headers={"accept-encoding": "gzip;q=0"})
            assert "content-encoding" not in plain.headers
            assert gzip.decompress(raw) == plain.content
            tag = answer.headers["etag"]
            again = await http.get(address, headers={"if-none-match": f'"x", W/{tag}'})
            assert (again.status_code, again.content) == (304, b"")
            # Of a page that was opened before the server was upgraded.
            release = address.split("/")[2]
            old = await http.get(address.replace(release, "0123456789ab"))
            assert (old.content, old.headers["cache-control"]) == (plain.content, "no-cache")
            assert (await http.get("/")).headers["cache-control"] == "no-cache"

    asyncio.run(check())


def test_who_asks_for_the_headers_alone_gets_them() -> None:
    async def check() -> None:
        async with visiting() as http:
            module = next(iter(await modules_of(http, "/")))
            for path in ("/", "/console", "/asyncapi", "/asyncapi.json", module):
                headers = await http.head(path)
                assert (headers.status_code, headers.content) == (200, b""), path
                whole = await http.get(path)
                for name in ("etag", "content-type", "cache-control", "content-security-policy"):
                    assert headers.headers[name] == whole.headers[name]

    asyncio.run(check())


def test_markup_is_made_in_one_place_of_what_was_sanitized() -> None:
    """The browser holds the chat page to it too: see the policy."""
    sinks = ("InnerHTML", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(")
    own = [
        path
        for each in ("chat", "console", "common", "asyncapi")
        for path in (WEB / each).glob("*.js")
    ]
    assert len(own) > 50
    code = {path.name: re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL) for path in own}
    making = {name for name, text in code.items() if any(sink in text for sink in sinks)}
    assert making == {"markdown_view.js", "growing_code.js"}
    for name in making:
        assert "dangerouslySetInnerHTML=${{ __html: markup }}" in code[name]
        assert re.search(r"const markup = useMemo\(\(\) => markupOf(Code)?\(", code[name])
    assert code["markdown.js"].count("DOMPurify.sanitize") == 2


def test_only_the_pages_files_are_served() -> None:
    async def check() -> None:
        async with visiting() as http:
            for path in (
                "/web/vendor/README.md",
                "/web/../http/page.py",
                "/web/%2e%2e/http/page.py",
                "/web/..%2fhttp%2fpage.py",
                "/web/",
                "/web/index.html",
                "/web/0123456789ab/index.html",
                "/web/0123456789ab/",
            ):
                is_problem(await http.get(path), 404, "VALIDATION_ERROR")

    asyncio.run(check())


def test_vendored_files_are_what_they_are_said_to_be() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$",
        (WEB / "vendor" / "README.md").read_text(),
        re.MULTILINE,
    )
    files = {path.name for path in (WEB / "vendor").iterdir() if path.suffix in (".js", ".css")}
    assert {name for name, _ in listed} == files
    for name, digest in listed:
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest
