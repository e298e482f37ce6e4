"""Readings over real connections: cut anywhere, taken up again, however often."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Literal

import aiohttp

from tests.faults.people import Person, Seen, Sent
from tests.faults.plan import By, Cut
from tests.faults.plan import Reading as ReadingPlan
from tests.faults.reading import BrokenPromiseError, Reading
from tests.faults.world import World

Outcome = Literal["cut", "ended", "nothing", "gone", "refused"]

GONE = (aiohttp.ClientError, ConnectionError)
"""How a connection ends when the server does."""
COMES_BACK_WITHIN = 60.0
SEND_PATH = "/api/v1/messages/send"
GIVEN_UP = ("CHAT_NOT_FOUND", "REPLY_NOT_FOUND", "MESSAGE_NOT_FOUND")
REFUSED = ("CHAT_BUSY", "INSUFFICIENT_BALANCE", "ANON_LIMIT_REACHED")
DRAINING = "SERVER_DRAINING"
PASSING = (DRAINING, "INTERNAL", "VIEWS_BEHIND")
"""What a node may answer that is leaving, or whose database is out of its reach."""


class Request:
    """What opens one connection."""

    def __init__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: Any = None,
        sent: Sent | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = dict(headers)
        self.params = dict(params or {})
        self.body = body
        self.sent = sent


class Follower:
    """Reads one answer to its end, as its plan says."""

    def __init__(
        self,
        world: World,
        client: aiohttp.ClientSession,
        seen: Seen,
        person: Person,
        goes_down: bool,
    ) -> None:
        self._world = world
        self._client = client
        self._seen = seen
        self._person = person
        self._goes_down = goes_down
        self._reading: Reading | None = None
        self._code = ""
        self._chat_id: str | None = None

    async def send(self, sent: Sent, plan: ReadingPlan) -> Reading | None:
        request = Request(
            "POST",
            f"/api/v1/messages/{sent.route}",
            sent.headers,
            body=sent.body,
            sent=sent,
        )
        self._chat_id = sent.body.get("chat_id")
        return await self._follow(request, plan)

    async def attach(self, request: Request, chat_id: str, plan: ReadingPlan) -> Reading | None:
        self._chat_id = chat_id
        return await self._follow(request, plan)

    async def _follow(self, request: Request, plan: ReadingPlan) -> Reading | None:
        cuts = list(plan.cuts)
        left_open = False
        while True:
            cut = cuts.pop(0) if cuts else None
            outcome = await self._connect(request, cut)
            self._seen.counts[outcome] += 1
            if outcome == "refused":
                if self._goes_down and self._code in PASSING:
                    if request.sent is None or request.sent.key:
                        left_open = True
                        await self._back()
                        continue
                    self._seen.unanswered += 1
                elif (
                    request.sent is not None
                    and left_open
                    and (self._goes_down or self._code in GIVEN_UP)
                ):
                    # The earlier attempt may be carried out all the same: by another node after
                    # this one, or before its chat was given up.
                    self._seen.unanswered += 1
                self._check_refusal(request)
                return None
            if outcome == "gone":
                if not self._goes_down:
                    raise BrokenPromiseError(
                        f"the server cut a connection of {request.method} {request.path}"
                    )
                await self._back()
            reading = self._reading
            if reading is None:
                if outcome == "nothing":
                    return None
                if request.sent is not None and request.sent.key is None:
                    self._seen.unanswered += 1
                    return None
                left_open = True
                continue  # the same again, under its key; a GET is safe anyway
            if outcome == "ended" and not reading.whole:
                if reading.terminal is None and not self._goes_down:
                    raise BrokenPromiseError("a stream ended without a terminal event")
            elif outcome in ("ended", "nothing"):
                return reading
            if outcome == "cut" and not cuts and plan.abandoned:
                return reading
            if cut is not None and outcome == "cut":
                await asyncio.sleep(cut.pause)
            request = self._resume(reading, cut.resume if cut and outcome == "cut" else "event_id")

    def _resume(self, reading: Reading, by: By) -> Request:
        if by == "event_id" and reading.last_id:
            # It names its reply and lets in by itself.
            return Request("GET", SEND_PATH, {"last-event-id": reading.last_id})
        self._reading = None
        self._chat_id = reading.chat_id
        return attaching(self._person, reading.reply_id, reading.chat_id, reading.token, by)

    async def _connect(self, request: Request, cut: Cut | None) -> Outcome:
        try:
            return await self._exchange(request, cut)
        except GONE:
            return "gone"

    async def _exchange(self, request: Request, cut: Cut | None) -> Outcome:
        hurry = cut.pause / 5 if cut is not None and cut.after < 0 else None
        url = self._world.url + request.path
        opening = self._client.request(
            request.method, url, headers=request.headers, params=request.params, json=request.body
        )
        try:
            response = await asyncio.wait_for(opening, hurry)
        except TimeoutError:
            return "cut"
        try:
            if response.status == 204:
                return "nothing"
            if response.status != 200:
                self._code = await _refusal(response)
                return "refused"
            self._open(request, response)
            return await self._read(response, cut.after if cut else None)
        finally:
            response.close()

    def _open(self, request: Request, response: aiohttp.ClientResponse) -> None:
        reply_id = response.headers["x-reply-id"]
        if request.sent is not None:
            self._seen.acknowledge(self._person, request.sent, response.headers)
        reading = self._reading
        if reading is not None and request.sent is None:
            if reading.reply_id != reply_id:
                raise BrokenPromiseError(f"{reading.last_id} resumed another reply {reply_id}")
            reading.connect()
            return
        self._reading = Reading(
            reply_id, response.headers["x-chat-id"], response.headers["x-stream-token"]
        )
        self._seen.readings.append(self._reading)

    async def _read(self, response: aiohttp.ClientResponse, limit: int | None) -> Outcome:
        reading = self._reading
        assert reading is not None
        left = limit
        if left is not None and left <= 0:
            return "cut"
        async for chunk in response.content.iter_any():
            reading.feed(chunk if left is None else chunk[:left])
            self._note(reading)
            if left is not None:
                left -= len(chunk)
                if left <= 0:
                    return "cut"
        return "ended"

    def _note(self, reading: Reading) -> None:
        if reading.terminal is not None:
            self._seen.ended.add(reading.reply_id)
        if reading.started is not None:
            started = reading.started
            place = (started["user_message_id"], started["message_id"])
            places = self._person.messages.setdefault(started["chat_id"], [])
            if place not in places:
                places.append(place)

    def _check_refusal(self, request: Request) -> None:
        code = self._code
        self._seen.counts[code] += 1
        if code in GIVEN_UP and self._seen.may_be_gone(self._person, self._chat_id):
            return
        if request.sent is not None and code in REFUSED:
            return
        if code in PASSING and self._goes_down:
            return
        raise BrokenPromiseError(
            f"{request.method} {request.path} {request.params} was refused: {code}"
        )

    async def _back(self) -> None:
        async with asyncio.timeout(COMES_BACK_WITHIN):
            await self._world.up_again()


def attaching(person: Person, reply_id: str, chat_id: str, token: str, by: By) -> Request:
    """A follower from the beginning on, of the reply that is named this way."""
    match by:
        case "stream_token":
            return Request("GET", SEND_PATH, {}, {"stream_token": token})
        case "cookie":
            return Request("GET", SEND_PATH, {"cookie": f"dabir_stream={token}"})
        case "chat_id":
            return Request("GET", SEND_PATH, person.headers, {"chat_id": chat_id})
        case _:
            return Request("GET", SEND_PATH, person.headers, {"reply_id": reply_id})


async def _refusal(response: aiohttp.ClientResponse) -> str:
    """The code, from either shape that an error has on these routes."""
    text = await response.text()
    if response.content_type == "text/event-stream":
        text = text.partition("data: ")[2]
    try:
        return str(json.loads(text)["code"])
    except (ValueError, KeyError):
        raise BrokenPromiseError(
            f"status {response.status} without a code: {text[:200]!r}"
        ) from None
