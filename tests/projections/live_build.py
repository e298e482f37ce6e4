"""Building the views in a file of their own by the code of the live ones, and nothing else.

It is slow, and what a fast filling must equal.
"""

import asyncio
from pathlib import Path

from infrastructure.projections.comparison import compare
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
    _, differences = compare(one, other)
    return [difference.table for difference in differences]
