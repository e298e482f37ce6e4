"""Every error over HTTP is a problem with a code of the contract."""

import asyncio
from typing import Any

import httpx
from litestar import get, post
from litestar.params import FromPath, JSONBody

from application.commands import CreateChat
from application.errors import ContentTooLarge, RateLimited, ViewsBehind
from domain.usage import InsufficientBalance
from tests.ws.node import Node, serving


def client_of(node: Node) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=node.url, timeout=10)


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert isinstance(problem["title"], str)
    assert problem["code"] == code
    assert isinstance(problem["error"], str)
    assert isinstance(problem["retryable"], bool)
    return problem


@post("/echo", status_code=200)
async def echo(data: JSONBody[CreateChat]) -> dict[str, str | None]:
    return {"title": data.title}


REFUSALS: dict[str, Exception] = {
    "balance": InsufficientBalance(1_500_000_000, 0, "USD"),
    "rate": RateLimited(1.2),
    "views": ViewsBehind("Behind."),
    "large": ContentTooLarge("Too large."),
    "bug": LookupError("a secret of ours"),
}


@get("/refusing/{what:str}")
async def refusing(what: FromPath[str]) -> None:
    raise REFUSALS[what]


def test_what_the_framework_refuses_is_a_problem_too() -> None:
    async def check() -> None:
        async with serving(more_routes=[echo]) as node, client_of(node) as http:
            is_problem(await http.get("/no/such/route"), 404, "VALIDATION_ERROR")
            wrong = await http.delete("/healthz")
            is_problem(wrong, 405, "VALIDATION_ERROR")
            assert "GET" in wrong.headers["allow"]
            for body in (b"", b"{", b'{"title": NaN}', b'"\\ud800"', b"\xff", b"[]"):
                problem = is_problem(
                    await http.post("/echo", content=body), 400, "VALIDATION_ERROR"
                )
                assert "secret" not in str(problem)
            large = await http.post("/echo", content=b'{"title":"' + b"x" * 2_000_000 + b'"}')
            is_problem(large, 413, "CONTENT_TOO_LARGE")
            assert node.notebook.faults == []

    asyncio.run(check())


def test_a_broken_field_is_named() -> None:
    async def check() -> None:
        async with serving(more_routes=[echo]) as node, client_of(node) as http:
            for body, path in [
                (b'{"title": 7}', "$.title"),
                (b'{"title": ""}', "$.title"),
                (b'{"surprise": 1}', "$"),
            ]:
                response = await http.post("/echo", content=body)
                problem = is_problem(response, 400, "VALIDATION_ERROR")
                assert problem["details"] == {"path": path}

    asyncio.run(check())


def test_refusals_carry_their_details_and_headers() -> None:
    async def check() -> None:
        async with serving(more_routes=[refusing]) as node, client_of(node) as http:
            problem = is_problem(await http.get("/refusing/balance"), 402, "INSUFFICIENT_BALANCE")
            assert problem["details"] == {
                "required": "1.5",
                "available": "0",
                "currency": "USD",
            }
            limited = await http.get("/refusing/rate")
            assert is_problem(limited, 429, "RATE_LIMITED")["retryable"]
            assert limited.headers["retry-after"] == "2"
            assert is_problem(await http.get("/refusing/views"), 503, "VIEWS_BEHIND")["retryable"]
            is_problem(await http.get("/refusing/large"), 413, "CONTENT_TOO_LARGE")
            assert node.notebook.faults == []

    asyncio.run(check())


def test_a_bug_says_only_under_which_id_the_operator_finds_it() -> None:
    async def check() -> None:
        async with serving(more_routes=[refusing]) as node, client_of(node) as http:
            response = await http.get("/refusing/bug")
            problem = is_problem(response, 500, "INTERNAL")
            assert "secret" not in response.text
            ((where, fault, incident),) = node.notebook.faults
            assert (where, str(fault)) == ("http", "a secret of ours")
            assert problem["details"] == {"id": str(incident)}

    asyncio.run(check())
