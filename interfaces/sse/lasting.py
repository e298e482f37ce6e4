"""Answers that last: what has led to one is let go of before it is given.

Else the framework's frames, its request, and every header would wait for the end of a stream.
"""

from collections.abc import Awaitable
from typing import Any, cast

from litestar.types import ASGIApp, Receive, Scope, Send

_EXTENSION = "dabir.lasting"
_KEPT = ("type", "method", "path_template")
"""What the layers around and the server still ask the scope for."""


class LastingAnswers:
    """Stands before the framework, and gives the answers that handlers have left to it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: list[Awaitable[None]] = []
        cast("dict[str, Any]", scope).setdefault("extensions", {})[_EXTENSION] = left
        await self._app(scope, receive, send)
        if left:
            await left.pop()


def lasting(app: ASGIApp) -> ASGIApp:
    """An application that leaves its answer to the layer above."""

    async def leave(scope: Scope, receive: Receive, send: Send) -> None:
        left = cast("dict[str, Any]", scope)["extensions"][_EXTENSION]
        left.append(app(scope, receive, send))

    return leave


def forget_request(scope: Scope) -> None:
    """The head of the answer is sent: nobody asks any more what the request was like."""
    fields = cast("dict[str, Any]", scope)
    kept = {name: fields[name] for name in _KEPT if name in fields}
    fields["headers"].clear()  # the server has the same list
    fields.clear()
    fields.update(kept)
