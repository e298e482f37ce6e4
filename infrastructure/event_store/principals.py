"""Who the log's random ids stand for, and whose each stream is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Row, exists, insert, select

from application.ports import Clock, Principal
from domain.usage import Kind
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.schema import erasures, micros, principals, streams
from infrastructure.event_store.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

REMEMBERED = 50_000

_known = select(
    principals, exists().where(erasures.c.principal == principals.c.id).label("is_erased")
)


class SqlPrincipals:
    """Implements `application.ports.Principals`."""

    def __init__(
        self,
        readers: "AsyncEngine",
        writer: Writer,
        clock: Clock,
        names: PlainNames,
    ) -> None:
        self._names = names
        self._readers = readers
        self._writer = writer
        self._clock = clock
        self._by_name: Recent[tuple[Kind, str], Principal] = Recent(REMEMBERED)
        self._by_id: Recent[UUID, Principal] = Recent(REMEMBERED)
        self._owners: Recent[UUID, UUID] = Recent(REMEMBERED)

    async def resolve(self, kind: Kind, name: str) -> Principal:
        """The principal of that name, made known on first sight."""
        known = await self.find(kind, name)
        return known or self._remember(await self._writer.run(self._enrolment(kind, name)))

    async def find(self, kind: Kind, name: str) -> Principal | None:
        return self._by_name.get((kind, name)) or await self._read(self._named(kind, name))

    async def name_of(self, principal_id: UUID) -> Principal | None:
        """Who an internal id stands for; None where that was erased."""
        known = self._by_id.get(principal_id)
        return known or await self._read(principals.c.id == principal_id)

    async def owner_of(self, stream_id: UUID) -> UUID | None:
        """The principal whose chat or account it is."""
        owner = self._owners.get(stream_id)
        if owner is None:
            query = select(streams.c.owner).where(streams.c.stream_id == stream_id)
            async with self._readers.connect() as connection:
                owner = await connection.scalar(query)
            if owner is not None:
                self._owners.put(stream_id, owner)
        return owner

    def owns(self, stream_id: UUID, owner: UUID) -> None:
        """This process has committed that the stream is the owner's."""
        self._owners.put(stream_id, owner)

    def forget_owner(self, stream_id: UUID) -> None:
        """Somebody else may have claimed the stream."""
        self._owners.drop(stream_id)

    def forget(self, principal_id: UUID) -> None:
        """The principal was erased: who has the name now is somebody else."""
        known = self._by_id.get(principal_id)
        self._by_id.drop(principal_id)
        if known is not None:
            self._by_name.drop((known.kind, known.name))

    def _enrolment(self, kind: Kind, name: str) -> Callable[[Connection], Principal]:
        def enrol(connection: Connection) -> Principal:
            known = select(principals).where(self._named(kind, name))
            row = connection.execute(known).one_or_none()
            if row is not None:
                return self._principal(row)
            principal = Principal(uuid4(), kind, name)
            connection.execute(
                insert(principals).values(
                    id=principal.id,
                    kind=kind,
                    name=self._names.stored(kind, name),
                    created_at=micros(self._clock.now()),
                )
            )
            return principal

        return enrol

    async def _read(self, condition: ColumnElement[bool]) -> Principal | None:
        async with self._readers.connect() as connection:
            row = (await connection.execute(_known.where(condition))).one_or_none()
        if row is None:
            return None
        principal = self._principal(row)
        # The name of who is being erased goes last, and is somebody else's from then on.
        return principal if row.is_erased else self._remember(principal)

    def _remember(self, principal: Principal) -> Principal:
        self._by_name.put((principal.kind, principal.name), principal)
        self._by_id.put(principal.id, principal)
        return principal

    def _named(self, kind: Kind, name: str) -> ColumnElement[bool]:
        spellings = self._names.spellings(kind, name)
        return (principals.c.kind == kind) & principals.c.name.in_(spellings)

    def _principal(self, row: Row[Any]) -> Principal:
        return Principal(row.id, row.kind, self._names.name_of(row.kind, row.name))
