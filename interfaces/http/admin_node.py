"""How the service does, and what it costs."""

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery

from application.console.answers import Activity, Overview, Spend
from application.console.overview import NodeOverview
from application.console.ports import NodeFigures, SpendView
from application.console.requests import ShowActivity, ShowSpend
from interfaces.http.caller import AnyRequest
from interfaces.http.operators import Operators
from interfaces.inbound import convert


def node_routes(
    operators: Operators, overview: NodeOverview, figures: NodeFigures, spend: SpendView
) -> list[HTTPRouteHandler]:
    @get("/overview", summary="The service at this moment, as this node sees it")
    async def show_overview(request: AnyRequest) -> Overview:
        await operators.of(request)
        return overview.show()

    @get("/activity", summary="What this node did in the last minutes, step by step")
    async def show_activity(request: AnyRequest, minutes: FromQuery[int] = 60) -> Activity:
        await operators.of(request)
        return figures.activity(convert({"minutes": minutes}, ShowActivity).minutes)

    @get("/spend", summary="What each model cost on each of the last days (UTC)")
    async def show_spend(request: AnyRequest, days: FromQuery[int] = 30) -> Spend:
        await operators.of(request)
        return await spend.spend(convert({"days": days}, ShowSpend).days)

    return [show_overview, show_activity, show_spend]
