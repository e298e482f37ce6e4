"""One count, one line in the log and one trace for each request by HTTP."""

import time
from typing import Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.ports import Ids
from application.tracing import Tracer
from interfaces.http.caller import CORRELATION

UNKNOWN_ROUTE = "unknown"
SOCKET_IO_ROUTE = "/socket.io"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ASKED_BY_MACHINES = frozenset({"/healthz", "/readyz", "/metrics"})


class AnswersObserver(Protocol):
    """`route` is a pattern, never a path: paths can hold what people chose."""

    def answering(self, route: str, status: int) -> None: ...

    def answered(
        self, method: str, route: str, status: int, seconds: float, *, quiet: bool
    ) -> None: ...


class Answers:
    """Stands before the application, and gives each request the correlation that it goes by.

    Socket.IO's own requests pass by: what is asked through them is followed where it is answered.
    """

    def __init__(self, app: ASGIApp, ids: Ids, observer: AnswersObserver, tracer: Tracer) -> None:
        self._app = app
        self._ids = ids
        self._observer = observer
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(SOCKET_IO_ROUTE):
            await self._app(scope, receive, send)
            return
        correlation = self._ids.new()
        scope.setdefault("state", {})[CORRELATION] = correlation
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        began, status = time.monotonic(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._observer.answering(_route(scope), status)
            await send(message)

        with self._tracer.request(method, correlation) as span:
            try:
                await self._app(scope, receive, counted)
            finally:
                route = _route(scope)
                span.rename(f"{method} {route}")
                span.note(method=method, route=route, status=status)
                quiet = route in ASKED_BY_MACHINES
                seconds = time.monotonic() - began
                self._observer.answered(method, route, status, seconds, quiet=quiet)


def _route(scope: Scope) -> str:
    return scope.get("path_template") or UNKNOWN_ROUTE
