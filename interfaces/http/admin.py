"""What operators do over HTTP: look at an account, and add to a user's balance."""

from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from application.commands import TopUp
from application.errors import ContentTooLarge, IdempotencyKeyReused
from application.ports import Principal, Principals
from application.queries import UsageView, Views
from application.usage_commands import UsageCommands
from interfaces.http.caller import AnyRequest, Callers
from interfaces.http.encoded_paths import name_in
from interfaces.http.operations import Operation, described
from interfaces.http.operators import FOR_OPERATORS, Operators
from interfaces.principals import parsed_principal

TOP_UP = Operation(refuses=(*FOR_OPERATORS.refuses, ContentTooLarge, IdempotencyKeyReused))
NOBODY = UUID(int=0)
"""Stands for who was never seen: looking makes nobody known."""


class Account(UsageView, frozen=True, kw_only=True, omit_defaults=True):
    """A principal's usage, and who that is."""

    principal: str


class AccountAdministration:
    """Looks accounts up by `user:SUB` or `anon:ID`, for callers with the scope `dabir:admin`."""

    def __init__(
        self, callers: Callers, principals: Principals, commands: UsageCommands, views: Views
    ) -> None:
        self._operators = Operators(callers)
        self._principals = principals
        self._commands = commands
        self._views = views

    async def usage(self, request: AnyRequest, written: str) -> Account:
        """What the principal has used and has left. Somebody never seen has an untouched account.

        Raises Unauthorized, Forbidden, InvalidRequest.
        """
        await self._operators.of(request)
        kind, name = parsed_principal(written)
        known = await self._principals.find(kind, name)
        return _account(written, await self._views.usage(known or Principal(NOBODY, kind, name)))

    async def top_up(self, request: AnyRequest, written: str, command: TopUp) -> Account:
        """Add to a user's balance, once for each `reference`; raises as `usage` does,
        and IdempotencyKeyReused.
        """
        operator = await self._operators.of(request)
        principal = await self._principals.resolve(*parsed_principal(written))
        outcome = await self._commands.top_up(
            command, principal, operator.correlation, operator.principal.id
        )
        return _account(written, await self._views.usage(principal, outcome.position))


def _account(written: str, usage: UsageView) -> Account:
    return Account(principal=written, **msgspec.structs.asdict(usage))


def admin_router(administration: AccountAdministration) -> Router:
    """The routes below `/api/v1/admin/usage`."""

    @get("/{principal:str}", summary="A principal's account")
    async def usage(request: AnyRequest, principal: FromPath[str]) -> Response[Account]:
        account = await administration.usage(request, name_in(principal))
        return Response(account, headers={"cache-control": "no-store"})

    @post(
        "/{principal:str}/top-up",
        status_code=200,
        summary="Add to a user's balance",
        opt=described(TOP_UP),
    )
    async def top_up(
        request: AnyRequest, principal: FromPath[str], data: JSONBody[TopUp]
    ) -> Response[Account]:
        account = await administration.top_up(request, name_in(principal), data)
        return Response(account, headers={"cache-control": "no-store"})

    return Router(
        "/api/v1/admin/usage",
        route_handlers=[usage, top_up],
        tags=["administration"],
        opt=described(FOR_OPERATORS),
    )
