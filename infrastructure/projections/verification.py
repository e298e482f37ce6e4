"""Proving that the live views are what the log says.

They move on meanwhile. So what they are at one position is compared with another set, built from
the log to exactly that one.
"""

from sqlalchemy import Engine

from application.projections import Advance, NoViews, Verified
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.view_generations import live_generation
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.shelf import Shelf


def verify(shelf: Shelf, reading: Engine, codec: Codec, advance: Advance) -> Verified:
    """`reading` is an engine of the log's database. Raises NoViews, EventNotApplied."""
    with reading.begin() as connection:
        generation = live_generation(connection, VIEWS_VERSION)
    if generation is None or not shelf.holds(generation):
        raise NoViews("No views were built yet for this version of their code.")
    shelf.remove_leftovers()
    position, rows, differences = shelf.compared(generation, reading, codec, advance)
    return Verified(generation, position, rows, differences)
