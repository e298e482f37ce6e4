"""Pages of other origins, where they are listed."""

import asyncio

import httpx

from tests.http.test_problems import client_of
from tests.ws.node import serving

LISTED = "https://listed.example"
ELSEWHERE = "https://elsewhere.example"
ALLOWED = {
    "authorization",
    "content-type",
    "cache-control",
    "x-anon-id",
    "last-event-id",
    "idempotency-key",
    "accept",
}
EXPOSED = {"x-anon-id", "x-chat-id", "x-reply-id", "x-stream-token", "retry-after"}
PATHS = ("/healthz", "/no/such/route", "/api/v1/admin/usage/user:ada", "/")


def named(response: httpx.Response, header: str) -> set[str]:
    value = response.headers.get(f"access-control-{header}", "")
    return {name.strip() for name in value.split(",")} - {""}


async def preflight(http: httpx.AsyncClient, origin: str) -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    return await http.options("/api/v1/messages/send", headers=headers)


def test_a_listed_origin_is_allowed_with_credentials_on_every_status() -> None:
    async def check() -> None:
        async with serving(origins=[LISTED]) as node, client_of(node) as http:
            asked = await preflight(http, LISTED)
            assert asked.status_code == 204
            assert named(asked, "allow-origin") == {LISTED}
            assert named(asked, "allow-headers") == ALLOWED
            assert named(asked, "allow-methods") >= {"GET", "POST"}
            assert named(asked, "allow-credentials") == {"true"}
            for path in PATHS:
                answer = await http.get(path, headers={"origin": LISTED})
                assert named(answer, "allow-origin") == {LISTED}, path
                assert named(answer, "allow-credentials") == {"true"}
                assert named(answer, "expose-headers") == EXPOSED
                assert "Origin" in answer.headers["vary"]

    asyncio.run(check())


def test_an_origin_that_is_not_listed_gets_nothing() -> None:
    async def check() -> None:
        for origins in ([], [LISTED]):
            async with serving(origins=origins) as node, client_of(node) as http:
                answers = [await preflight(http, ELSEWHERE)]
                answers += [await http.get(path, headers={"origin": ELSEWHERE}) for path in PATHS]
                for answer in answers:
                    assert not [name for name in answer.headers if name.startswith("access-")]

    asyncio.run(check())


def test_any_origin_is_allowed_without_credentials() -> None:
    async def check() -> None:
        async with serving(origins=["*"]) as node, client_of(node) as http:
            answers = [await preflight(http, ELSEWHERE)]
            headers = {"origin": ELSEWHERE, "cookie": "a=b"}
            answers += [await http.get(path, headers=headers) for path in PATHS]
            for answer in answers:
                assert named(answer, "allow-origin") == {"*"}
                assert named(answer, "allow-credentials") == set()

    asyncio.run(check())


def test_the_own_origin_needs_no_headers() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            answer = await http.get("/healthz")
            assert not [name for name in answer.headers if name.startswith("access-")]

    asyncio.run(check())
