"""The log as operators look into it, and the past of a chat."""

from datetime import datetime
from uuid import UUID

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from application.console.answers import ChatAtPosition, ChatsOf, EventsPage, Timeline
from application.console.chat_history import chat_at, timeline
from application.console.chats_of import chats_of
from application.console.event_search import find_events
from application.console.ports import LogReader, ReadingWitness
from application.console.requests import FindEvents, ListChatsOf, ShowChatAt
from application.errors import InvalidRequest
from application.ledger.known import Known
from application.ports import Principals
from application.queries import Views
from interfaces.http.admin import NOBODY
from interfaces.http.caller import AnyRequest
from interfaces.http.encoded_paths import name_in
from interfaces.http.operators import Operators
from interfaces.inbound import convert
from interfaces.principals import parsed_principal, written_principal


def log_routes(
    operators: Operators,
    log: LogReader,
    principals: Principals,
    views: Views,
    witness: ReadingWitness,
) -> list[HTTPRouteHandler]:
    """What shows words is told to `witness`."""

    @get("/events", summary="Events of the log, newest first, without what people wrote")
    async def show_events(
        request: AnyRequest,
        before: FromQuery[int | None] = None,
        after: FromQuery[int] = 0,
        stream: FromQuery[UUID | None] = None,
        principal: FromQuery[str | None] = None,
        type: FromQuery[str | None] = None,  # noqa: A002 - the parameter's name
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        limit: FromQuery[int] = 50,
    ) -> EventsPage:
        await operators.of(request)
        wanted = convert(
            {
                "before": before,
                "after": after,
                "stream": stream,
                "principal": principal,
                "type": type,
                "since": since,
                "until": until,
                "limit": limit,
            },
            FindEvents,
        )
        of = None
        if wanted.principal is not None:
            of = await _id_of(principals, wanted.principal)
            if of is None:
                raise InvalidRequest(f"{wanted.principal} is not known here.", "principal")
        return await log.read(
            lambda pages, people: find_events(pages, Known(people, written_principal), wanted, of)
        )

    @get("/chats/{chat_id:str}/timeline", summary="A chat's events, oldest first")
    async def show_timeline(request: AnyRequest, chat_id: FromPath[UUID]) -> Timeline:
        await operators.of(request)
        return await log.read(
            lambda pages, people: timeline(pages, Known(people, written_principal), chat_id)
        )

    @get("/chats/{chat_id:str}/at/{position:str}", summary="A chat as it was after an event")
    async def show_chat_at(
        request: AnyRequest, chat_id: FromPath[UUID], position: FromPath[int]
    ) -> ChatAtPosition:
        operator = await operators.of(request)
        place = convert({"chat_id": chat_id, "position": position}, ShowChatAt).position
        witness.operator_read(operator.principal.id, "chat", chat_id)
        return await log.read(
            lambda pages, people: chat_at(pages, Known(people, written_principal), chat_id, place)
        )

    @get("/principals/{principal:str}/chats", summary="A principal's chats, the latest first")
    async def show_chats(
        request: AnyRequest,
        principal: FromPath[str],
        archived: FromQuery[bool] = False,
        limit: FromQuery[int] = 20,
        cursor: FromQuery[str | None] = None,
    ) -> ChatsOf:
        operator = await operators.of(request)
        wanted = convert({"archived": archived, "limit": limit, "cursor": cursor}, ListChatsOf)
        written = name_in(principal)
        of = await _id_of(principals, written) or NOBODY
        witness.operator_read(operator.principal.id, "titles", of)
        return await chats_of(views, written, of, wanted)

    return [show_events, show_timeline, show_chat_at, show_chats]


async def _id_of(principals: Principals, written: str) -> UUID | None:
    """Of `user:SUB` or `anon:ID`, or of itself: who was erased has no other name.

    None where nobody is called so. Raises InvalidRequest.
    """
    try:
        return UUID(written)
    except ValueError:
        known = await principals.find(*parsed_principal(written))
    return None if known is None else known.id
