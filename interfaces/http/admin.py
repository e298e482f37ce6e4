"""What operators do over HTTP: look at an account, and add to a user's balance."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from application.commands import TopUp
from application.errors import Forbidden
from application.ports import Caller, Principal, Principals
from application.queries import UsageView, Views
from application.usage_commands import UsageCommands
from interfaces.http.caller import Callers
from interfaces.principals import parsed_principal

SCOPE = "dabir:admin"
NOBODY = UUID(int=0)
"""Stands for who was never seen: looking makes nobody known."""

AnyRequest = Request[Any, Any, State]


class AccountAdministration:
    """Looks accounts up by `user:SUB` or `anon:ID`, for callers with the scope `dabir:admin`."""

    def __init__(
        self, callers: Callers, principals: Principals, commands: UsageCommands, views: Views
    ) -> None:
        self._callers = callers
        self._principals = principals
        self._commands = commands
        self._views = views

    async def usage(self, request: AnyRequest, written: str) -> dict[str, Any]:
        """What the principal has used and has left. Somebody never seen has an untouched account.

        Raises Unauthorized, Forbidden, InvalidRequest.
        """
        await self._operator(request)
        kind, name = parsed_principal(written)
        known = await self._principals.find(kind, name)
        return _account(written, await self._views.usage(known or Principal(NOBODY, kind, name)))

    async def top_up(self, request: AnyRequest, written: str, command: TopUp) -> dict[str, Any]:
        """Add to a user's balance, once for each `reference`; raises as `usage` does,
        and IdempotencyKeyReused.
        """
        operator = await self._operator(request)
        principal = await self._principals.resolve(*parsed_principal(written))
        outcome = await self._commands.top_up(
            command, principal, operator.correlation, operator.principal.id
        )
        return _account(written, await self._views.usage(principal, outcome.position))

    async def _operator(self, request: AnyRequest) -> Caller:
        caller = await self._callers.of(request)
        if SCOPE not in caller.scopes:
            raise Forbidden(f"This needs a token with the scope {SCOPE}.")
        return caller


def _account(written: str, usage: UsageView) -> dict[str, Any]:
    account: dict[str, Any] = msgspec.to_builtins(usage)
    return {"principal": written} | account


def admin_router(administration: AccountAdministration) -> Router:
    """The routes below `/api/v1/admin/usage`. A `sub` with a slash is out of their reach."""

    @get("/{principal:str}", summary="A principal's account")
    async def usage(request: AnyRequest, principal: FromPath[str]) -> Response[dict[str, Any]]:
        account = await administration.usage(request, principal)
        return Response(account, headers={"cache-control": "no-store"})

    @post("/{principal:str}/top-up", status_code=200, summary="Add to a user's balance")
    async def top_up(
        request: AnyRequest, principal: FromPath[str], data: JSONBody[TopUp]
    ) -> Response[dict[str, Any]]:
        account = await administration.top_up(request, principal, data)
        return Response(account, headers={"cache-control": "no-store"})

    return Router("/api/v1/admin/usage", route_handlers=[usage, top_up], tags=["administration"])
