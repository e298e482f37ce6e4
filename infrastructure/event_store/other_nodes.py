"""What a node hears of the others: that the log has grown, and what in it concerns this one."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from application.ports import Recorded
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.event_store.encryption import Vault
from infrastructure.event_store.log import Log
from infrastructure.event_store.principals import SqlPrincipals
from infrastructure.event_store.signals import Signals

log = structlog.get_logger()

HEAD = "head"
"""The name under which nodes tell each other of the log's head."""

HEEDED = (Chat.Claimed, Chat.StopRequested, Chat.Deleted, Chat.Erased, Usage.PrincipalErased)
HEED_IDLE = 30.0
HEED_RETRY = 1.0


class OtherNodes:
    def __init__(
        self, stored: Log, signals: Signals, principals: SqlPrincipals, vault: Vault
    ) -> None:
        self._log = stored
        self._signals = signals
        self._principals = principals
        self._vault = vault
        self._hearing: dict[str, Callable[[int], None]] = {HEAD: stored.committed}
        self._tell_gone: Callable[[UUID], None] = lambda chat_id: None
        self._tell_stopped: Callable[[UUID], None] = lambda reply_id: None

    async def listen(self) -> None:
        """Hear of other nodes' commits at once. Until cancelled; without it a poll tells later."""
        await self._signals.listen(self._hear)

    def tell(self, name: str, number: int) -> None:
        """Tell the other nodes a number that only grows."""
        self._signals.tell(name, number)

    def when_told(self, name: str, hear: Callable[[int], None]) -> None:
        self._hearing[name] = hear

    async def heed(self) -> None:
        """Notice what other nodes append that this one must know of. Until cancelled.

        For a node that does not read all of the log anyway.
        """
        position = self._log.known_head
        while True:
            try:
                head = await self._log.wait(position, HEED_IDLE)
                for recorded in await self._log.read_topics(HEEDED, position, head):
                    self.heed_event(recorded)
                position = head
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                log.warning("heeding_failed", error=type(error).__name__)
                await asyncio.sleep(HEED_RETRY)

    def when_gone(self, tell: Callable[[UUID], None]) -> None:
        """`tell` is called with each chat that is read to have been deleted or erased."""
        self._tell_gone = tell

    def when_stopped(self, tell: Callable[[UUID], None]) -> None:
        """`tell` is called with each reply that is read to have been asked to stop."""
        self._tell_stopped = tell

    def heed_event(self, recorded: Recorded) -> None:
        """Another process may have appended it: what this one remembers may be so no more."""
        match recorded.event:
            case Chat.Claimed():
                self._principals.forget_owner(recorded.stream_id)
            case Chat.StopRequested() as stop:
                self._tell_stopped(stop.reply_id)
            case Chat.Deleted():
                self._tell_gone(recorded.stream_id)
            case Chat.Erased():
                self._log.forget_tail()
                self._vault.forget(recorded.stream_id)
                self._tell_gone(recorded.stream_id)
            case Usage.PrincipalErased():
                self._log.forget_tail()
                self._vault.forget(recorded.stream_id)
                self._principals.forget(recorded.stream_id)

    def _hear(self, name: str, number: int) -> None:
        if hear := self._hearing.get(name):
            hear(number)
