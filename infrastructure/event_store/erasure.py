"""What erasing takes out of the log's database and the file of keys."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from application.errors import ConfigurationError
from domain.refusal import Refusal
from domain.usage import Kind
from infrastructure.database import scrubbed, sync_reader_engine
from infrastructure.event_store.keyring import Keyring
from infrastructure.event_store.schema import (
    commands,
    erasures,
    events,
    micros,
    open_replies,
    principals,
    snapshots,
    streams,
)

AT_ONCE = 200
"""Rows wiped in one transaction: some milliseconds under the write lock."""
SCRUB_WITHIN = 30.0
SCRUB_RETRY = 0.1

T = TypeVar("T")

_next_personal = (
    select(events.c.position)
    .where(events.c.stream_id == bindparam("of"), events.c.personal.is_not(None))
    .limit(AT_ONCE)
)
_wipe = update(events).where(events.c.position == bindparam("at")).values(personal=None)


class StillRead(Refusal):
    """Somebody keeps an old version of the database's pages in use."""


class SqlErasure:
    """Implements `application.erasure.ErasableLog`, on engines of its own.

    `writing` deletes securely: what goes is overwritten in the file.
    """

    def __init__(self, writing: Engine, reading: Engine, keyring: Keyring) -> None:
        self._writing = writing
        self._reading = reading
        self._keyring = keyring

    async def begin_erasure(self, principal: UUID, at: datetime) -> None:
        await asyncio.to_thread(self._begin, principal, at)

    async def chats_of(self, principal: UUID) -> Sequence[UUID]:
        owned = select(streams.c.stream_id).where(
            streams.c.owner == principal, streams.c.kind == "chat"
        )
        return await self._read(lambda c: c.scalars(owned).all())

    async def wipe(
        self, principal: UUID, streams: Sequence[UUID], at: datetime, advance: Callable[[int], None]
    ) -> int:
        return await asyncio.to_thread(self._wipe_all, principal, streams, at, advance)

    async def scrub(self) -> None:
        """Raises StillRead."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SCRUB_WITHIN
        while not await asyncio.to_thread(self._emptied):
            if loop.time() > deadline:
                raise StillRead(
                    "Another process keeps reading the log, so that old versions of its pages "
                    "could not be overwritten. Go on with `dabir erase --unfinished`."
                )
            await asyncio.sleep(SCRUB_RETRY)

    async def finish_erasure(self, principal: UUID, at: datetime) -> None:
        done = (
            update(erasures).where(erasures.c.principal == principal).values(finished_at=micros(at))
        )
        await asyncio.to_thread(self._write, lambda c: c.execute(done))

    async def unfinished_erasures(self) -> Sequence[UUID]:
        begun = select(erasures.c.principal).where(erasures.c.finished_at.is_(None))
        return await self._read(lambda c: c.scalars(begun).all())

    async def listed_erasures(self) -> Sequence[UUID]:
        return await asyncio.to_thread(self._keyring.erased_principals)

    async def kind_of(self, principal: UUID) -> Kind | None:
        known = select(principals.c.kind).where(principals.c.id == principal)
        kind: Kind | None = await self._read(lambda c: c.scalar(known))
        return kind

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._reading.begin() as connection:
                return query(connection)

        return await asyncio.to_thread(read)

    # In a thread

    def _write(self, work: Callable[[Connection], T]) -> T:
        with self._writing.begin() as connection:
            return work(connection)

    def _begin(self, principal: UUID, at: datetime) -> None:
        self._keyring.list_erased(principal, at)
        with self._writing.begin() as connection:
            there = select(erasures.c.principal).where(erasures.c.principal == principal)
            if connection.scalar(there) is None:
                connection.execute(
                    insert(erasures).values(principal=principal, begun_at=micros(at))
                )

    def _wipe_all(
        self,
        principal: UUID,
        stream_ids: Sequence[UUID],
        at: datetime,
        advance: Callable[[int], None],
    ) -> int:
        self._keyring.drop(stream_ids, at)
        wiped = 0
        for done, stream_id in enumerate(stream_ids, 1):
            wiped += self._wipe_stream(stream_id)
            advance(done)
        self._delete_commands(principal)
        self._write(lambda c: c.execute(delete(principals).where(principals.c.id == principal)))
        return wiped

    def _delete_commands(self, principal: UUID) -> None:
        with self._reading.begin() as connection:
            theirs = select(commands.c.id).where(commands.c.principal == principal)
            ids = connection.scalars(theirs).all()
        for start in range(0, len(ids), AT_ONCE):
            some = delete(commands).where(commands.c.id.in_(ids[start : start + AT_ONCE]))
            self._write(lambda c, some=some: c.execute(some))  # type: ignore[misc]

    def _wipe_stream(self, stream_id: UUID) -> int:
        wiped = 0
        while True:
            with self._writing.begin() as connection:
                positions = connection.scalars(_next_personal, {"of": stream_id}).all()
                if not positions:
                    connection.execute(delete(snapshots).where(snapshots.c.stream_id == stream_id))
                    connection.execute(
                        delete(open_replies).where(open_replies.c.chat_id == stream_id)
                    )
                    return wiped
                connection.execute(_wipe, [{"at": position} for position in positions])
            wiped += len(positions)

    def _emptied(self) -> bool:
        wiped = (events, principals, commands, snapshots, open_replies)
        tables = [str(table.name) for table in wiped]
        return scrubbed(self._writing, tables) and self._keyring.scrub()


def require_erased(url: str, keyring: Keyring) -> None:
    """See that a log knows of all erasures that are listed with the keys. Blocks.

    Raises ConfigurationError where it is an older copy, which still has what is to be gone.
    """
    reading = sync_reader_engine(url)
    try:
        with reading.begin() as connection:
            known = set(connection.scalars(select(erasures.c.principal)))
    finally:
        reading.dispose()
    if missing := [each for each in keyring.erased_principals() if each not in known]:
        raise ConfigurationError(
            f"{len(missing)} who were erased are not in this log, which is an older copy of it: "
            "run `dabir erase --unfinished` before anything is served."
        )
