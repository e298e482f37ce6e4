"""What a client says of itself when it connects."""

from typing import Any

import msgspec
from litestar.datastructures import Headers

from application.ports import Credentials
from interfaces.http.caller import ANON_ID, Networks, address_of, bearer_token
from interfaces.inbound import convert


class Auth(msgspec.Struct, frozen=True):
    """The client's `auth` object; what else is in it is its own business."""

    token: str | None = None
    anon_id: str | None = None
    anon_id_in_camel_case: str | None = msgspec.field(default=None, name="anonId")


def credentials_of(environ: dict[str, Any], auth: object, trusted: Networks) -> Credentials:
    """From `auth`, and where that says nothing from the handshake's headers.

    Raises InvalidRequest for an `auth` of other types, Unauthorized for another scheme.
    """
    given = convert({} if auth is None else auth, Auth)
    scope = environ["asgi.scope"]
    headers = Headers.from_scope(scope)
    peer = scope["client"][0] if scope.get("client") else None
    anon_id = given.anon_id or given.anon_id_in_camel_case or headers.get(ANON_ID)
    return Credentials(
        token=given.token or bearer_token(headers.get("authorization")),
        anon_id=anon_id or None,
        address=address_of(headers, peer, trusted),
    )
