"""The routes below `/api/v1/admin/` that the console asks."""

import msgspec
from litestar import Router

from application.console.audit_state import AuditDesk
from application.console.overview import NodeOverview
from application.console.ports import (
    Blocking,
    LogReader,
    NodeFigures,
    ReadingWitness,
    SpendView,
    Verifications,
    ViewBuilds,
)
from application.ports import Principals
from application.queries import Views
from interfaces.http.admin_audit import audit_routes
from interfaces.http.admin_log import log_routes
from interfaces.http.admin_node import node_routes
from interfaces.http.admin_views import view_routes
from interfaces.http.operations import described
from interfaces.http.operators import FOR_OPERATORS, Operators


class ConsoleParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes show and start."""

    operators: Operators
    overview: NodeOverview
    figures: NodeFigures
    spend: SpendView
    log: LogReader
    principals: Principals
    views: Views
    witness: ReadingWitness
    audit: AuditDesk
    threads: Blocking
    verifications: Verifications
    builds: ViewBuilds


def console_router(parts: ConsoleParts) -> Router:
    """Nothing of it may be kept by a cache."""
    operators = parts.operators
    return Router(
        "/api/v1/admin",
        route_handlers=[
            *node_routes(operators, parts.overview, parts.figures, parts.spend),
            *log_routes(operators, parts.log, parts.principals, parts.views, parts.witness),
            *audit_routes(operators, parts.audit, parts.threads, parts.verifications),
            *view_routes(operators, parts.builds),
        ],
        response_headers={"cache-control": "no-store"},
        tags=["administration"],
        opt=described(FOR_OPERATORS),
    )
