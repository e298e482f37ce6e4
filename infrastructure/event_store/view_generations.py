"""Which generation of the views is live, and which follows it, for each version of their code.

The functions take a connection to the log's database; the class has the store's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec
from sqlalchemy import Connection, delete, insert, inspect, select, update

from infrastructure.event_store.lease_time import DatabaseTime
from infrastructure.event_store.schema import view_builds, view_generations, view_runners

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from infrastructure.event_store.writer import Writer

T = TypeVar("T")

UNKEPT_FOR = 10_000_000
"""Microseconds after which the views of a version count as left by the last node that ran it."""


class Build(msgspec.Struct, frozen=True):
    """`head` is the log's when the build was begun, `boot` the machine's start it was begun in."""

    generation: str
    head: int
    boot: str
    ready: bool


class ViewGenerations:
    """For a process with an event loop."""

    def __init__(self, readers: "AsyncEngine", writer: "Writer") -> None:
        self._readers = readers
        self._writer = writer

    async def live(self, code_version: int) -> str | None:
        return await self._read(lambda c: live_generation(c, code_version))

    async def next(self, code_version: int) -> str | None:
        """The one to turn to: a build that is ready, else the live one."""
        return await self._read(lambda c: next_generation(c, code_version))

    async def in_use(self) -> set[str]:
        return await self._read(generations_in_use)

    async def begin(
        self, code_version: int, lost: str | None, begin: Callable[[Connection, set[str]], str]
    ) -> str:
        """The live generation, which `begin` makes and names where there is none but a lost one.

        It is given those in use, and called under the write lock: of several nodes one makes it.
        """

        def point_at_first(connection: Connection) -> str:
            live = live_generation(connection, code_version)
            if live is None or live == lost:
                live = begin(connection, generations_in_use(connection))
                point_at(connection, code_version, live)
            return live

        return await self._writer.run(point_at_first)

    async def point_at(self, code_version: int, generation: str) -> None:
        await self._writer.run(lambda c: point_at(c, code_version, generation))

    async def take_over(self, code_version: int, generation: str) -> bool:
        """Make the build the live one; False where it was taken back meanwhile."""
        return await self._writer.run(lambda c: take_over(c, code_version, generation))

    async def forget_older(self, code_version: int, keep: Callable[[set[str]], None]) -> None:
        """Drop what versions before this one had.

        `keep` removes what is left of all generations but those it is given. It is called under the
        write lock, so that none begins meanwhile whose file it would take for such a rest.
        """

        def forget(connection: Connection) -> None:
            forget_older(connection, code_version)
            keep(generations_in_use(connection))

        await self._writer.run(forget)

    async def forget_unkept(self, code_version: int) -> None:
        """As `forget_older`, but for versions that nodes of another release still keep up."""
        await self._writer.run(lambda c: forget_unkept(c, code_version))

    async def older(self, code_version: int) -> bool:
        """Whether there are versions before this one."""
        older = select(view_generations.c.code_version).where(
            view_generations.c.code_version < code_version
        )
        return bool(await self._read(lambda c: c.execute(older).all()))

    async def _read(self, query: Callable[[Connection], T]) -> T:
        async with self._readers.connect() as connection:
            return await connection.run_sync(query)


def live_generation(connection: Connection, code_version: int) -> str | None:
    of_version = view_generations.c.code_version == code_version
    return connection.scalar(select(view_generations.c.generation).where(of_version))


def next_generation(connection: Connection, code_version: int) -> str | None:
    build = build_of(connection, code_version)
    if build is not None and build.ready:
        return build.generation
    return live_generation(connection, code_version)


def point_at(connection: Connection, code_version: int, generation: str) -> None:
    of_version = view_generations.c.code_version == code_version
    connection.execute(delete(view_generations).where(of_version))
    connection.execute(
        insert(view_generations).values(code_version=code_version, generation=generation)
    )


def take_over(connection: Connection, code_version: int, generation: str) -> bool:
    build = build_of(connection, code_version)
    if build is None or build.generation != generation:
        return live_generation(connection, code_version) == generation
    end_build(connection, code_version)
    point_at(connection, code_version, generation)
    return True


def build_of(connection: Connection, code_version: int) -> Build | None:
    columns = [view_builds.c[name] for name in Build.__struct_fields__]
    of_version = view_builds.c.code_version == code_version
    row = connection.execute(select(*columns).where(of_version)).one_or_none()
    return None if row is None else Build(*row)


def begin_build(connection: Connection, code_version: int, build: Build) -> None:
    values = msgspec.structs.asdict(build)
    connection.execute(insert(view_builds).values(code_version=code_version, **values))


def build_is_ready(connection: Connection, code_version: int) -> None:
    of_version = view_builds.c.code_version == code_version
    connection.execute(update(view_builds).where(of_version).values(ready=True))


def end_build(connection: Connection, code_version: int) -> None:
    connection.execute(delete(view_builds).where(view_builds.c.code_version == code_version))


def forget_older(connection: Connection, code_version: int) -> None:
    """Drop what versions before this one had, builds too."""
    for table in (view_generations, view_builds):
        connection.execute(delete(table).where(table.c.code_version < code_version))


def forget_unkept(connection: Connection, code_version: int) -> None:
    """As `forget_older`, but for versions that some node keeps up."""
    kept = select(view_runners.c.code_version).where(
        view_runners.c.expires_at > DatabaseTime().now() - UNKEPT_FOR
    )
    for table in (view_generations, view_builds):
        older = table.c.code_version < code_version
        connection.execute(delete(table).where(older, table.c.code_version.not_in(kept)))


def generations_in_use(connection: Connection) -> set[str]:
    """Of every version, those under way among them."""
    live = connection.scalars(select(view_generations.c.generation)).all()
    return {*live, *connection.scalars(select(view_builds.c.generation)).all()}


def knows_builds(connection: Connection) -> bool:
    """False in a log that only older releases have opened."""
    return inspect(connection).has_table(view_builds.name)
