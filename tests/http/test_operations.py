"""Health, metrics, and what operators may do with accounts."""

import asyncio

import httpx

from tests.http.test_problems import client_of, is_problem
from tests.ws.node import Node, connected, serving, token

USAGE = "/api/v1/admin/usage"


def bearer(sub: str, *scopes: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(sub, *scopes)}"}


OPERATOR = bearer("operator", "dabir:admin")


def test_health_metrics_and_readiness_with_reasons() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            alive = await http.get("/healthz")
            assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
            assert (await http.get("/readyz")).json() == {"status": "ready"}
            node.notices["set_aside"] = lambda: 2
            assert (await http.get("/readyz")).json() == {"status": "ready", "set_aside": 2}
            node.checks["views"] = lambda: "1200 events behind"
            node.checks["store"] = lambda: None
            unready = await http.get("/readyz")
            assert unready.status_code == 503
            assert unready.json()["reasons"] == {"views": "1200 events behind"}
            assert (await http.get("/healthz")).status_code == 200
            metrics = await http.get("/metrics")
            assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert metrics.text == "dabir_sockets 0.0\n"

    asyncio.run(check())


async def top_up(
    http: httpx.AsyncClient, principal: str, amount: object, reference: str
) -> httpx.Response:
    body = {"amount": amount, "reference": reference}
    return await http.post(f"{USAGE}/{principal}/top-up", json=body, headers=OPERATOR)


def test_a_top_up_counts_once_for_each_reference() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            first = await top_up(http, "user:ada", "2.5", "invoice-1")
            assert first.status_code == 200
            account = first.json()
            assert (account["principal"], account["balance"]) == ("user:ada", "7.5")
            assert (await top_up(http, "user:ada", "2.5", "invoice-1")).json()["balance"] == "7.5"
            other = await top_up(http, "user:ada", "3", "invoice-1")
            is_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
            assert (await top_up(http, "user:ada", "1", "invoice-2")).json()["balance"] == "8.5"
            read = await http.get(f"{USAGE}/user:ada", headers=OPERATOR)
            assert read.json()["balance"] == "8.5"

    asyncio.run(check())


def test_a_top_up_reaches_the_users_sockets() -> None:
    async def check() -> None:
        async with (
            serving() as node,
            client_of(node) as http,
            connected(node, {"token": token("ada")}) as client,
        ):
            await top_up(http, "user:ada", "2.5", "invoice-1")
            pushed = await client.hears("usage_info", 2)
            assert (pushed["balance"], pushed["position"]) == ("7.5", await node.store.head())

    asyncio.run(check())


def test_bad_top_ups_change_nothing() -> None:
    async def check() -> None:
        async with serving() as node, client_of(node) as http:
            for amount in ("0", "-1", "1e3", "NaN", "1.0000000001", 5, None, ""):
                refused = await top_up(http, "user:ada", amount, "invoice-1")
                is_problem(refused, 400, "VALIDATION_ERROR")
            for principal in ("ada", "group:ada", "user:", ":ada", f"user:{'x' * 256}"):
                refused = await top_up(http, principal, "1", "invoice-1")
                is_problem(refused, 400, "VALIDATION_ERROR")
            refused = await top_up(http, "anon:visitor-1", "1", "invoice-1")
            is_problem(refused, 400, "VALIDATION_ERROR")
            assert await node.store.head() == 0

    asyncio.run(check())


def test_accounts_of_any_name_are_read() -> None:
    async def check() -> None:
        async with serving(anonymous_limit=20) as node, client_of(node) as http:
            seen = await http.get(f"{USAGE}/anon:visitor-1", headers=OPERATOR)
            assert (seen.json()["kind"], seen.json()["remaining"]) == ("anonymous", 20)
            assert await node.store.principals.find("anonymous", "visitor-1") is None
            await top_up(http, "user:auth0%7Ca%20b", "1", "invoice-1")
            found = await http.get(f"{USAGE}/user:auth0%7Ca%20b", headers=OPERATOR)
            assert (found.json()["principal"], found.json()["balance"]) == ("user:auth0|a b", "6")

    asyncio.run(check())


async def refusals(node: Node, headers: dict[str, str], status: int, code: str) -> None:
    async with client_of(node) as http:
        body = {"amount": "1", "reference": "r"}
        is_problem(await http.get(f"{USAGE}/user:ada", headers=headers), status, code)
        posted = await http.post(f"{USAGE}/user:ada/top-up", json=body, headers=headers)
        is_problem(posted, status, code)


def test_only_operators_see_and_change_accounts() -> None:
    async def check() -> None:
        async with serving() as node:
            await refusals(node, {}, 403, "FORBIDDEN")
            await refusals(node, {"x-anon-id": "visitor-1"}, 403, "FORBIDDEN")
            await refusals(node, bearer("ada"), 403, "FORBIDDEN")
            await refusals(node, bearer("ada", "dabir:administrator"), 403, "FORBIDDEN")
            await refusals(node, {"authorization": "Bearer x.y.z"}, 401, "UNAUTHORIZED")
            await refusals(node, {"authorization": "Basic YTpi"}, 401, "UNAUTHORIZED")
            assert await node.store.head() == 0

    asyncio.run(check())
