"""The generations of the views, and building one anew."""

from litestar import get, post
from litestar.handlers import HTTPRouteHandler

from application.console.answers import ProjectionsState, Rebuild
from application.console.ports import ViewBuilds
from interfaces.http.caller import AnyRequest
from interfaces.http.operators import Operators


def view_routes(operators: Operators, builds: ViewBuilds) -> list[HTTPRouteHandler]:
    @get("/projections", summary="The generations of the views")
    async def show_projections(request: AnyRequest) -> ProjectionsState:
        await operators.of(request)
        return await builds.state()

    @post(
        "/projections/rebuilds",
        status_code=202,
        summary="Build the views anew, or go on with a build that was broken off",
    )
    async def rebuild(request: AnyRequest) -> Rebuild:
        await operators.of(request)
        return await builds.start()

    @get("/projections/rebuilds/latest", summary="The rebuild under way, or this node's last one")
    async def show_rebuild(request: AnyRequest) -> Rebuild:
        await operators.of(request)
        return await builds.latest()

    return [show_projections, rebuild, show_rebuild]
