"""Building a set of views by the code of the live ones, and nothing else.

It is slow, and what a fast filling must equal.
"""

import asyncio

from infrastructure.projections.projector import Projector
from infrastructure.projections.runner import EventLog, Runner
from tests.projections.places import Place, opened


async def rebuild_in(place: Place, store: EventLog, until: int | None = None) -> int:
    """Build a set of views, up to the log's head or to `until`; returns its position.

    A broken-off build goes on where it was. Raises projector.PoisonEvent on the first event that
    a view cannot apply, as nothing is set aside here.
    """
    head = await store.head()
    generation = await asyncio.to_thread(opened, place, store.log_id)
    runner = Runner(store, Projector(generation.writing, strict=True))
    try:
        await runner.catch_up(head if until is None else until)
        return runner.progress.position
    finally:
        await runner.close()
        generation.close()
