"""Who makes an HTTP request: credentials out of its headers, then the one resolver."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.datastructures import Headers, MutableScopeHeaders, State
from litestar.types import Message, Scope

from application.client_address import limited_address
from application.errors import Unauthorized
from application.ports import Caller, Credentials, Deed, Identity, Ids, RateLimits
from application.tracing import UNTRACED, Tracer
from interfaces.address import client_address

Networks = Sequence[IPv4Network | IPv6Network]
AnyRequest = Request[Any, Any, State]
ANON_ID = "x-anon-id"
CALLER = "caller"
"""Where a request's state has who makes it, for a refusal to be told on their sockets."""
CORRELATION = "correlation"
"""Where it has the correlation that the request's log lines, trace and events go by."""
_MINTED = "minted_anonymous_id"


async def identify(
    scope_headers: Mapping[str, str],
    peer: str | None,
    identity: Identity,
    trusted: Networks,
    correlation: UUID,
) -> Caller:
    """Who calls, by the headers `authorization` and `x-anon-id` (names in lower case).

    Raises Unauthorized, InvalidRequest, RateLimited.
    """
    credentials = Credentials(
        token=bearer_token(scope_headers.get("authorization")),
        anon_id=scope_headers.get(ANON_ID) or None,
        address=address_of(scope_headers, peer, trusted),
    )
    return await identity.identify(credentials, correlation)


def bearer_token(authorization: str | None) -> str | None:
    """The token of an `Authorization` header; None for a missing or an empty one.

    Raises Unauthorized for another scheme: who meant to sign in is never taken for anonymous.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise Unauthorized("Authorization must be a bearer token.")
    return token.strip() or None


def address_of(headers: Mapping[str, str], peer: str | None, trusted: Networks) -> str:
    """The client's address, with every X-Forwarded-For line counted."""
    name = "x-forwarded-for"
    if isinstance(headers, Headers):
        lines = list(headers.getall(name, []))
    else:
        lines = [headers[name]] if name in headers else []
    return client_address(peer, lines, trusted)


class Callers:
    """Finds out who makes a request, and whether they make too many.

    With `tell_minted_id` also tells the client a minted id.
    """

    def __init__(
        self,
        identity: Identity,
        trusted: Networks,
        ids: Ids,
        limits: RateLimits,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._identity = identity
        self._trusted = trusted
        self._ids = ids
        self._limits = limits
        self._tracer = tracer

    async def of(self, request: AnyRequest, deed: Deed = "request") -> Caller:
        """Raises Unauthorized, InvalidRequest, RateLimited.

        Who is refused for their rate is known already: the request's state has its CALLER.
        """
        state = request.scope["state"]
        correlation = state.get(CORRELATION) or self._ids.new()
        caller = await identify(
            request.headers, _peer(request), self._identity, self._trusted, correlation
        )
        state[CALLER] = caller
        self._tracer.concerns(principal=caller.principal.id)
        if caller.minted:
            state[_MINTED] = caller.principal.name
        await self._limits.spend(deed, caller)
        return caller

    async def admit(self, request: AnyRequest) -> None:
        """For what needs no caller: raises RateLimited for an address that asks too often."""
        await self._limits.admit(self.address(request))

    def address(self, request: AnyRequest) -> str:
        """The client's address, as limits take it."""
        return limited_address(address_of(request.headers, _peer(request), self._trusted))


def _peer(request: AnyRequest) -> str | None:
    return request.client.host if request.client else None


async def tell_minted_id(message: Message, scope: Scope) -> None:
    """A `before_send` hook: an id minted for the request goes back, whatever the answer is."""
    if message["type"] == "http.response.start":
        minted = scope["state"].get(_MINTED)
        if minted is not None:
            MutableScopeHeaders.from_message(message)[ANON_ID] = minted
