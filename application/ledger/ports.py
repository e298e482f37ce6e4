"""What operators and auditors read: the log's rows as they are stored, and ports to them.

All of it is synchronous: operator's commands are processes of their own, beside a server or without
one.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from application.ports import Principal, Recorded
from domain.refusal import Refusal
from domain.usage import Kind


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of the log, byte for byte.

    `payload` and `meta` are JSON, `personal` is sealed or salted JSON, None where the event has no
    personal field or was erased; the digests are SHA-256 of the stored bytes, and
    `personal_digest` outlives `personal`. `recorded_at` is in microseconds since 1970, UTC.
    """

    position: int
    stream_id: UUID
    version: int
    topic: str
    schema_version: int
    payload: bytes
    personal: bytes | None
    payload_digest: bytes
    personal_digest: bytes | None
    meta: bytes
    recorded_at: int


class UnreadableRow(Refusal):
    """A row that this release cannot read, or cannot read without its key. Never quotes it."""


class NotInLog(Refusal):
    """The log has no such event, stream or principal."""


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; what is None or empty narrows nothing.

    `types` are topics or beginnings of them. `principal` is who owns the stream, or did it. `until`
    is included, `before` is not.
    """

    after: int = 0
    until: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    stream: UUID | None = None
    principal: UUID | None = None
    types: tuple[str, ...] = ()
    correlation: UUID | None = None


class LogReading(Protocol):
    """The log as rows, in the order of positions. Each batch is one short transaction."""

    @property
    def log_id(self) -> str: ...

    def head(self) -> int:
        """The last position, 0 in an empty log."""
        ...

    def batches(self, after: int = 0, until: int | None = None) -> Iterator[Sequence[StoredEvent]]:
        """From position `after` + 1 up to `until`, or to the head as it is when it is reached."""
        ...

    def found(
        self, wanted: EventFilter, *, newest_first: bool = False
    ) -> Iterator[Sequence[StoredEvent]]:
        """The events that pass the filter, in batches."""
        ...

    def chats_ever_of(self, principal: UUID, until: int) -> list[UUID]:
        """The chats it began or claimed up to a position, whoever owns them now."""
        ...

    def position_at(self, time: datetime) -> int:
        """The last position recorded at that time or before, 0 if none."""
        ...

    def decoded(self, stored: StoredEvent) -> Recorded:
        """The event of a row; erased and sealed fields are empty. Raises UnreadableRow."""
        ...

    def opens(self, stored: StoredEvent) -> bool:
        """Whether its personal fields are there, and the key to them. Raises UnreadableRow."""
        ...


class KnownPrincipal(msgspec.Struct, frozen=True):
    """Who an internal id stands for. `created_at` is in microseconds since 1970, UTC."""

    id: UUID
    kind: Kind
    name: str
    created_at: int


class People(Protocol):
    """Who the log's internal ids stand for."""

    def find(self, kind: Kind, name: str) -> Principal | None: ...

    def name_of(self, principal_id: UUID) -> Principal | None:
        """None where nobody is known by that id, or not any more."""
        ...

    def all(self) -> Iterator[KnownPrincipal]: ...


class Ledger(NamedTuple):
    """A log open for reading."""

    log: LogReading
    people: People


class Imported(msgspec.Struct, frozen=True):
    """What an import has written."""

    log_id: str
    events: int
    streams: int
    principals: int
    open_replies: int
    """Replies that had not ended. The next server ends them as interrupted."""


class LogImport(Protocol):
    """A log that nobody serves, to be filled from an export."""

    def load(
        self, lines: Iterable[bytes], people: Iterable[bytes], *, new_log_id: bool
    ) -> Imported:
        """Write all of it or nothing.

        The log takes over the export's id, or keeps its own with `new_log_id`. Raises
        BrokenArchive, LogNotEmpty, LogServed.
        """
        ...


class LogNotEmpty(Refusal):
    """An import needs a log without events."""


class LogServed(Refusal):
    """Nodes are at work on the log into which an export is to go."""
