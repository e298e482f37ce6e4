"""Every HTTP route but those that stream."""

from collections.abc import Callable, Mapping

from litestar.types import ControllerRouterHandler

from application.ports import Identity, Principals
from application.queries import Views
from application.usage_commands import UsageCommands
from interfaces.http.admin import AccountAdministration, admin_router
from interfaces.http.anonymous import anonymous_route
from interfaces.http.asyncapi import asyncapi_routes
from interfaces.http.caller import Callers
from interfaces.http.health import health_routes
from interfaces.http.page import Pages, PageSettings
from interfaces.http.web_files import WebFiles


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
    page: PageSettings,
) -> list[ControllerRouterHandler]:
    """`checks`, `notices` and `metrics` are those of `health_routes`."""
    files = WebFiles()
    administration = AccountAdministration(callers, principals, usage_commands, views)
    return [
        *Pages(files, page).routes(),
        *asyncapi_routes(files),
        *health_routes(checks, notices, metrics),
        anonymous_route(identity, callers),
        admin_router(administration),
    ]
