"""Valkey's channels: between the nodes, with nothing kept anywhere.

What is sent while the server is away is gone, and whoever listens is told when it is back: all that
is said here can be asked for again.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import structlog

from infrastructure.valkey_server import valkey_at, valkey_failures

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

RETRY_AFTER = 0.5
ANSWERS_WITHIN = 1.0
SILENCE = 2.0
"""Seconds without a message after which the connection is tried; as many to answer in."""

_PUBLISH_ALL = "for i = 1, #KEYS do redis.call('PUBLISH', KEYS[i], ARGV[i]) end"
"""Half the CPU of as many commands: most of that is the client's work on each answer."""

log = structlog.get_logger()


class Away(Exception):  # noqa: N818 - no fault of ours, and all can be asked for again
    """Nobody can be reached now."""


class Faults(Protocol):
    """Where a bug, or a broken engine, is reported."""

    def fault(self, where: str, error: BaseException, reply_id: UUID | None = None) -> None: ...


class Listener(Protocol):
    def joined(self) -> None:
        """From now on all is heard; before, there may have been things that were not."""
        ...

    def heard(self, payload: bytes) -> None: ...


class Channels(Protocol):
    @property
    def open(self) -> bool:
        """Whether messages come and go."""
        ...

    def join(self, channel: bytes, listener: Listener) -> None:
        """Listen on a channel, as its only listener in this process."""
        ...

    def leave(self, channel: bytes, listener: Listener) -> None:
        """Unless somebody else has joined it since."""
        ...

    async def send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Each a channel and a payload, all in one round trip. Raises Away."""
        ...


class NoChannels:
    """Where nodes have nothing between them but the log."""

    open = False

    def join(self, channel: bytes, listener: Listener) -> None:
        """Nothing is ever heard."""

    def leave(self, channel: bytes, listener: Listener) -> None:
        """Nothing was joined."""

    async def send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        raise Away


class ValkeyChannels:
    """`run` must be running; until it has connected, and whenever it cannot, nothing is heard."""

    def __init__(self, listening: "Valkey", sending: "Valkey", observer: Faults) -> None:
        """`listening` must not time out when it reads, as nothing may come for a long time."""
        self._observer = observer
        self._listening = listening
        self._sending = sending
        self._failures = valkey_failures()
        self._listeners: dict[bytes, Listener] = {}
        self._changed = asyncio.Event()
        self._open = False
        self._told_away = False

    @classmethod
    def at(cls, url: str, observer: Faults) -> "ValkeyChannels":
        """Raises ConfigurationError."""
        return cls(
            valkey_at(url, socket_timeout=None, socket_connect_timeout=ANSWERS_WITHIN),
            valkey_at(url, socket_timeout=ANSWERS_WITHIN, socket_connect_timeout=ANSWERS_WITHIN),
            observer,
        )

    @property
    def open(self) -> bool:
        return self._open

    def join(self, channel: bytes, listener: Listener) -> None:
        self._listeners[channel] = listener
        self._changed.set()

    def leave(self, channel: bytes, listener: Listener) -> None:
        if self._listeners.get(channel) is listener:
            del self._listeners[channel]
            self._changed.set()

    async def send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        if not self._open:
            raise Away  # at once: a server that says nothing would be waited for each time
        sending: Any = self._sending
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                channels, payloads = zip(*messages, strict=True)
                await sending.execute_command(
                    "EVAL", _PUBLISH_ALL, len(channels), *channels, *payloads
                )
        except self._failures as error:
            raise Away from error

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        while True:
            try:
                await self._session()
            except self._failures as error:
                self._tell_away(error)
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("live text", error)
            await asyncio.sleep(RETRY_AFTER)

    async def aclose(self) -> None:
        await self._listening.aclose()
        await self._sending.aclose()

    async def _session(self) -> None:
        """One connection, until it fails."""
        pubsub: Any = self._listening.pubsub()  # most of it is untyped
        joining: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                await pubsub.connect()
                await pubsub.ping()
            joining = asyncio.create_task(self._keep_joined(pubsub))
            await self._hear(pubsub, joining)
        finally:
            self._open = False
            if joining is not None:
                joining.cancel()
                await asyncio.gather(joining, return_exceptions=True)
            await pubsub.aclose()

    async def _hear(self, pubsub: Any, joining: "asyncio.Task[None]") -> None:
        asked = True
        while not joining.done():
            message = await pubsub.get_message(timeout=SILENCE)
            if message is None:
                if asked:
                    raise TimeoutError("the server has fallen silent")
                asked = True
                await pubsub.ping()
                continue
            asked = False
            if not self._open:
                self._tell_back()
            if message["channel"] in self._listeners:
                self._pass_on(message, self._listeners[message["channel"]])
        joining.result()

    def _pass_on(self, message: dict[str, Any], listener: Listener) -> None:
        try:
            if message["type"] == "message":
                listener.heard(message["data"])
            elif message["type"] == "subscribe":
                listener.joined()
        except Exception as error:  # noqa: BLE001 - one must not keep the others from hearing
            self._observer.fault("live text", error)

    async def _keep_joined(self, pubsub: Any) -> None:
        """Make the server's idea of where we listen ours, in as few commands as there can be.

        Only here anything but a ping is sent, so that a channel left and joined again is both, in
        that order, or neither.
        """
        joined: dict[bytes, Listener] = {}
        while True:
            self._changed.clear()
            wanted = self._listeners.copy()
            if left := joined.keys() - wanted.keys():
                await pubsub.unsubscribe(*left)
            # A channel with another listener is joined again, which the server confirms again.
            if new := [name for name, who in wanted.items() if joined.get(name) is not who]:
                await pubsub.subscribe(*new)
            joined = wanted
            await self._changed.wait()

    def _tell_away(self, error: Exception) -> None:
        if not self._told_away:
            self._told_away = True
            # Its class alone: the text could repeat the address, with what is in it.
            log.warning("valkey is away", cause=type(error).__name__)

    def _tell_back(self) -> None:
        self._open = True
        if self._told_away:
            self._told_away = False
            log.info("valkey is back")
