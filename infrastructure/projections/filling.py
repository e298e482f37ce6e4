"""Filling an empty set of views from the log, as fast as can be.

The views' own code runs over bare events, in large batches and past SQLAlchemy, into a file aside;
another process writes the texts and their index into the set's own file. In the end the other
tables are copied there, row by row as they are, and get their indexes. Each step can be taken up
again where a process died.
"""

import gc
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, Table, inspect
from sqlalchemy.schema import CreateTable

from application.projections import EventNotApplied
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.bare_events import BareLog, BareRecorded
from infrastructure.projections import checkpoint, search_fts5
from infrastructure.projections.all_views import BAD_EVENT, VIEWS
from infrastructure.projections.columns import metadata
from infrastructure.projections.fates import Fates, fates_in
from infrastructure.projections.files import FILLING, remove_database
from infrastructure.projections.filled_messages import FilledMessages
from infrastructure.projections.filling_rows import FillingStorage
from infrastructure.projections.messages import Messages
from infrastructure.projections.text_process import TextProcess
from infrastructure.projections.texts import texts
from infrastructure.projections.view import Handlers, View

READ = 500
"""Events read at once: what is made of more of them has left the processor's cache when it is used.
"""

BATCH = 15_000
"""Events whose rows are written at once, so that those that change often are written once."""

COMMITTED = 20
"""Batches a transaction. What a process does that dies is lost up to there: a few seconds' work.

At each of its ends the two processes wait for one another.
"""

_BAD = (*BAD_EVENT, sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError)

_NEEDED = ("messages_by_id",)
"""Indexes that the filling itself reads by."""

_Handling: TypeAlias = dict[type, list[tuple[View, Callable[..., None]]]]
"""By the class of the bare event, who is told of it."""


class Filling:
    """Of one set of views, up to one position. Synchronous, for one thread."""

    def __init__(self, path: Path, log: BareLog, log_id: str) -> None:
        self.path = path
        self.aside = _aside(path)
        self._log = log
        self._log_id = log_id

    def run(self, until: int, reached: Callable[[int], None], lock: int | None = None) -> None:
        """Make the set whole at position `until`, or go on with it. `reached` is told of progress.

        `lock` is a descriptor of a lock that is not to end before all that writes here has.
        Raises EventNotApplied, checkpoint.OtherLog and what the log raises.
        """
        whole, aside = opened(self.path), opened(self.aside)
        try:
            with whole.begin() as connection:
                metadata.create_all(connection, tables=[checkpoint.checkpoint, texts])
                search_fts5.create(connection)
                checkpoint.begin(connection, self._log_id, until)
                written = connection.scalars(checkpoint.position_now).one()
            with aside.begin() as connection:
                _create_tables(connection)
                checkpoint.begin(connection, self._log_id, until)
            with (
                _uncollected(),
                TextProcess(self.path, lock) as process,
                aside.connect() as connection,
            ):
                fates = fates_in(self._log, until)
                step = _Step(connection, process, self._log, fates, written)
                reached(step.position)
                for events in self._log.batches(step.position, until, min(READ, BATCH)):
                    if step.apply(events, last=events[-1].position == until):
                        reached(events[-1].position)
            _copy(whole, self.aside)
        finally:
            aside.dispose()
            whole.dispose()
        remove_database(self.aside)


