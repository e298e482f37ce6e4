"""What of the log is sealed, and verifying it."""

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery

from application.console.answers import AuditState, Verification
from application.console.audit_state import AuditDesk
from application.console.ports import Blocking, Verifications
from application.console.requests import ShowCheckpoints
from interfaces.http.caller import AnyRequest
from interfaces.http.operators import Operators
from interfaces.inbound import convert


def audit_routes(
    operators: Operators, desk: AuditDesk, threads: Blocking, verifications: Verifications
) -> list[HTTPRouteHandler]:
    @get("/audit", summary="What of the log is sealed, and the last signed checkpoints")
    async def show_audit(request: AnyRequest, checkpoints: FromQuery[int] = 20) -> AuditState:
        await operators.of(request)
        last = convert({"checkpoints": checkpoints}, ShowCheckpoints).checkpoints
        return await threads.run(lambda: desk.state(last))

    @post("/audit/verifications", status_code=202, summary="Verify the log against what was sealed")
    async def verify(request: AnyRequest) -> Verification:
        await operators.of(request)
        return await verifications.start()

    @get("/audit/verifications/latest", summary="The last verification that this node began")
    async def show_verification(request: AnyRequest) -> Verification:
        await operators.of(request)
        return verifications.latest()

    return [show_audit, verify, show_verification]
