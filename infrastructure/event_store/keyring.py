"""The keys of streams: one each, in a place of their own, wrapped under the operator's master key.

Dropping a key makes all that was sealed with it unreadable, in every copy of the log. What was
dropped stays on the list, so that a restored copy is erased again. The list is kept with and
without a master key.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.schema import CreateSchema

from application.errors import ConfigurationError
from infrastructure.database import (
    is_postgres,
    scrubbed,
    sync_reader_engine,
    sync_writer_engine,
)
from infrastructure.event_store.master_key import KEY_BYTES, MasterKey
from infrastructure.event_store.recent import Recent
from infrastructure.event_store.schema import micros
from infrastructure.settings import Settings, load_master_keys

FILE_NAME = "keys.db"
SCHEMA = "dabir_keys"
"""Where PostgreSQL has them: apart, so that a dump can leave them out."""
REMEMBERED = 50_000
AT_ONCE = 500
"""Keys in one transaction of a rotation or an erasure: some milliseconds under the write lock."""

metadata = MetaData()

# `wrapped` is NULL where the key was dropped, or where there was none to drop.
keys = Table(
    "keys",
    metadata,
    Column("stream_id", Uuid, primary_key=True),
    Column("master", LargeBinary),
    Column("wrapped", LargeBinary),
    Column("dropped_at", BigInteger),
)

# Who was erased; their names are known to nobody any more.
erased = Table(
    "erased",
    metadata,
    Column("principal", Uuid, primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)

# `id`: a log is sealed with the keys of one file, and with no other's.
keyring_meta = Table(
    "keyring_meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

NAMES = UUID(int=0)
"""Stands for the key of all principals' names, which must be found by what they are."""

_find = select(keys.c.master, keys.c.wrapped).where(keys.c.stream_id == bindparam("id"))
_wrapped = select(keys.c.stream_id, keys.c.master, keys.c.wrapped).where(
    keys.c.wrapped.is_not(None)
)
_known = select(keys.c.stream_id).where(keys.c.stream_id.in_(bindparam("ids", expanding=True)))


class MasterKeyMissing(Exception):  # noqa: N818 - a setting is at fault, not the key's row
    """Another node, or `dabir keys rotate`, has wrapped a key under a master that is not here."""