class _Step:
    """Applies batches in transactions of the one connection, which end after some of them.

    The texts are committed first. So they are where the tables are, or, where a process died in
    between, one transaction further: `written` is their position, and up to there they are not
    handed over again.
    """

    def __init__(
        self,
        connection: Connection,
        process: TextProcess,
        log: BareLog,
        fates: Fates,
        written: int,
    ) -> None:
        self._connection = connection
        self._process = process
        self._log = log
        self._fates = fates
        self._written = written
        self._uncommitted = 0
        self._views: list[View] = []
        self._handlers: _Handling = {}
        self._handlers_of_gone: _Handling = {}
        with connection.begin():
            self.position = connection.scalars(checkpoint.position_now).one()
        """The last one that is committed."""
        self._flushed = self.position
        self._begin()

    def apply(self, events: Sequence[BareRecorded], last: bool) -> bool:
        """Returns whether a batch ended with them, and was written.

        Raises EventNotApplied; nothing is written then since the last commit.
        """
        position = events[-1].position
        if not self._connection.in_transaction():
            # SQLAlchemy sees nothing of what is written past it, and would begin none itself.
            self._connection.begin()
        writes = last or position - self._flushed >= BATCH
        try:
            self._apply(events)
            if writes:
                self._write(position)
        except _BAD as error:
            self._connection.rollback()
            raise self._culprit(position, error) from None
        if writes:
            self._flushed = position
            self._uncommitted += 1
            if last or self._uncommitted >= COMMITTED:
                self._commit(position)
        return writes

    def _write(self, position: int) -> None:
        # First, so that the other process is at them while this one writes its rows.
        self._messages.hand_on_texts()
        if position > self._written:
            self._process.hand_over()
        self._process.forget()
        self._flush()

    def _commit(self, position: int) -> None:
        if position > self._written:
            self._process.commit(position)
        checkpoint.advance(self._connection, self.position, position)
        self._connection.commit()
        self.position = position
        self._uncommitted = 0

    def _apply(self, events: Sequence[BareRecorded]) -> None:
        staying, going, gone = self._handlers, self._handlers_of_gone, self._fates.gone
        for recorded in events:
            handling = going if recorded.stream_id in gone else staying
            event = recorded.event
            for _, handle in handling[type(event)]:
                handle(event, recorded)

    def _flush(self) -> None:
        for view in self._views:
            view.flush()

    def _begin(self) -> None:
        """With views that remember nothing."""
        self._process.forget()
        storage = FillingStorage(self._connection, self._process)
        self._messages = messages = FilledMessages(storage, self._fates)
        self._views = [messages if view_of is Messages else view_of(storage) for view_of in VIEWS]
        self._handlers = self._handling([(view, view.handlers) for view in self._views])
        self._handlers_of_gone = self._handling(
            [
                (view, messages.handlers_of_gone if view is messages else view.handlers)
                for view in self._views
            ]
        )

    def _handling(self, of_views: Sequence[tuple[View, Handlers]]) -> _Handling:
        bare_classes = self._log.bare_classes
        handling: _Handling = {bare: [] for bare in bare_classes.values()}
        for view, handlers in of_views:
            for event_class, handle in handlers.items():
                handling[bare_classes[event_class]].append((view, handle))
        return handling

    def _culprit(self, until: int, error: Exception) -> Exception:
        """What failed when one event is applied after the other; nothing of it stays."""
        self._begin()
        self._connection.begin()
        try:
            for events in self._log.batches(self.position, self._flushed, BATCH):
                self._apply(events)
                self._flush()
                self._process.forget()
            for events in self._log.batches(self._flushed, until, READ):
                for recorded in events:
                    gone = recorded.stream_id in self._fates.gone
                    handling = self._handlers_of_gone if gone else self._handlers
                    for view, handle in handling[type(recorded.event)]:
                        try:
                            handle(recorded.event, recorded)
                            view.flush()
                        except _BAD as found:
                            return EventNotApplied(
                                view.name,
                                UUID(recorded.stream_id),
                                recorded.position,
                                type(found).__name__,
                            )
            return error
        finally:
            self._connection.rollback()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Rows and events have no cycles, and looking for some in them takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def opened(path: Path) -> Engine:
    """Unsynced: a process that dies spoils nothing; after a power cut a filling begins anew."""
    return sync_writer_engine(URL.create("sqlite", database=str(path)), synchronous="OFF")


def is_whole(path: Path) -> bool:
    """Whether there is nothing left to be filled."""
    return not _aside(path).exists() and _position_in(path, "accounts") is not None


def position_of_build(path: Path) -> int:
    """How far a set is that is being built at a path; 0 where it has not begun."""
    aside = _aside(path)
    return (_position_in(aside) if aside.exists() else _position_in(path)) or 0


def _aside(path: Path) -> Path:
    return path.with_name(path.name + FILLING)


def _position_in(path: Path, table: str = "checkpoint") -> int | None:
    """None where there is no such file, or no such table in it."""
    if not path.exists():
        return None
    engine = sync_reader_engine(URL.create("sqlite", database=str(path)))
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table(table):
                return None
            return connection.scalar(checkpoint.position_now)
    finally:
        engine.dispose()


def _create_tables(connection: Connection) -> None:
    """With the indexes that the filling reads by; others only slow it down."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        _create_indexes(connection, table, needed=True)


def _create_indexes(connection: Connection, table: Table, *, needed: bool) -> None:
    """Those that are needed while a set is filled, or all others."""
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if (index.name in _NEEDED) == needed:
            index.create(connection, checkfirst=True)


def _copy(whole: Engine, aside: Path) -> None:
    """Bring the tables over, and make their indexes: all or nothing."""
    with whole.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("ATTACH DATABASE ? AS filled", (str(aside),))
        with connection.begin():
            search_fts5.finish_filling(connection)
            for table in metadata.sorted_tables:
                if table not in (checkpoint.checkpoint, texts):
                    connection.exec_driver_sql(f"DROP TABLE IF EXISTS main.{table.name}")
                    connection.execute(CreateTable(table))
                    _create_indexes(connection, table, needed=True)
                    # As one is like the other, SQLite copies the rows and indexes as they are.
                    connection.exec_driver_sql(
                        f"INSERT INTO main.{table.name} SELECT * FROM filled.{table.name}"  # noqa: S608 - our own name
                    )
                    _create_indexes(connection, table, needed=False)
        driver.execute("DETACH DATABASE filled")
