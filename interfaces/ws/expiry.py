"""Tokens run out while sockets are open, idle or not."""

import asyncio
from collections.abc import Callable

from application.ports import Clock
from interfaces.outbound import WireError
from interfaces.ws.connections import Connection, Connections

GRACE = 3.0
"""Seconds between telling a socket that its token has run out and disconnecting it."""
LONGEST_TIMER = 3600.0
"""Seconds after which a timer is set anew, so that a clock put right is noticed."""

EXPIRED = WireError("UNAUTHORIZED", "The token has expired.", False)


class Expiry:
    def __init__(
        self, clock: Clock, connections: Connections, disconnect: Callable[[Connection], None]
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._disconnect = disconnect

    def watch(self, connection: Connection) -> None:
        """Look at the token again when it runs out; a new one has taken an old one's place."""
        self._cancel(connection)
        seconds = self._seconds_left(connection)
        if seconds is not None:
            # A little late: a timer that fires early would only be set again.
            delay = min(max(seconds, 0) + 0.01, LONGEST_TIMER)
            loop = asyncio.get_running_loop()
            connection.expiry = loop.call_later(delay, self._look, connection)

    def has_run_out(self, connection: Connection) -> bool:
        """Whether the token has expired. The socket is told once, and then disconnected."""
        if connection.expired:
            return True
        seconds = self._seconds_left(connection)
        if seconds is None or seconds > 0:
            return False
        connection.expired = True
        self._connections.emit([connection], "assistant_error", EXPIRED)
        self._cancel(connection)
        loop = asyncio.get_running_loop()
        connection.expiry = loop.call_later(GRACE, self._disconnect, connection)
        return True

    def _look(self, connection: Connection) -> None:
        if not self.has_run_out(connection):
            self.watch(connection)

    def _seconds_left(self, connection: Connection) -> float | None:
        expires_at = connection.caller.expires_at
        return None if expires_at is None else (expires_at - self._clock.now()).total_seconds()

    def _cancel(self, connection: Connection) -> None:
        if connection.expiry is not None:
            connection.expiry.cancel()
            connection.expiry = None
