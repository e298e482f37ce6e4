"""Anonymous ids over HTTP, and whose address counts."""

import asyncio
from ipaddress import ip_network
from typing import Any

from litestar import Request, get
from litestar.datastructures import Headers, State
from litestar.params import FromPath

from infrastructure.rate_limits import UNLIMITED
from infrastructure.system import TimeOrderedIds
from interfaces.http.caller import Callers, address_of
from tests.http.test_problems import client_of, is_problem
from tests.ws.node import Node, connected, serving, token


def test_an_anonymous_id_is_minted_and_works() -> None:
    async def check() -> None:
        async with serving(anon_policy="signed") as node, client_of(node) as http:
            minted = await http.post("/api/v1/anonymous")
            assert minted.status_code == 201
            anon_id = minted.json()["anon_id"]
            assert minted.headers["x-anon-id"] == anon_id
            assert node.identity.is_signed(anon_id)
            assert (await http.post("/api/v1/anonymous")).json()["anon_id"] != anon_id
            async with connected(node, {"anon_id": anon_id}) as client:
                assert client.session["anon_id"] == anon_id

    asyncio.run(check())


def test_an_id_minted_for_a_request_goes_back_with_its_answer_whatever_it_is() -> None:
    nodes: list[Node] = []

    @get("/who/{outcome:str}")
    async def who(request: Request[Any, Any, State], outcome: FromPath[str]) -> dict[str, str]:
        caller = await Callers(nodes[0].identity, (), TimeOrderedIds(), UNLIMITED).of(request)
        if outcome == "refused":
            raise PermissionError
        return {"name": caller.principal.name}

    async def check() -> None:
        async with serving(more_routes=[who]) as node, client_of(node) as http:
            nodes.append(node)
            answered = await http.get("/who/answered")
            assert answered.headers["x-anon-id"] == answered.json()["name"]
            refused = await http.get("/who/refused")
            is_problem(refused, 500, "INTERNAL")
            assert refused.headers["x-anon-id"]
            for headers in (
                {"x-anon-id": "visitor-1"},
                {"authorization": f"Bearer {token('ada')}"},
            ):
                known = await http.get("/who/answered", headers=headers)
                assert known.json()["name"] in ("visitor-1", "ada")
                assert "x-anon-id" not in known.headers
            empty = {"x-anon-id": "", "authorization": "Bearer"}
            assert (await http.get("/who/answered", headers=empty)).headers["x-anon-id"]

    asyncio.run(check())


def test_every_line_of_x_forwarded_for_counts() -> None:
    made_up_first = Headers.from_scope(
        {  # type: ignore[arg-type]
            "type": "http",
            "headers": [
                (b"x-forwarded-for", b"198.51.100.66"),
                (b"x-forwarded-for", b"203.0.113.9"),
            ],
        }
    )
    trusted = [ip_network("10.0.0.0/8")]
    assert address_of(made_up_first, "10.0.0.1", trusted) == "203.0.113.9"
    assert address_of(made_up_first, "192.0.2.1", trusted) == "192.0.2.1"
