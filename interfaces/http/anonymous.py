"""Anonymous ids for clients that want one before their first request."""

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from application.ports import Identity
from interfaces.http.caller import ANON_ID, AnyRequest, Callers


def anonymous_route(identity: Identity, callers: Callers) -> HTTPRouteHandler:
    @post("/api/v1/anonymous", tags=["identity"], summary="Mint an anonymous id")
    async def mint_anonymous(request: AnyRequest) -> Response[dict[str, str]]:
        await callers.admit(request)
        anon_id = identity.mint_anonymous()
        headers = {ANON_ID: anon_id, "cache-control": "no-store"}
        return Response({"anon_id": anon_id}, status_code=201, headers=headers)

    return mint_anonymous
