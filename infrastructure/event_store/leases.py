"""Leases: which node may write for the replies it owns."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from application.errors import LeaseLost
from application.ports import Clock, Lease
from infrastructure.event_store.schema import leases, micros
from infrastructure.event_store.writer import Writer


class Leases:
    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def acquire(self, node: UUID, duration: timedelta) -> Lease:
        """A lease of a new epoch, which ends every earlier one of this node."""
        expires_at = micros(self._clock.now() + duration)

        def acquire(connection: Connection) -> Lease:
            held = connection.scalar(select(leases.c.epoch).where(leases.c.node == node))
            values = {"epoch": (held or 0) + 1, "expires_at": expires_at}
            if held is None:
                connection.execute(insert(leases).values(node=node, **values))
            else:
                connection.execute(update(leases).where(leases.c.node == node).values(**values))
            return Lease(node, values["epoch"])

        return await self._writer.run(acquire)

    async def renew(self, lease: Lease, duration: timedelta) -> None:
        """Raises LeaseLost; one that has run out is not revived, as it may have been acted upon."""
        await self._set_end(lease, self._clock.now() + duration)

    async def release(self, lease: Lease) -> None:
        """End it now. Raises LeaseLost."""
        await self._set_end(lease, self._clock.now())

    async def _set_end(self, lease: Lease, expires_at: datetime) -> None:
        def set_end(connection: Connection) -> None:
            require_lease(connection, lease, self._clock.now())
            connection.execute(
                update(leases)
                .where(leases.c.node == lease.node)
                .values(expires_at=micros(expires_at))
            )

        await self._writer.run(set_end)


def require_lease(connection: Connection, lease: Lease, now: datetime) -> None:
    """Raises LeaseLost unless it is the node's present one."""
    held = select(leases.c.node).where(
        leases.c.node == lease.node,
        leases.c.epoch == lease.epoch,
        leases.c.expires_at > micros(now),
    )
    if connection.scalar(held) is None:
        raise LeaseLost
