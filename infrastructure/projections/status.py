"""How the views are, read beside whoever keeps them up."""

from typing import Literal

from sqlalchemy import Engine, select

from application.projections import BuildStatus, StreamSetAside, ViewsStatus
from infrastructure.event_store.view_generations import (
    Build,
    build_of,
    knows_builds,
    live_generation,
)
from infrastructure.projections.checkpoint import position_now, set_aside
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.shelf import Shelf


def status_of(shelf: Shelf, reading: Engine, head: int) -> ViewsStatus:
    """`reading` is an engine of the log's database, `head` the log's."""
    with reading.begin() as connection:
        generation = live_generation(connection, VIEWS_VERSION)
        build = build_of(connection, VIEWS_VERSION) if knows_builds(connection) else None
    position, size, aside = 0, 0, list[StreamSetAside]()
    if generation is not None and not shelf.holds(generation):
        generation = None
    if generation is not None:
        position, aside = _read(shelf, generation)
        size = shelf.size_of(generation)
    keeper = shelf.keeper()
    return ViewsStatus(
        code_version=VIEWS_VERSION,
        generation=generation,
        position=position,
        head=head,
        lag=max(0, head - position),
        bytes=size,
        set_aside=aside,
        build=None if build is None else _build_status(shelf, build),
        server=keeper.alive,
        runner=keeper.node,
    )


def _read(shelf: Shelf, generation: str) -> tuple[int, list[StreamSetAside]]:
    columns = [set_aside.c[name] for name in StreamSetAside.__struct_fields__]
    with shelf.opened(generation) as connection:
        position = connection.scalars(position_now).one()
        rows = connection.execute(select(*columns).order_by(set_aside.c.position)).all()
    return position, [StreamSetAside(*row) for row in rows]


def _build_status(shelf: Shelf, build: Build) -> BuildStatus:
    state: Literal["running", "broken off", "ready"] = "broken off"
    if shelf.is_building():
        state = "running"
    elif build.ready:
        state = "ready"
    return BuildStatus(
        generation=build.generation,
        state=state,
        position=shelf.position_of_build(build.generation),
        head=build.head,
        bytes=shelf.size_of(build.generation),
    )
