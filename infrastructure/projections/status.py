"""How the views are, read from their files beside whoever keeps them up."""

from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Engine, select

from application.projections import BuildStatus, StreamSetAside, ViewsStatus
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.view_generations import (
    Build,
    build_of,
    knows_builds,
    live_generation,
)
from infrastructure.projections.build_lock import is_building
from infrastructure.projections.checkpoint import position_now, set_aside
from infrastructure.projections.filling import position_of_build
from infrastructure.projections.generation import (
    FILLING,
    VIEWS_VERSION,
    Following,
    file_name,
    size_of,
)


def status_of(data_dir: Path, reading: Engine, head: int) -> ViewsStatus:
    """`reading` is an engine of the log's database, `head` the log's."""
    with reading.begin() as connection:
        generation = live_generation(connection, VIEWS_VERSION)
        build = build_of(connection, VIEWS_VERSION) if knows_builds(connection) else None
    position, aside = 0, list[StreamSetAside]()
    path = data_dir / file_name(generation or "none")
    if path.exists():
        position, aside = _read(path)
    return ViewsStatus(
        code_version=VIEWS_VERSION,
        generation=generation if path.exists() else None,
        position=position,
        head=head,
        lag=max(0, head - position),
        bytes=size_of(path),
        set_aside=aside,
        build=None if build is None else _build_status(data_dir, build),
        server=_is_followed(data_dir),
    )


def _read(path: Path) -> tuple[int, list[StreamSetAside]]:
    engine = sync_reader_engine(URL.create("sqlite", database=str(path)))
    columns = [set_aside.c[name] for name in StreamSetAside.__struct_fields__]
    try:
        with engine.begin() as connection:
            position = connection.scalars(position_now).one()
            rows = connection.execute(select(*columns).order_by(set_aside.c.position)).all()
    finally:
        engine.dispose()
    return position, [StreamSetAside(*row) for row in rows]


def _build_status(data_dir: Path, build: Build) -> BuildStatus:
    path = data_dir / file_name(build.generation)
    aside = path.with_name(path.name + FILLING)
    state: Literal["running", "broken off", "ready"] = "broken off"
    if is_building(data_dir):
        state = "running"
    elif build.ready:
        state = "ready"
    return BuildStatus(
        generation=build.generation,
        state=state,
        position=position_of_build(path),
        head=build.head,
        bytes=size_of(path) + size_of(aside),
    )


def _is_followed(data_dir: Path) -> bool:
    following = Following(data_dir)
    try:
        return not following.alone()
    finally:
        following.close()
