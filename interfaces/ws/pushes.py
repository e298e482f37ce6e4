"""Pushes come from the log: one task per node tails it for the sockets that are connected here."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from application.errors import ViewsBehind
from application.ports import EventStore, Principals, Recorded
from application.queries import Views
from domain.usage import Usage
from interfaces.ws.connections import Connection, Connections
from interfaces.ws.push_messages import Push, PushMessages, audience_of, is_of_account

IDLE = 30.0
"""Seconds to wait for the log to grow before looking again."""
FRESH_WITHIN = 5.0
"""Seconds to wait for the views to follow the log before looking again."""
BATCH = 200
RETRY_DELAY = 1.0


class Pushes:
    """Sends each event's messages once, in the log's order, and no sooner than the views hold it.

    `position` is how far all that was to be sent has been sent. Looking up who is connected,
    queueing for them and moving on happen without an await in between, so that a socket that
    joins at `position` neither misses a push nor gets one twice.
    """

    def __init__(
        self,
        store: EventStore,
        views: Views,
        principals: Principals,
        connections: Connections,
        fault: Callable[[str, BaseException], object],
    ) -> None:
        self._store = store
        self._views = views
        self._principals = principals
        self._connections = connections
        self._fault = fault
        self._messages = PushMessages(views)
        self.position = views.position
        self._advanced = asyncio.Event()

    async def run(self) -> None:
        """Tail the log until cancelled."""
        while True:
            try:
                await self.follow()
            except ViewsBehind:
                continue
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._fault("pushes", error)
                await asyncio.sleep(RETRY_DELAY)

    async def reached(self, position: int) -> None:
        """Return when `position` has been pushed."""
        while self.position < position:
            self._advanced.clear()
            await self._advanced.wait()

    def _advance(self, position: int) -> None:
        self.position = position
        self._advanced.set()

    async def follow(self) -> None:
        """Wait for more of the log, and push what the views hold of it. Raises ViewsBehind."""
        if await self._store.wait(self.position, IDLE) <= self.position:
            return
        await self._views.wait(self.position + 1, FRESH_WITHIN, patient=True)
        if not len(self._connections):
            self._advance(max(self.position, self._views.position))
            return
        recorded = await self._store.read_on(self.position, BATCH)
        held = self._views.position
        visible = [each for each in recorded if each.position <= held]
        for each, following in zip(visible, [*visible[1:], None], strict=False):
            # Of events in a row on one account, the last one tells all.
            if is_of_account(each) and following and following.stream_id == each.stream_id:
                self._advance(each.position)
            else:
                await self._push(each)

    async def _push(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, Usage.PrincipalErased):
            # Whoever comes back with the same name is somebody else.
            for connection in self._connections.of(recorded.stream_id):
                self._connections.hang_up(connection)
            self._advance(recorded.position)
            return
        audience = await audience_of(recorded, self._principals)
        pushes: Sequence[Push] = ()
        if any(self._wanting(principal, recorded.position) for principal in audience):
            try:
                pushes = await self._pushes_of(recorded, audience)
            except ViewsBehind:
                raise
            except Exception as error:  # noqa: BLE001 - who would miss a push must list again
                self._fault("push", error)
                for connection in self._wanting_any(audience, recorded.position):
                    self._connections.hang_up(connection)
        for push in pushes:
            wanting = self._wanting(push.principal, recorded.position)
            self._connections.emit(wanting, push.event, push.payload)
        self._advance(recorded.position)

    async def _pushes_of(self, recorded: Recorded, audience: Sequence[UUID]) -> list[Push]:
        if not is_of_account(recorded):
            return await self._messages.of_chat(recorded, audience[0])
        principal = self._connections.principal(audience[0])
        return await self._messages.of_account(recorded, principal) if principal else []

    def _wanting(self, principal: UUID, position: int) -> list[Connection]:
        return [each for each in self._connections.of(principal) if each.wants(position)]

    def _wanting_any(self, audience: Sequence[UUID], position: int) -> list[Connection]:
        return [each for principal in audience for each in self._wanting(principal, position)]
