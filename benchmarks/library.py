"""The `eventsourcing` library's own log, which others are measured beside: with its defaults."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    ApplicationRecorder,
    DatetimeAsISO,
    InfrastructureFactory,
    JSONTranscoder,
    Mapper,
    Transcoding,
    UUIDAsHex,
)
from eventsourcing.utils import Environment
from sqlalchemy import URL

from domain.chat import MessageUsage, Parameters
from domain.usage import Consumption, Price, Quote

Save: TypeAlias = list[Aggregate.Event]
"""The events of one save: what `Application.save` puts into one transaction."""


@contextmanager
def on_sqlite(path: Path) -> Iterator[ApplicationRecorder]:
    """It syncs each save: that is SQLite's default, and the library changes nothing of it."""
    with _recorder({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}) as r:
        yield r


@contextmanager
def on_postgres(url: URL) -> Iterator[ApplicationRecorder]:
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": str(url.query.get("host") or url.host or ""),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
    }
    with _recorder(settings) as recorder:
        yield recorder


@contextmanager
def _recorder(settings: dict[str, str]) -> Iterator[ApplicationRecorder]:
    factory = InfrastructureFactory.construct(Environment("benchmark", settings))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()


def save_all(recorder: ApplicationRecorder, shares: Sequence[Sequence[Save]]) -> None:
    """Each share in a thread of its own, one save after the other, encoding included."""
    mapper = a_mapper()

    def save(saves: Sequence[Save]) -> None:
        for events in saves:
            recorder.insert_events([mapper.to_stored_event(event) for event in events])

    with ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(save, shares))


def a_mapper() -> "Mapper[Any]":
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DatetimeAsISO()):
        transcoder.register(transcoding)
    for kind in (Parameters, MessageUsage, Price, Quote, Consumption):
        transcoder.register(_as_fields(kind))
    return Mapper(transcoder)


def _as_fields(kind: type[msgspec.Struct]) -> Transcoding:
    class AsFields(Transcoding):
        type = kind
        name = kind.__name__

        def encode(self, obj: Any) -> Any:
            return {field: getattr(obj, field) for field in kind.__struct_fields__}

        def decode(self, data: Any) -> Any:
            return kind(**data)

    return AsFields()
