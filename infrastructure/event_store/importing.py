"""Filling an empty log from an export, and with it what a log needs to serve."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine, insert, select, update

from application.ledger.archive import Archive, principals_in
from application.ledger.ports import (
    Imported,
    LogNotEmpty,
    LogServed,
    StoredEvent,
    UnreadableRow,
)
from application.ports import Recorded
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.event_store.codec import Codec, UndecodableEvent
from infrastructure.event_store.encryption import PlainNames
from infrastructure.event_store.lease_time import DatabaseTime
from infrastructure.event_store.schema import (
    events,
    leases,
    log_meta,
    micros,
    open_replies,
    principals,
    set_up,
    streams,
)
from infrastructure.event_store.stored import BATCH

T = TypeVar("T")

NO_NODE = UUID(int=0)
"""It never held a lease, so that whoever serves next ends what it is said to own."""

_ENDS = (Chat.MessageCompleted, Chat.MessageRegenerated, Chat.ReplyFailed, Chat.ReplyInterrupted)


class SqlLogImport:
    """Implements `application.ledger.ports.LogImport`. Nobody else may use the log meanwhile."""

    def __init__(self, writing: Engine, codec: Codec, names: PlainNames) -> None:
        self._writing = writing
        self._codec = codec
        self._names = names

    def load(
        self, lines: Iterable[bytes], people: Iterable[bytes], *, new_log_id: bool
    ) -> Imported:
        with self._writing.begin() as connection:
            log_id = set_up(connection)
        # What is refused leaves an empty log, as a server's first start does.
        with self._writing.begin() as connection:
            for table in (events, principals):
                if connection.execute(select(table).limit(1)).first() is not None:
                    raise LogNotEmpty("this log is in use already: import into an empty folder.")
            _require_nobody(connection)
            archive = Archive(lines, self._decoded)
            if not new_log_id:
                log_id = archive.header.log_id
                of_id = log_meta.c.key == "log_id"
                connection.execute(update(log_meta).where(of_id).values(value=log_id))
            beside = _Beside()
            for batch in _batched(archive.events(), BATCH):
                connection.execute(
                    insert(events), [msgspec.structs.asdict(e.stored) for e in batch]
                )
                for archived in batch:
                    beside.note(archived.recorded)
            beside.write(connection)
            return Imported(
                log_id,
                archive.header.head,
                archive.streams,
                self._import_principals(connection, people),
                len(beside.open),
            )

    def _import_principals(self, connection: Connection, lines: Iterable[bytes]) -> int:
        imported = 0
        for batch in _batched(principals_in(lines), BATCH):
            rows = [
                msgspec.structs.asdict(known) | {"name": self._names.stored(known.kind, known.name)}
                for known in batch
            ]
            connection.execute(insert(principals), rows)
            imported += len(rows)
        return imported

    def _decoded(self, stored: StoredEvent) -> Recorded:
        try:
            return self._codec.decode(stored)
        except UndecodableEvent as error:
            raise UnreadableRow(str(error)) from error


def _require_nobody(connection: Connection) -> None:
    """On SQLite the lock on the folder keeps servers away. Raises LogServed."""
    if connection.dialect.name != "postgresql":
        return
    served = select(leases.c.node).where(leases.c.expires_at > DatabaseTime().now()).limit(1)
    if connection.scalar(served) is not None:
        # They know the log by the id that it has now.
        raise LogServed(
            "nodes are running on this database: stop them, and wait for DABIR_LEASE where one was "
            "killed."
        )


class _Beside:
    """What a log keeps beside its events, and the events tell: owners, and replies under way."""

    def __init__(self) -> None:
        self._owners: dict[UUID, tuple[str, UUID]] = {}
        self.open: dict[UUID, dict[str, Any]] = {}

    def note(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, Chat.Created | Chat.Claimed):
            self._owners[recorded.stream_id] = ("chat", event.owner)
        elif isinstance(event, Usage.Created):
            self._owners[recorded.stream_id] = ("usage", recorded.stream_id)
        elif isinstance(event, Chat.ReplyStarted):
            self.open[event.reply_id] = {
                "reply_id": event.reply_id,
                "chat_id": recorded.stream_id,
                "payer": event.payer,
                "node": NO_NODE,
                "epoch": 0,
                "text": b"",
                "reasoning": b"",
                "updated_at": micros(recorded.recorded_at),
            }
        elif isinstance(event, Chat.Deleted | Chat.Erased):
            if event.reply_id is not None:
                self.open.pop(event.reply_id, None)
        elif isinstance(event, _ENDS):
            self.open.pop(event.reply_id, None)

    def write(self, connection: Connection) -> None:
        rows: Iterator[dict[str, Any]] = (
            {"stream_id": stream_id, "kind": kind, "owner": owner}
            for stream_id, (kind, owner) in self._owners.items()
        )
        for batch in _batched(rows, BATCH):
            connection.execute(insert(streams), list(batch))
        for batch in _batched(self.open.values(), BATCH):
            connection.execute(insert(open_replies), list(batch))


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
