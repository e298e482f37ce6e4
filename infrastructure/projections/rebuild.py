"""Building the views anew from the log, aside from the live ones, and comparing two sets."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from sqlalchemy import URL, Connection, select

from infrastructure.database import sync_reader_engine
from infrastructure.projections import search
from infrastructure.projections.columns import metadata
from infrastructure.projections.generation import open_generation
from infrastructure.projections.projector import Projector
from infrastructure.projections.runner import EventLog, Runner


async def rebuild_in(path: Path, store: EventLog, until: int | None = None) -> int:
    """Build a set of views in a file, up to the log's head or to `until`; returns its position.

    A broken-off build goes on where it was. Raises projector.PoisonEvent on the first event that
    a view cannot apply, as nothing is set aside here.
    """
    head = await store.head()
    generation = await asyncio.to_thread(open_generation, path, store.log_id, head)
    runner = Runner(store, Projector(generation.writing, strict=True))
    try:
        await runner.catch_up(head if until is None else until)
        return runner.progress.position
    finally:
        await runner.close()
        generation.close()


def differing_tables(one: Path, other: Path) -> list[str]:
    """Compare two sets row by row. Returns the tables that differ, the search index among them."""
    with _opened(one) as first, _opened(other) as second:
        contents = {
            table.name: select(table).order_by(*table.primary_key)
            for table in metadata.sorted_tables
        }
        contents[search.NAME] = search.all_terms
        return [
            name
            for name, content in contents.items()
            if any(a != b for a, b in zip_longest(first.execute(content), second.execute(content)))
        ]


@contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    engine = sync_reader_engine(URL.create("sqlite", database=str(path)))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
