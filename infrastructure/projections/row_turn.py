"""Taking turns at keeping the views up, by a row in the log's database that has to be renewed.

A statement for itself, in no transaction and under no lock of the log: a process that is paused in
the midst of something keeps nobody from taking over.
"""

import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.projections.shelf import Keeper

TURN = 1.2
"""Seconds that a turn lasts from when it was last renewed."""

RENEWED = 0.4
LOOKED = 0.2
"""Seconds between two looks of those who are in line."""

MARGIN = 0.1
"""Seconds by which its holder gives a turn up before others see it end."""

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

_look = text(
    f"SELECT node, expires_at > {_NOW} AS alive FROM view_runners WHERE code_version = :version"  # noqa: S608
)
_take = text(
    f"""
    INSERT INTO view_runners AS turn (code_version, node, expires_at)
    VALUES (:version, :node, {_NOW} + :lasting)
    ON CONFLICT (code_version) DO UPDATE
    SET node = EXCLUDED.node, expires_at = EXCLUDED.expires_at
    WHERE turn.node = EXCLUDED.node OR turn.expires_at <= {_NOW}
    RETURNING code_version
    """  # noqa: S608
)
_give_up = text(
    "UPDATE view_runners SET expires_at = 0 WHERE code_version = :version AND node = :node"
)
# What its last holder was doing when it was paused or cut off, it does no more.
_end_holders = text(
    """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = :lock AND objsubid = 1
    """
)

log = structlog.get_logger()


class TurnRow:
    """The row of one version of the views, for one process. `engine` commits each statement."""

    def __init__(self, engine: Engine, version: int, writing_lock: int, node: UUID) -> None:
        """`writing_lock` is the advisory lock under which the live views are written."""
        self._engine = engine
        self._version = version
        self._writing_lock = writing_lock
        self._node = node

    def keeper(self) -> Keeper:
        with self._engine.connect() as connection:
            row = connection.execute(_look, {"version": self._version}).one_or_none()
        return Keeper(None, False) if row is None else Keeper(row.node, row.alive)

    def take(self) -> bool:
        """Take or renew it, where nobody else has it."""
        before = self.keeper()
        if before.alive and before.node != self._node:
            return False
        values = {"version": self._version, "node": self._node, "lasting": int(TURN * 1e6)}
        with self._engine.connect() as connection:
            if connection.execute(_take, values).one_or_none() is None:
                return False
            if before.node != self._node:
                connection.execute(_end_holders, {"lock": self._writing_lock}).all()
        return True

    def give_up(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(_give_up, {"version": self._version, "node": self._node})


class RowTurn:
    """Implements `shelf.Turn`: stands in line in a thread of its own, from the start to `close`."""

    def __init__(self, engine: Engine, version: int, writing_lock: int) -> None:
        self.node = uuid4()
        self._engine = engine
        self._row = TurnRow(engine, version, writing_lock, self.node)
        self._until = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def keeper(self) -> Keeper:
        return self._row.keeper()

    @property
    def held(self) -> bool:
        return time.monotonic() < self._until

    def take(self) -> bool:
        """Once, now; true where it is had."""
        began = time.monotonic()
        if self._row.take():
            self._until = began + TURN - MARGIN
        return self.held

    def stand_in_line(self, gained: Callable[[], None]) -> None:
        """From now on, and keep it. `gained` is called from the thread."""
        self._thread = threading.Thread(
            target=self._stand, args=(gained,), name="views-turn", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(TURN)
        try:
            # Where the database does not answer it has run out by now.
            if self.held:
                self._until = 0.0
                self._row.give_up()
        except SQLAlchemyError as error:
            log.warning("views_turn_not_given_up", error=type(error).__name__)
        finally:
            self._engine.dispose()

    def _stand(self, gained: Callable[[], None]) -> None:
        while not self._closing.is_set():
            had = self.held
            try:
                has = self.take()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                # Its holder has it until it runs out; whoever has it not, gets it later.
                has = self.held
                log.warning("views_turn_unknown", error=type(error).__name__)
            if has and not had:
                log.info("views_turn_taken", node=str(self.node))
                gained()
            self._closing.wait(RENEWED if has else LOOKED)
