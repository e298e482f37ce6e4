"""Who may administer: callers whose token has the scope."""

from application.errors import (
    Forbidden,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    ViewsBehind,
)
from application.ports import Caller
from domain.chat import ChatNotFound
from interfaces.http.caller import AnyRequest, Callers
from interfaces.http.operations import Operation

SCOPE = "dabir:admin"
FOR_OPERATORS = Operation(
    refuses=(InvalidRequest, Unauthorized, Forbidden, ChatNotFound, RateLimited, ViewsBehind)
)
"""How the routes are described that only operators may ask."""


class Operators:
    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def of(self, request: AnyRequest) -> Caller:
        """Raises Unauthorized, Forbidden, InvalidRequest, RateLimited."""
        caller = await self._callers.of(request)
        if SCOPE not in caller.scopes:
            raise Forbidden(f"This needs a token with the scope {SCOPE}.")
        return caller
