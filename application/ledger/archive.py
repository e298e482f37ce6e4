"""The log as a file of JSON Lines: what an export writes, and what an import takes.

The first line says what follows; then comes one event a line, in the order of positions. Stored
bytes stay what they are, so that their digests do: `payload` and `meta` are the stored JSON as
strings, `personal` the stored bytes in base64.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from application.ledger.ports import (
    KnownPrincipal,
    LogReading,
    NotInLog,
    StoredEvent,
    UnreadableRow,
)
from application.ports import Recorded
from domain.chat import Chat
from domain.refusal import Refusal
from domain.usage import Usage

FORMAT: Literal["dabir-export/1"] = "dabir-export/1"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line. The events from `after` + 1 to `head` follow, with `personal` or without."""

    format: Literal["dabir-export/1"]
    log_id: str
    after: int
    head: int
    personal: bool


class Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event. Digests are in hexadecimal, `recorded_at` in microseconds since 1970, UTC."""

    position: int
    stream_id: UUID
    version: int
    topic: str
    schema_version: int
    recorded_at: int
    meta: str
    payload: str
    payload_digest: str
    personal: bytes | None
    personal_digest: str | None


class BrokenArchive(Refusal):
    """A line of a file is not as an export writes it. `line` is 1 for the first one."""

    def __init__(self, line: int, words: str, file: str = "the export") -> None:
        super().__init__(f"{file}, line {line}: {words}; nothing was imported.")
        self.line = line


class Archived(NamedTuple):
    """An event of an export, as it is stored and as it reads without its personal fields."""

    stored: StoredEvent
    recorded: Recorded


_encoder = msgspec.json.Encoder()
_header_decoder = msgspec.json.Decoder(Header)
_line_decoder = msgspec.json.Decoder(Line)
_principal_decoder = msgspec.json.Decoder(KnownPrincipal)


class Export:
    """The events from `after` + 1 to `head`, which is the log's where `until` is beyond it."""

    def __init__(
        self, log: LogReading, *, after: int = 0, until: int | None = None, personal: bool = True
    ) -> None:
        head = log.head()
        self.after = after
        self.head = head if until is None else min(until, head)
        if after > self.head:
            raise NotInLog(f"there is no position {after}: the log ends at {head}.")
        self._log = log
        self._personal = personal

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """Some lines at a time, and the last position in them. Raises NotInLog."""
        header = Header(FORMAT, self._log.log_id, self.after, self.head, self._personal)
        yield self.after, _encoder.encode(header) + b"\n"
        if self.after == self.head:
            return
        for batch in self._log.batches(self.after, self.head):
            lines = [self._line(stored) for stored in batch]
            yield batch[-1].position, _encoder.encode_lines(lines)

    def _line(self, stored: StoredEvent) -> Line:
        try:
            meta, payload = stored.meta.decode(), stored.payload.decode()
        except UnicodeDecodeError:
            words = f"position {stored.position} is no text: this log was changed by other hands."
            raise NotInLog(words) from None
        # Also where the words are withheld: it is part of what was sealed, and tells nothing.
        digest = stored.personal_digest
        return Line(
            stored.position,
            stored.stream_id,
            stored.version,
            stored.topic,
            stored.schema_version,
            stored.recorded_at,
            meta,
            payload,
            stored.payload_digest.hex(),
            stored.personal if self._personal else None,
            digest.hex() if digest is not None else None,
        )


def principal_lines(people: Iterable[KnownPrincipal]) -> Iterator[bytes]:
    """Who the log's ids stand for: a file of its own, as it can be erased and the log cannot."""
    for known in people:
        yield _encoder.encode(known) + b"\n"


def principals_in(lines: Iterable[bytes]) -> Iterator[KnownPrincipal]:
    """Raises BrokenArchive."""
    ids: set[UUID] = set()
    names: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, 1):
        try:
            known = _principal_decoder.decode(line)
        except msgspec.DecodeError as error:
            raise BrokenArchive(number, f"no principal ({error})", "the principals") from None
        if known.id in ids or (known.kind, known.name) in names:
            raise BrokenArchive(number, "a principal that is there already", "the principals")
        ids.add(known.id)
        names.add((known.kind, known.name))
        yield known


class Archive:
    """An export, read and checked line by line."""

    def __init__(self, lines: Iterable[bytes], decoded: Callable[[StoredEvent], Recorded]) -> None:
        """`decoded` raises UnreadableRow. Raises BrokenArchive for the first line."""
        self._lines = iter(lines)
        self._decoded = decoded
        self._versions: dict[UUID, int] = {}
        try:
            self.header = _header_decoder.decode(next(self._lines, b""))
        except msgspec.DecodeError as error:
            raise BrokenArchive(1, f"not the first line of a {FORMAT} ({error})") from None
        if self.header.after != 0:
            raise BrokenArchive(1, f"the events up to {self.header.after} are not in this export")
        if not self.header.personal:
            raise BrokenArchive(1, "this export was made without personal fields")

    @property
    def streams(self) -> int:
        """The streams met so far."""
        return len(self._versions)

    def events(self) -> Iterator[Archived]:
        """In order, without a gap, to the head that the first line names. Raises BrokenArchive."""
        position = 0
        for position, text in enumerate(self._lines, 1):
            try:
                line = _line_decoder.decode(text)
            except msgspec.DecodeError as error:
                raise BrokenArchive(position + 1, f"no event ({error})") from None
            if fault := self._fault(line, position):
                raise BrokenArchive(position + 1, fault)
            stored = _stored(line)
            try:
                # A key may be elsewhere; what is personal has its digest.
                recorded = self._decoded(msgspec.structs.replace(stored, personal=None))
            except UnreadableRow as error:
                raise BrokenArchive(position + 1, str(error)) from None
            if (line.version == 1) != isinstance(recorded.event, Chat.Created | Usage.Created):
                raise BrokenArchive(
                    position + 1, f"{line.topic} cannot have version {line.version}"
                )
            yield Archived(stored, recorded)
        if position != self.header.head:
            raise BrokenArchive(position + 2, f"the export ends before event {self.header.head}")

    def _fault(self, line: Line, position: int) -> str | None:
        if line.position != position or position > self.header.head:
            return f"position {line.position} where {position} of {self.header.head} is due"
        version = self._versions.get(line.stream_id, 0) + 1
        if line.version != version:
            return f"version {line.version} of its stream where {version} is due"
        self._versions[line.stream_id] = version
        if sha256(line.payload.encode()).hexdigest() != line.payload_digest:
            return "the payload does not have its digest"
        if line.personal is not None:
            if sha256(line.personal).hexdigest() != line.personal_digest:
                return "the personal fields do not have their digest"
        elif line.personal_digest is not None and not _is_digest(line.personal_digest):
            return "the digest of the personal fields is none"
        return None


def _is_digest(written: str) -> bool:
    return len(written) == 64 and all(c in "0123456789abcdef" for c in written)


def _stored(line: Line) -> StoredEvent:
    return StoredEvent(
        line.position,
        line.stream_id,
        line.version,
        line.topic,
        line.schema_version,
        line.payload.encode(),
        line.personal,
        bytes.fromhex(line.payload_digest),
        bytes.fromhex(line.personal_digest) if line.personal_digest is not None else None,
        line.meta.encode(),
        line.recorded_at,
    )
