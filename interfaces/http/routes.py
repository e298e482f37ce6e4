"""Every HTTP route but those that stream."""

from collections.abc import Callable, Mapping

from litestar.types import ControllerRouterHandler

from application.ports import Identity, Principals
from application.queries import Views
from application.usage_commands import UsageCommands
from interfaces.http.admin import AccountAdministration, admin_router
from interfaces.http.anonymous import anonymous_route
from interfaces.http.caller import Callers
from interfaces.http.health import health_routes
from interfaces.http.page import page_routes


def build_http_routes(
    *,
    callers: Callers,
    identity: Identity,
    principals: Principals,
    usage_commands: UsageCommands,
    views: Views,
    checks: Mapping[str, Callable[[], str | None]],
    notices: Mapping[str, Callable[[], int | str | None]],
    metrics: Callable[[], bytes],
) -> list[ControllerRouterHandler]:
    """`checks`, `notices` and `metrics` are those of `health_routes`."""
    administration = AccountAdministration(callers, principals, usage_commands, views)
    return [
        *page_routes(),
        *health_routes(checks, notices, metrics),
        anonymous_route(identity, callers),
        admin_router(administration),
    ]
