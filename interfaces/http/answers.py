"""Counts answers by route and status."""

from collections.abc import Awaitable, Callable

from litestar.types import Message, Scope

UNKNOWN_ROUTE = "unknown"


def count_answers(
    answered: Callable[[str, int], None],
) -> Callable[[Message, Scope], Awaitable[None]]:
    """A `before_send` hook. Routes are told by their pattern: paths can hold what people chose."""

    async def count(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            answered(scope.get("path_template", UNKNOWN_ROUTE), message["status"])

    return count
