"""Generations as schemas of the log's own database on PostgreSQL, which many nodes share."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Connection, Engine, func, make_url, select, text
from sqlalchemy.exc import DBAPIError

from application.projections import BuildUnderWay, Difference
from infrastructure import postgres
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.schema import events
from infrastructure.event_store.stored import StoredLog
from infrastructure.event_store.view_generations import forget_unkept, generations_in_use
from infrastructure.projections import checkpoint, schemas
from infrastructure.projections.build_lock import LET_GO_WITHIN, LOOK_AGAIN
from infrastructure.projections.comparison import compare
from infrastructure.projections.generation import VIEWS_VERSION, Generation
from infrastructure.projections.shelf import Keeper

if TYPE_CHECKING:
    from infrastructure.projections.row_turn import RowTurn

GONE = ("42P01", "3F000", "XX000")
"""What PostgreSQL says where a table or a schema was dropped, also in the midst of planning."""

DROP_WITHIN = 0.5
"""Seconds that a drop waits for readers; whoever reads meanwhile waits behind it."""

VERIFYING = "dabir_verifying_"


class SchemaShelf:
    """Implements `shelf.Shelf`."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def next_name(self, in_use: Iterable[str]) -> str:
        with self._connected() as connection:
            taken = [*in_use, *schemas.generations(connection)]
        return str(max(map(int, taken), default=0) + 1)

    def holds(self, name: str) -> bool:
        with self._connected() as connection:
            return name in schemas.generations(connection)

    def begin(self, connection: Connection, name: str, log_id: str) -> None:
        """In the transaction that makes it the live one, so that no node sees one without other."""
        schemas.create(connection, schemas.name_of(name), log_id)

    def open(self, name: str, log_id: str, head: int) -> Generation:
        schema = schemas.name_of(name)
        reading = sync_reader_engine(self._url, schema=schema)
        try:
            with reading.begin() as connection:
                stored = connection.execute(select(checkpoint.checkpoint)).one()
            # Looked up later, as others append and apply all the time.
            if stored.log_id != log_id or stored.position > self._head():
                raise checkpoint.OtherLog
        except BaseException:
            reading.dispose()
            raise
        writing = sync_writer_engine(self._url, synchronous="NORMAL", lock=_WRITING, schema=schema)
        return Generation(name, writing, reading)

    def bury(self, generation: Generation) -> None:
        """Other nodes may read it yet: it is dropped later."""
        generation.close()

    def remove(self, name: str) -> None:
        self._drop(schemas.name_of(name))

    def others(self, kept: Iterable[str]) -> Sequence[str]:
        """Only those before the newest: one that is just begun may not be among `kept`."""
        newest = max(map(int, kept), default=0)
        with self._connected() as connection:
            found = schemas.generations(connection)
        return [name for name in found if int(name) < newest and name not in set(kept)]

    def remove_others(self, kept: Iterable[str]) -> None:
        for name in self.others(kept):
            self.remove(name)

    def is_gone(self, error: Exception) -> bool:
        return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") in GONE

    def take_turn(self, gained: Callable[[], None]) -> "RowTurn":
        turn = self._turn()
        turn.stand_in_line(gained)
        return turn

    @contextmanager
    def turn_of_nobody(self) -> Iterator[bool]:
        turn = self._turn()
        try:
            if taken := turn.take():
                turn.stand_in_line(lambda: None)
            yield taken
        finally:
            turn.close()

    def keeper(self) -> Keeper:
        turn = self._turn()
        try:
            return turn.keeper()
        finally:
            turn.close()

    def _turn(self) -> "RowTurn":
        # It logs, which takes its time to import.
        from infrastructure.projections.row_turn import RowTurn

        return RowTurn(self._engine(patient=False), VIEWS_VERSION, postgres.lock_number(_WRITING))

    @contextmanager
    def building(self) -> Iterator[None]:
        until = time.monotonic() + LET_GO_WITHIN
        with self._connected() as connection:
            while not connection.scalar(select(func.pg_try_advisory_lock(_BUILDING))):
                if time.monotonic() > until:
                    raise BuildUnderWay("Another process is building the views at this moment.")
                time.sleep(LOOK_AGAIN)
            # The connection, and with it the lock, ends with the process.
            yield None

    def is_building(self) -> bool:
        with self._connected() as connection:
            return not connection.scalar(select(func.pg_try_advisory_lock(_BUILDING)))

    def boot(self) -> str:
        return ""

    def is_whole(self, name: str) -> bool:
        """There is nothing that a catching up does not do as well."""
        with self._connected() as connection:
            return schemas.is_indexed(connection, schemas.name_of(name))

    def fill(
        self,
        name: str,
        reading: Engine,
        codec: Codec,
        until: int,
        reached: Callable[[int], None],
        lock: int | None,
    ) -> None:
        self._fill(schemas.name_of(name), reading, codec, until, reached)

    def catch_up(
        self, name: str, reading: Engine, codec: Codec, reached: Callable[[int, int], None]
    ) -> int:
        head = StoredLog(reading, codec).head()
        schema = schemas.name_of(name)
        self._fill(schema, reading, codec, head, lambda position: reached(position, head))
        return self.position_of_build(name)

    def remove_older(self, writing: Engine) -> None:
        with writing.begin() as connection:
            forget_unkept(connection, VIEWS_VERSION)
            in_use = generations_in_use(connection)
        self.remove_others(in_use)

    def make_durable(self, name: str) -> None:
        """What PostgreSQL has committed is on the disk before what it commits from now on."""

    def position_of_build(self, name: str) -> int:
        if not self.holds(name):
            return 0
        with self.opened(name) as connection:
            return connection.scalar(checkpoint.position_now) or 0

    def size_of(self, name: str) -> int:
        with self._connected() as connection:
            return schemas.size_of(connection, schemas.name_of(name))

    @contextmanager
    def opened(self, name: str) -> Iterator[Connection]:
        with self._snapshot_of(schemas.name_of(name)) as connection:
            yield connection

    def compared(
        self, name: str, reading: Engine, codec: Codec, reached: Callable[[int, int], None]
    ) -> tuple[int, int, list[Difference]]:
        """One snapshot of it stays open for as long as the other is built."""
        rebuilt = f"{VERIFYING}{uuid4().hex}"

        def told(done: int) -> None:
            reached(done, position)

        with self._snapshot_of(schemas.name_of(name)) as live:
            position: int = live.scalars(checkpoint.position_now).one()
            with self._connected() as connection:
                lock = _verifying(rebuilt)
                connection.scalar(select(func.pg_try_advisory_lock(lock)))
                try:
                    self._fill(rebuilt, reading, codec, position, told)
                    with self._snapshot_of(rebuilt) as again:
                        rows, differences = compare(live, again)
                finally:
                    self._drop(rebuilt)
        return position, rows, differences

    def remove_leftovers(self) -> None:
        """Those under way hold a lock by their schema's name."""
        with self._connected() as connection:
            for schema in schemas.with_prefix(connection, VERIFYING):
                lock = _verifying(schema)
                if connection.scalar(select(func.pg_try_advisory_lock(lock))):
                    self._drop(schema)
                    connection.scalar(select(func.pg_advisory_unlock(lock)))

    def _fill(
        self,
        schema: str,
        reading: Engine,
        codec: Codec,
        until: int,
        reached: Callable[[int], None],
    ) -> None:
        # What applies events logs, and that takes its time to import.
        from infrastructure.projections.schema_filling import fill_schema

        writing = postgres.writer_engine(
            self._url,
            lock=schema,
            lock_timeout=LET_GO_WITHIN,
            durable=False,
            schema=schema,
            patient=True,
        )
        try:
            fill_schema(writing, schema, reading, codec, until, reached)
        finally:
            writing.dispose()

    def _head(self) -> int:
        with self._connected() as connection:
            return connection.scalar(select(func.max(events.c.position))) or 0

    def _drop(self, schema: str) -> None:
        with self._connected() as connection:
            connection.execute(text(f"SET lock_timeout = {int(DROP_WITHIN * 1000)}"))
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))

    @contextmanager
    def _snapshot_of(self, schema: str) -> Iterator[Connection]:
        engine = postgres.reader_engine(self._url, schema=schema, patient=True)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that commits each statement, and ends."""
        engine = self._engine()
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _engine(self, patient: bool = True) -> Engine:
        # No other has the lock of this name, so that it keeps nobody waiting.
        lock = f"views {uuid4()}"
        engine = postgres.writer_engine(
            self._url, lock=lock, lock_timeout=LET_GO_WITHIN, patient=patient
        )
        return engine.execution_options(isolation_level="AUTOCOMMIT")


_WRITING = f"views of version {VIEWS_VERSION}"
_BUILDING = postgres.lock_number(f"building views of version {VIEWS_VERSION}")


def _verifying(schema: str) -> int:
    """The lock of whoever compares a schema, for as long as it does."""
    return postgres.lock_number(f"verifying {schema}")
