"""The built-in pages load nothing from elsewhere and hold nothing that runs inline."""

import asyncio
import hashlib
import re
from pathlib import Path

import httpx

from tests.http.test_problems import client_of, is_problem
from tests.ws.node import serving

WEB = Path(__file__).parents[2] / "interfaces" / "web"
REFERENCE = re.compile(r"""(?:src|href|spec-url)="([^"]+)"|from "([^"]+)\"""")


async def references(http: httpx.AsyncClient, page: str) -> list[str]:
    text = (await http.get(page)).text
    found = [one or other for one, other in REFERENCE.findall(text)]
    return [reference for reference in found if reference != "data:,"]


def test_every_reference_of_a_page_is_served_from_here() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            for page in ("/", "/web/app.js", "/schema"):
                for reference in await references(http, page):
                    assert reference.startswith("/")
                    assert not reference.startswith("//")
                    answer = await http.get(reference)
                    assert answer.status_code == 200, reference
                    assert answer.headers["content-type"].split(";")[0] in {
                        "text/javascript",
                        "text/css",
                        "application/vnd.oai.openapi+json",
                    }

    asyncio.run(check())


def test_the_page_runs_only_its_own_scripts() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            page = await http.get("/")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page.text) is None
            assert page.headers["x-content-type-options"] == "nosniff"
            script = await http.get("/web/app.js")
            assert script.headers["content-type"] == "text/javascript; charset=utf-8"

    asyncio.run(check())


def test_what_people_write_never_becomes_markup() -> None:
    script = (WEB / "app.js").read_text()
    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert sink not in script


def test_only_the_pages_files_are_served() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            for path in (
                "/web/vendor/README.md",
                "/web/../http/page.py",
                "/web/%2e%2e/http/page.py",
                "/web/..%2fhttp%2fpage.py",
                "/web/",
                "/web/index.html/x",
            ):
                is_problem(await http.get(path), 404, "VALIDATION_ERROR")

    asyncio.run(check())


def test_the_schema_describes_the_routes() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            page = await http.get("/schema")
            assert page.status_code == 200
            assert "rapi-doc" in page.text
            assert "https://" not in page.text
            described = (await http.get("/schema/openapi.json")).json()
            assert described["openapi"].startswith("3.")
            assert "/api/v1/admin/usage/{principal}/top-up" in described["paths"]
            assert "/healthz" in described["paths"]
            assert "/" not in described["paths"]

    asyncio.run(check())


def test_vendored_files_are_what_they_are_said_to_be() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$",
        (WEB / "vendor" / "README.md").read_text(),
        re.MULTILINE,
    )
    scripts = {path.name for path in (WEB / "vendor").glob("*.js")}
    assert {name for name, _ in listed} == scripts
    for name, digest in listed:
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest
