"""One Socket.IO client a principal: it lists at connect, and then believes the pushes."""

import asyncio
from typing import Any

import socketio
from socketio.exceptions import SocketIOError

from tests.faults.people import Person
from tests.faults.reading import BrokenPromiseError
from tests.faults.world import World

NAMESPACE = "/chats"
PUSHES = (
    "chat_created",
    "chat_updated",
    "chat_deleted",
    "message_created",
    "reply_started",
    "message_completed",
    "message_failed",
)
ANSWERS_WITHIN = 20.0
AGREES_WITHIN = 10.0
LISTED = 100
PASSING = "VIEWS_BEHIND"
"""Asked again, as a client would."""

Chats = dict[str, dict[str, Any]]


class Socket:
    """`async with Socket(…)` stays connected, also over the server's restarts."""

    def __init__(self, world: World, person: Person, claims: str | None, goes_down: bool) -> None:
        self._world = world
        self._person = person
        self._auth = _auth(person, claims)
        self._goes_down = goes_down
        self._listener: socketio.AsyncClient | None = None
        self._asker: socketio.AsyncClient | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._left = asyncio.Event()
        self.broken: list[str] = []
        self._begin()

    def _begin(self) -> None:
        """What a connection knows is its own."""
        self._since: int | None = None
        self._pushed_to = 0
        self._pushed: set[tuple[int, str, str]] = set()
        self._pending: list[tuple[str, dict[str, Any]]] = []
        self._chats: Chats | None = None
        self._listed_at = 0
        self._open: dict[str, str] = {}

    async def __aenter__(self) -> "Socket":
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in (self._listener, self._asker):
            if client is not None:
                await client.disconnect()

    async def _connect(self) -> None:
        self._begin()
        self._listener = listener = socketio.AsyncClient(reconnection=False)
        self._asker = socketio.AsyncClient(reconnection=False)

        async def heard(name: str, payload: dict[str, Any]) -> None:
            if self._listener is listener:  # else it is what an earlier connection still had
                await self._heard(name, payload)

        self._listener.on("*", heard, namespace=NAMESPACE)
        for client in (self._listener, self._asker):
            await client.connect(
                self._world.url,
                auth=self._auth,
                namespaces=[NAMESPACE],
                transports=["websocket"],
                wait_timeout=ANSWERS_WITHIN,
            )
        chats, position = await self._list(self._listener)
        self._chats, self._listed_at = chats, position
        pending, self._pending = self._pending, []
        for name, payload in pending:
            self._apply(name, payload)

    async def reconnect(self) -> None:
        """After a restart: list again, as pushes from before are lost."""
        self._left.set()
        self._left = asyncio.Event()
        await self.__aexit__()
        await self._connect()

    async def ask(self, request: str, payload: dict[str, Any]) -> Any:
        """The answer, or None where the server went down, or the connection was left."""
        assert self._asker is not None
        calling = asyncio.ensure_future(
            self._asker.call(request, payload, namespace=NAMESPACE, timeout=ANSWERS_WITHIN)
        )
        leaving = asyncio.ensure_future(self._left.wait())
        await asyncio.wait({calling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not calling.done():
            calling.cancel()
            return None
        try:
            return calling.result()
        except SocketIOError as error:
            if not self._goes_down:
                raise BrokenPromiseError(
                    f"{request} got no answer: {type(error).__name__}"
                ) from error
            return None

    async def agrees(self) -> None:
        """Returns once the list made of pushes is the list asked for anew."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AGREES_WITHIN
        while True:
            assert self._listener is not None
            if self._goes_down and not self._listener.connected:
                # The server has hung up, as it may have missed a push: list again.
                await self.reconnect()
            fresh, _ = await self._list(self._asker)
            if self.broken:
                raise BrokenPromiseError(self.broken[0])
            if fresh == self._chats and not self._open:
                return
            if loop.time() > deadline:
                assert self._chats is not None
                different = {
                    chat_id: (self._chats.get(chat_id), fresh.get(chat_id))
                    for chat_id in fresh.keys() | self._chats.keys()
                    if self._chats.get(chat_id) != fresh.get(chat_id)
                }
                raise BrokenPromiseError(
                    f"pushes and list of {self._person.sub} differ (pushed, listed):"
                    f" {different}; replies never ended by a push: {self._open}, of them in"
                    f" chats that are listed: {[c for c in self._open.values() if c in fresh]}"
                )
            await asyncio.sleep(0.02)

    async def _list(self, client: Any) -> tuple[Chats, int]:
        chats: Chats = {}
        positions: list[int] = []
        for archived in (False, True):
            asked = {"limit": LISTED, "archived": archived, "min_position": max([0, *positions])}
            listed: dict[str, Any] = {"error": {"code": PASSING}}
            while listed.get("error", {}).get("code") == PASSING:
                listed = await client.call(
                    "list_chats", asked, namespace=NAMESPACE, timeout=ANSWERS_WITHIN
                )
            if "error" in listed:
                raise BrokenPromiseError(f"list_chats was refused: {listed['error']}")
            chats |= {chat["id"]: chat for chat in listed["chats"]}
            positions.append(listed["position"])
        return chats, min(positions)

    async def _heard(self, name: str, payload: dict[str, Any]) -> None:
        if name == "session":
            self._since = self._pushed_to = payload["position"]
        if name not in PUSHES:
            return
        if self._chats is None:
            self._pending.append((name, payload))
        else:
            self._apply(name, payload)

    def _apply(self, name: str, payload: dict[str, Any]) -> None:
        position = payload["position"]
        what = (payload.get("chat") or payload.get("message") or {}).get("id") or payload["chat_id"]
        if self._since is None or position <= self._since:
            self.broken.append(f"{name} of position {position} is before the session's")
        if position < self._pushed_to:
            self.broken.append(f"{name} of {position} came after {self._pushed_to}")
        if (position, name, what) in self._pushed:
            self.broken.append(f"{name} of {position} came twice")
        self._pushed.add((position, name, what))
        self._pushed_to = position
        self._follow_reply(name, payload)
        assert self._chats is not None
        if position <= self._listed_at:
            return  # the list holds it already
        if name in ("chat_created", "chat_updated"):
            self._chats[what] = payload["chat"]
        elif name == "chat_deleted":
            self._chats.pop(what, None)

    def _follow_reply(self, name: str, payload: dict[str, Any]) -> None:
        if name == "reply_started":
            self._open[payload["message_id"]] = payload["chat_id"]
        elif name in ("message_completed", "message_failed"):
            message = payload["message"]
            self._open.pop(message["id"], None)
            if message["status"] == "streaming":
                self.broken.append(f"{name} of a message that is streaming")
        elif name == "chat_deleted":  # which ends its replies without a word of their own
            gone = payload["chat_id"]
            self._open = {m: chat_id for m, chat_id in self._open.items() if chat_id != gone}


def _auth(person: Person, claims: str | None) -> dict[str, str]:
    if not person.is_user:
        return {"anon_id": person.sub}
    token = person.headers["authorization"].removeprefix("Bearer ")
    return {"token": token} | ({"anon_id": claims} if claims else {})
