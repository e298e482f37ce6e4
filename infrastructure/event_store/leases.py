"""Leases: which node may write for the replies it owns."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Delete, delete, insert, select, update

from application.errors import LeaseLost
from application.ports import Lease
from infrastructure.event_store.beside import Beside
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import MICROSECOND, leases, open_replies
from infrastructure.event_store.writer import Writer

FORGOTTEN_AFTER = timedelta(days=1)
"""For so long the lease of a node that is gone can be looked at."""


class Leases:
    def __init__(self, writer: Writer, beside: Beside, time: LeaseTime) -> None:
        self._writer = writer
        self._beside = beside
        self._time = time

    async def acquire(self, node: UUID, duration: timedelta) -> Lease:
        """A lease of a new epoch, which ends every earlier one of this node."""

        def acquire(connection: Connection) -> Lease:
            now = self._time.now()
            connection.execute(_forget_gone(now))
            held = connection.scalar(select(leases.c.epoch).where(leases.c.node == node))
            values = {"epoch": (held or 0) + 1, "expires_at": now + duration // MICROSECOND}
            if held is None:
                connection.execute(insert(leases).values(node=node, **values))
            else:
                connection.execute(update(leases).where(leases.c.node == node).values(**values))
            return Lease(node, (held or 0) + 1)

        return await self._writer.run(acquire)

    async def renew(self, lease: Lease, duration: timedelta) -> None:
        """Raises LeaseLost; one that has run out is not revived, as it may have been acted upon."""
        await self._set_end(lease, duration)

    async def release(self, lease: Lease) -> None:
        """End it now. Raises LeaseLost."""
        await self._set_end(lease, timedelta())

    async def _set_end(self, lease: Lease, left: timedelta) -> None:
        def set_end(connection: Connection) -> None:
            now = self._time.now()
            held = update(leases).where(
                leases.c.node == lease.node,
                leases.c.epoch == lease.epoch,
                leases.c.expires_at > now,
            )
            ended = connection.execute(held.values(expires_at=now + left // MICROSECOND))
            if ended.rowcount != 1:
                raise LeaseLost

        await self._beside.run(set_end)


def require_lease(connection: Connection, lease: Lease, time: LeaseTime) -> None:
    """Raises LeaseLost unless it is the node's present one."""
    held = select(leases.c.node).where(
        leases.c.node == lease.node,
        leases.c.epoch == lease.epoch,
        leases.c.expires_at > time.now(),
    )
    if connection.scalar(held) is None:
        raise LeaseLost


def _forget_gone(now: ColumnElement[int]) -> Delete:
    """Nodes that have an id for each start leave a row behind each time."""
    answering = select(open_replies.c.node)
    return delete(leases).where(
        leases.c.expires_at < now - FORGOTTEN_AFTER // MICROSECOND,
        leases.c.node.not_in(answering),
    )
