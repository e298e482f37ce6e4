"""Cross-origin requests: one outermost layer, so that every status has its headers."""

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from interfaces.origins import Origins

SOCKET_IO = "/socket.io"
ALLOWED_METHODS = "GET, POST, OPTIONS"
ALLOWED_HEADERS = (
    "authorization, content-type, cache-control, x-anon-id, last-event-id, idempotency-key, accept"
)
EXPOSED_HEADERS = "x-anon-id, x-chat-id, x-reply-id, x-stream-token, retry-after"
PREFLIGHT_AGE = "600"


class CrossOrigin:
    """Wraps the whole application. Socket.IO asks the same list by itself."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or _is_socket_io(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = self._headers_for(Headers.from_scope(scope).get("origin"))
        if _is_preflight(scope):
            await _answer_preflight(send, given)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableScopeHeaders.from_message(message)
                for name, value in given.items():
                    answer[name] = value
                _vary_by_origin(answer)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers_for(self, origin: str | None) -> dict[str, str]:
        if origin is None or not self._origins.allows(origin):
            return {}
        exposed = {"access-control-expose-headers": EXPOSED_HEADERS}
        if self._origins.any_without_credentials:
            return {"access-control-allow-origin": "*"} | exposed
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
        } | exposed


def _is_socket_io(path: str) -> bool:
    return path == SOCKET_IO or path.startswith(f"{SOCKET_IO}/")


def _is_preflight(scope: Scope) -> bool:
    headers = Headers.from_scope(scope)
    asks = "origin" in headers and "access-control-request-method" in headers
    return asks and scope.get("method") == "OPTIONS"


async def _answer_preflight(send: Send, given: dict[str, str]) -> None:
    answer = {"vary": "Origin"} | given
    if given:
        answer["access-control-allow-methods"] = ALLOWED_METHODS
        answer["access-control-allow-headers"] = ALLOWED_HEADERS
        answer["access-control-max-age"] = PREFLIGHT_AGE
    headers = [(name.encode(), value.encode()) for name, value in answer.items()]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _vary_by_origin(answer: MutableScopeHeaders) -> None:
    varies = answer.get("vary")
    answer["vary"] = f"{varies}, Origin" if varies else "Origin"
