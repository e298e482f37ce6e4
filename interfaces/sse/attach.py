"""Which reply a GET attaches to, and from where on."""

from datetime import timedelta
from uuid import UUID

import msgspec

from application.errors import InvalidRequest, ReplyNotFound
from application.ports import Caller, Clock
from application.queries import Views
from interfaces.sse.reply_stream import Beginning, ReplyStreams
from interfaces.sse.stream_token import Place, StreamTokens

TOKEN_LIFE = timedelta(minutes=5)
"""How long after its end a reply can be attached to by its token alone."""
NEWEST_WITHIN = timedelta(seconds=60)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the client gave to name a reply. `caller` is None where it gave no credentials."""

    event_id: str | None
    stream_token: str | None
    reply_id: str | None
    chat_id: str | None
    cookie: str | None
    caller: Caller | None


class Attachment(msgspec.Struct, frozen=True):
    beginning: Beginning
    place: Place | None


class Attaching:
    def __init__(
        self, streams: ReplyStreams, views: Views, tokens: StreamTokens, clock: Clock
    ) -> None:
        self._streams = streams
        self._views = views
        self._tokens = tokens
        self._clock = clock

    async def find(self, wanted: Wanted) -> Attachment | None:
        """The reply, by the first that was given; None where there is nothing to attach to.

        Raises InvalidRequest, ReplyNotFound, ChatNotFound.
        """
        if wanted.event_id is not None:
            return await self._by_event_id(wanted.event_id, wanted)
        if wanted.stream_token is not None:
            reply_id = self._tokens.reply_of(wanted.stream_token)
            beginning = await self._by_token(reply_id, wanted.caller) if reply_id else None
            if beginning is None:
                raise ReplyNotFound("There is no such reply, or its token has run out.")
            return Attachment(beginning, None)
        if wanted.reply_id is not None:
            return Attachment(await self._own(_uuid(wanted.reply_id, "$.reply_id"), wanted), None)
        if wanted.chat_id is not None:
            return await self._newest_in_chat(_uuid(wanted.chat_id, "$.chat_id"), wanted)
        reply_id = self._tokens.reply_of(wanted.cookie) if wanted.cookie else None
        beginning = await self._by_token(reply_id, wanted.caller) if reply_id else None
        if beginning is not None:
            return Attachment(beginning, None)
        return await self._newest(wanted)

    async def _by_event_id(self, event_id: str, wanted: Wanted) -> Attachment | None:
        place = self._tokens.place_of(event_id)
        if place is None:
            raise InvalidRequest("This is no event id of a reply's stream.", "$.last_event_id")
        if wanted.reply_id is not None and _uuid(wanted.reply_id, "$.reply_id") != place.reply_id:
            raise InvalidRequest("The event id is another reply's.", "$.reply_id")
        beginning = await self._by_token(place.reply_id, wanted.caller)
        if beginning is None:
            raise ReplyNotFound("There is no such reply, or its token has run out.")
        return None if place.phase == "u" else Attachment(beginning, place)

    async def _by_token(self, reply_id: UUID, caller: Caller | None) -> Beginning | None:
        """The reply while it is under way and for a while after; for its owner, always."""
        if self._streams.is_live(reply_id):
            return await self._streams.beginning(reply_id)
        view = await self._views.reply(reply_id)
        if view is None:
            return None
        owned = caller is not None and caller.principal.id == view.owner
        over = view.ended_at is not None and self._clock.now() - view.ended_at > TOKEN_LIFE
        return await self._streams.beginning(reply_id) if owned or not over else None

    async def _own(self, reply_id: UUID, wanted: Wanted) -> Beginning:
        caller = wanted.caller
        view = await self._views.reply(reply_id) if caller else None
        if view is None or caller is None or view.owner != caller.principal.id:
            raise ReplyNotFound("There is no such reply.")
        beginning = await self._streams.beginning(reply_id)
        assert beginning is not None
        return beginning

    async def _newest_in_chat(self, chat_id: UUID, wanted: Wanted) -> Attachment | None:
        if wanted.caller is None:
            raise ReplyNotFound("A chat's reply needs its owner's credentials.")
        principal = wanted.caller.principal.id
        chat = (await self._views.chat(principal, chat_id)).chat
        reply_id = chat.active_reply_id or await self._views.newest_reply(
            principal, chat.created_at, chat_id
        )
        return Attachment(await self._own(reply_id, wanted), None) if reply_id else None

    async def _newest(self, wanted: Wanted) -> Attachment | None:
        if wanted.caller is None:
            return None
        reply_id = await self._views.newest_reply(
            wanted.caller.principal.id, self._clock.now() - NEWEST_WITHIN
        )
        return Attachment(await self._own(reply_id, wanted), None) if reply_id else None


def _uuid(text: str, path: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest("This is no id.", path) from None
