"""Names in paths that may hold a slash: `%2F` in one is no border between segments."""

from urllib.parse import unquote

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

OF_OPERATORS = b"/api/v1/admin/"


class EncodedPaths:
    """Gives the routes of operators their paths as they were sent; `name_in` decodes a segment."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["raw_path"].startswith(OF_OPERATORS):
            # In place: the layers around read what the framework notes in this scope.
            scope["path"] = scope["raw_path"].decode("ascii")
        await self._app(scope, receive, send)


def name_in(segment: str) -> str:
    """What a client had encoded."""
    return unquote(segment)