class Keyring:
    """The keys, opened. Any thread may use it.

    `masters` are the operator's keys: the first one wraps, the others only unwrap. Empty: nothing
    is sealed or opened, and only the list of erasures can be read and added to.
    """

    def __init__(self, place: Path | URL, masters: Sequence[MasterKey]) -> None:
        """`place` is a file, or a database on PostgreSQL.

        Raises ConfigurationError where keys are there that none of the masters unwraps.
        """
        url = URL.create("sqlite", database=str(place)) if isinstance(place, Path) else place
        self._masters = {master.id: master for master in reversed(masters)}
        self._current = masters[0] if masters else None
        self._ready: Recent[UUID, AESGCM] = Recent(REMEMBERED)
        self._lock = threading.Lock()
        self._writing = sync_writer_engine(url, secure_delete=True, lock="keys", schema=SCHEMA)
        with self._writing.begin() as connection:
            if is_postgres(url):
                connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            metadata.create_all(connection)
            self.id = _id_of(connection)
        self._reading = sync_reader_engine(url, schema=SCHEMA)
        try:
            if masters:
                self._require_masters()
        except ConfigurationError:
            self.close()
            raise

    @property
    def seals(self) -> bool:
        """Whether there is a master key, so that what is written now is sealed."""
        return self._current is not None

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()

    def knows(self, stream_ids: Iterable[UUID]) -> bool:
        """Whether all these keys are at hand without a look into the file."""
        with self._lock:
            return all(self._ready.get(stream_id) is not None for stream_id in stream_ids)

    def ensure(self, stream_ids: Collection[UUID]) -> None:
        """Make the keys that never were, on the disk when this returns. Blocks."""
        with self._reading.begin() as connection:
            known = set(connection.scalars(_known, {"ids": list(stream_ids)}).all())
        new = [stream_id for stream_id in stream_ids if stream_id not in known]
        if not new:
            return
        with self._writing.begin() as connection:
            # Another process may have come first.
            known = set(connection.scalars(_known, {"ids": new}).all())
            made = self._make(connection, [each for each in new if each not in known])
        with self._lock:
            for stream_id, key in made.items():
                self._ready.put(stream_id, AESGCM(key))

    def fetch(self, stream_ids: Collection[UUID]) -> None:
        """Have those of these keys at hand that there are. Blocks."""
        with self._lock:
            missing = [each for each in stream_ids if self._ready.get(each) is None]
        query = _wrapped.where(keys.c.stream_id.in_(missing))
        with self._reading.begin() as connection:
            rows = connection.execute(query).all()
        found = {
            row.stream_id: AESGCM(self._unwrapped(row.master, row.wrapped, row.stream_id))
            for row in rows
        }
        with self._lock:
            for stream_id, key in found.items():
                self._ready.put(stream_id, key)

    def key_of(self, stream_id: UUID) -> AESGCM | None:
        """None where it was dropped. Raises KeyError where there never was one."""
        with self._lock:
            ready = self._ready.get(stream_id)
        if ready is not None:
            return ready
        key = self._read(stream_id)
        if key is None:
            return None
        ready = AESGCM(key)
        with self._lock:
            self._ready.put(stream_id, ready)
        return ready

    def names_key(self) -> bytes:
        """64 bytes. Blocks the first time, when it is made."""
        self.ensure([NAMES])
        key = self._read(NAMES)
        assert key is not None
        return HKDF(SHA256(), 64, salt=None, info=b"dabir names").derive(key)

    def forget(self, stream_id: UUID) -> None:
        """Another process has dropped this key."""
        with self._lock:
            self._ready.drop(stream_id)

    def drop(self, stream_ids: Sequence[UUID], at: datetime) -> None:
        """Drop keys for good, known or not: none is ever made for these streams again."""
        for start in range(0, len(stream_ids), AT_ONCE):
            some = stream_ids[start : start + AT_ONCE]
            with self._writing.begin() as connection:
                known = set(connection.scalars(_known, {"ids": list(some)}).all())
                dropped = {"wrapped": None, "master": None, "dropped_at": micros(at)}
                connection.execute(
                    update(keys)
                    .where(keys.c.stream_id.in_(known), keys.c.dropped_at.is_(None))
                    .values(**dropped)
                )
                if new := [each for each in some if each not in known]:
                    rows = [{"stream_id": each, **dropped} for each in new]
                    connection.execute(insert(keys), rows)
            for stream_id in some:
                self.forget(stream_id)

    def list_erased(self, principal: UUID, at: datetime) -> None:
        """Put a principal on the list of those who were erased; once is enough."""
        with self._writing.begin() as connection:
            there = select(erased.c.principal).where(erased.c.principal == principal)
            if connection.scalar(there) is None:
                connection.execute(insert(erased).values(principal=principal, erased_at=micros(at)))

    def erased_principals(self) -> list[UUID]:
        with self._reading.begin() as connection:
            return list(connection.scalars(select(erased.c.principal)).all())

    def note_sealed(self, log_id: str, size: int) -> None:
        """So many events of the log were signed for: a copy with fewer must not be gone on with."""
        row = keyring_meta.c.key == f"sealed {log_id}"
        with self._writing.begin() as connection:
            connection.execute(delete(keyring_meta).where(row))
            connection.execute(insert(keyring_meta).values(key=f"sealed {log_id}", value=str(size)))

    def sealed(self, log_id: str) -> int:
        """How many events of the log were signed for, as far as is known here."""
        noted = select(keyring_meta.c.value).where(keyring_meta.c.key == f"sealed {log_id}")
        with self._reading.begin() as connection:
            return int(connection.scalar(noted) or 0)

    def counts(self) -> dict[str, int]:
        """Streams by what became of their key: `kept`, `dropped`; and `old`, under old masters."""
        is_kept = keys.c.wrapped.is_not(None)
        current = self._current.id if self._current else b""
        queries = {
            "kept": is_kept,
            "old": is_kept & (keys.c.master != current),
            "dropped": keys.c.wrapped.is_(None),
        }
        with self._reading.begin() as connection:
            return {
                name: connection.scalar(select(func.count()).select_from(keys).where(those)) or 0
                for name, those in queries.items()
            }

    def rotate(self, advance: Callable[[int, int | None], None]) -> int:
        """Wrap every key under the first master; returns how many were wrapped anew.

        Broken off, it goes on where it was. Payloads stay as they are.
        """
        assert self._current is not None
        current, total, done = self._current, self.counts()["old"], 0
        old = (
            select(keys.c.stream_id, keys.c.master, keys.c.wrapped)
            .where(keys.c.wrapped.is_not(None), keys.c.master != current.id)
            .limit(AT_ONCE)
        )
        again = (
            update(keys)
            .where(keys.c.stream_id == bindparam("of"))
            .values(master=current.id, wrapped=bindparam("wrapped"))
        )
        advance(0, total)
        while True:
            with self._writing.begin() as connection:
                rows = connection.execute(old).all()
                if not rows:
                    return done
                connection.execute(
                    again,
                    [
                        {
                            "of": row.stream_id,
                            "wrapped": current.wrap(
                                self._unwrapped(row.master, row.wrapped, row.stream_id),
                                row.stream_id,
                            ),
                        }
                        for row in rows
                    ],
                )
            done += len(rows)
            advance(done, None)

    def scrub(self) -> bool:
        """Overwrite old versions of pages as far as can be; False while somebody reads."""
        return scrubbed(self._writing, [f"{SCHEMA}.{table.name}" for table in (keys, erased)])

    def _read(self, stream_id: UUID) -> bytes | None:
        with self._reading.begin() as connection:
            row = connection.execute(_find, {"id": stream_id}).one_or_none()
        if row is None:
            raise KeyError(stream_id)
        return row.wrapped and self._unwrapped(row.master, row.wrapped, stream_id)

    def _unwrapped(self, master_id: bytes, wrapped: bytes, stream_id: UUID) -> bytes:
        """Raises MasterKeyMissing."""
        master = self._masters.get(master_id)
        if master is None:
            raise MasterKeyMissing
        return master.unwrap(wrapped, stream_id)

    def _make(self, connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        current = self._current
        assert current is not None
        made = {stream_id: os.urandom(KEY_BYTES) for stream_id in stream_ids}
        if made:
            rows = [
                {"stream_id": each, "master": current.id, "wrapped": current.wrap(key, each)}
                for each, key in made.items()
            ]
            connection.execute(insert(keys), rows)
        return made

    def _require_masters(self) -> None:
        sample = select(keys.c.stream_id, keys.c.wrapped).where(keys.c.wrapped.is_not(None))
        with self._reading.begin() as connection:
            used = select(keys.c.master).where(keys.c.master.is_not(None)).distinct()
            for master_id in connection.scalars(used).all():
                row = connection.execute(sample.where(keys.c.master == master_id).limit(1)).one()
                master = self._masters.get(master_id)
                try:
                    if master is None:
                        raise InvalidTag
                    master.unwrap(row.wrapped, row.stream_id)
                except InvalidTag:
                    url = self._reading.url
                    where = url.database if url.get_backend_name() == "sqlite" else SCHEMA
                    raise ConfigurationError(
                        f"{where} holds keys under a master key that was not given: set "
                        "DABIR_MASTER_KEY or DABIR_MASTER_KEY_FILE to it."
                    ) from None


def keyring_of(settings: Settings) -> Keyring:
    """The keys beside the log, made where there are none. Raises ConfigurationError."""
    masters = [MasterKey(key) for key in load_master_keys(settings)]
    on_postgres = settings.postgres_url and make_url(settings.postgres_url)
    return Keyring(on_postgres or settings.data_dir / FILE_NAME, masters)


def _id_of(connection: Connection) -> str:
    stored = select(keyring_meta.c.value).where(keyring_meta.c.key == "id")
    known = connection.scalar(stored)
    if known is None:
        known = str(uuid4())
        connection.execute(insert(keyring_meta).values(key="id", value=known))
    return known
