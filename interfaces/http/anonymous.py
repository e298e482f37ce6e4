"""Anonymous ids for clients that want one before their first request."""

import msgspec
from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from application.errors import RateLimited
from application.ports import Identity
from interfaces.http.caller import ANON_ID, AnyRequest, Callers
from interfaces.http.operations import Operation, described


class AnonymousId(msgspec.Struct, frozen=True):
    anon_id: str


def anonymous_route(identity: Identity, callers: Callers) -> HTTPRouteHandler:
    @post(
        "/api/v1/anonymous",
        tags=["identity"],
        summary="Mint an anonymous id",
        opt=described(
            Operation(
                answer=AnonymousId,
                answer_headers={ANON_ID: "The id, as in every answer that makes one."},
                refuses=(RateLimited,),
            )
        ),
    )
    async def mint_anonymous(request: AnyRequest) -> Response[AnonymousId]:
        await callers.admit(request)
        anon_id = identity.mint_anonymous()
        headers = {ANON_ID: anon_id, "cache-control": "no-store"}
        return Response(AnonymousId(anon_id), status_code=201, headers=headers)

    return mint_anonymous
