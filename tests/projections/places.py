"""Where sets of views are, on either engine."""

from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection, text

from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.projections import schemas
from infrastructure.projections.comparison import compare
from infrastructure.projections.file_shelf import open_file
from infrastructure.projections.generation import Generation
from infrastructure.projections.shelf import Shelf, generations_of


class Schema(msgspec.Struct, frozen=True):
    url: str
    name: str


Place: TypeAlias = Path | Schema


def beside(place: Place, name: str) -> Place:
    """Another one, where nothing is yet. `name` is a number."""
    if isinstance(place, Path):
        return place.with_name(f"views-{name}.db")
    return Schema(place.url, schemas.name_of(name))


def opened(place: Place, log_id: str) -> Generation:
    """An open set, which is made where there is none."""
    if isinstance(place, Path):
        return open_file(place, log_id, 2**62)
    engine = sync_writer_engine(place.url)
    with engine.begin() as connection:
        schemas.create(connection, place.name, log_id)
    engine.dispose()
    return Generation(
        place.name,
        sync_writer_engine(place.url, synchronous="NORMAL", lock=place.name, schema=place.name),
        sync_reader_engine(place.url, schema=place.name),
    )


def execute(place: Place, statement: str) -> None:
    """Past the program, as with a knife."""
    if isinstance(place, Path):
        engine = sync_writer_engine(f"sqlite:///{place}")
    else:
        engine = sync_writer_engine(place.url, lock="a knife", schema=place.name)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def differing_tables(one: Place, other: Place) -> list[str]:
    """Compare two sets row by row. Returns the tables that differ, the search index among them."""
    with ExitStack() as closing:
        connections: list[Connection] = []
        for place in (one, other):
            if isinstance(place, Path):
                engine = sync_reader_engine(f"sqlite:///{place}")
            else:
                engine = sync_reader_engine(place.url, schema=place.name)
            closing.callback(engine.dispose)
            connections.append(closing.enter_context(engine.begin()))
        _, differences = compare(connections[0], connections[1])
    return [difference.table for difference in differences]


class Home(msgspec.Struct, frozen=True):
    """A log, and the views that are kept beside it."""

    folder: Path
    url: str

    @property
    def shelf(self) -> Shelf:
        return generations_of(self.folder, self.url)

    def place(self, generation: str) -> Place:
        if self.shelf.shared:
            return Schema(self.url, schemas.name_of(generation))
        return self.folder / f"views-{generation}.db"

    def generations(self) -> list[str]:
        """All there are, with what is being built and what is left of others."""
        if not self.shelf.shared:
            paths = self.folder.glob("views-*.db*")
            return sorted(
                path.stem.removeprefix("views-") for path in paths if path.suffix == ".db"
            )
        engine = sync_reader_engine(self.url)
        with engine.begin() as connection:
            found = schemas.generations(connection)
        engine.dispose()
        return sorted(found)


def in_folder(folder: Path) -> Home:
    return Home(folder, f"sqlite:///{folder / 'events.db'}")
