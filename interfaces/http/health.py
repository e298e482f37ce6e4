"""What operators' machines ask: is it alive, may it be sent requests, what are its numbers."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from interfaces.http.operations import Operation, described

METRICS_TYPE = "text/plain; version=0.0.4"
_UNCACHED = {"cache-control": "no-store"}


class Alive(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class Unready(msgspec.Struct, frozen=True):
    """`reasons` by the names of the checks that failed."""

    reasons: dict[str, str]
    status: Literal["unavailable"] = "unavailable"


def health_routes(
    checks: Mapping[str, Callable[[], str | None]],
    notices: Mapping[str, Callable[[], int | str | None]],
    metrics: Callable[[], bytes],
) -> list[HTTPRouteHandler]:
    """`checks` by name: each returns at once, None when all is well, else the reason.

    `notices` are counts, or words, of what somebody should look at, though requests may be sent:
    shown unless there is nothing. `metrics` renders everything in Prometheus' text format.
    """

    @get("/healthz", tags=["operations"], summary="Whether the process is alive")
    async def healthz() -> Response[Alive]:
        return Response(Alive(), headers=_UNCACHED)

    @get(
        "/readyz",
        tags=["operations"],
        summary="Whether requests may be sent here",
        opt=described(Operation(otherwise={503: Unready})),
    )
    async def readyz() -> Response[dict[str, Any]] | Response[Unready]:
        found = {name: check() for name, check in checks.items()}
        reasons = {name: reason for name, reason in found.items() if reason is not None}
        if reasons:
            return Response(Unready(reasons), status_code=503, headers=_UNCACHED)
        noticed = {name: words for name, notice in notices.items() if (words := notice())}
        return Response({"status": "ready", **noticed}, headers=_UNCACHED)

    @get(
        "/metrics",
        tags=["operations"],
        summary="Figures for Prometheus",
        media_type=METRICS_TYPE,
    )
    async def metrics_page() -> Response[bytes]:
        return Response(metrics(), media_type=METRICS_TYPE, headers=_UNCACHED)

    return [healthz, readyz, metrics_page]
