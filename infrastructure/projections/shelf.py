"""Where the generations of the views are kept: files in a folder, or schemas of a database."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine

from application.projections import Difference
from infrastructure.database import is_postgres
from infrastructure.event_store.codec import Codec
from infrastructure.projections.generation import Generation


class Keeper(msgspec.Struct, frozen=True):
    """Who keeps the live views up; the node is None where there never was one, or only one is."""

    node: UUID | None
    alive: bool


class Turn(Protocol):
    """Whether this process is the one that keeps the views up."""

    @property
    def held(self) -> bool: ...

    def close(self) -> None:
        """Let go, so that another may have it. Blocks."""
        ...


class Shelf(Protocol):
    """Names of generations are numbers that grow. All of it blocks."""

    @property
    def shared(self) -> bool:
        """Whether several nodes may follow one generation, of which one keeps it up."""
        ...

    def next_name(self, in_use: Iterable[str]) -> str:
        """A name of which nothing is there, not even a rest."""
        ...

    def holds(self, name: str) -> bool: ...

    def begin(self, connection: Connection, name: str, log_id: str) -> None:
        """An empty generation. `connection` has the write lock of the log's database."""
        ...

    def open(self, name: str, log_id: str, head: int) -> Generation:
        """`head` is the log's. Raises checkpoint.OtherLog where the two do not fit together."""
        ...

    def bury(self, generation: Generation) -> None:
        """Close one that no reader of this process has any more, and remove it if it was its."""
        ...

    def remove(self, name: str) -> None: ...

    def others(self, kept: Iterable[str]) -> Sequence[str]:
        """What is left of generations before the newest of these and not among them."""
        ...

    def remove_others(self, kept: Iterable[str]) -> None: ...

    def is_gone(self, error: Exception) -> bool:
        """Whether a query failed because its generation was removed."""
        ...

    # Who keeps the live one up

    def take_turn(self, gained: Callable[[], None]) -> Turn:
        """Stand in line until it is closed. `gained` is called from another thread."""
        ...

    def turn_of_nobody(self) -> AbstractContextManager[bool]:
        """Whether nobody keeps the views up; nobody else then does until the end."""
        ...

    def keeper(self) -> Keeper: ...

    # Building one

    def building(self) -> AbstractContextManager[int | None]:
        """Until its end nobody else builds.

        Yields the descriptor of a lock that a process may inherit. Raises BuildUnderWay.
        """
        ...

    def is_building(self) -> bool: ...

    def boot(self) -> str:
        """Of the machine's start, where what is written is lost with the machine; else empty."""
        ...

    def is_whole(self, name: str) -> bool: ...

    def fill(
        self,
        name: str,
        reading: Engine,
        codec: Codec,
        until: int,
        reached: Callable[[int], None],
        lock: int | None,
    ) -> None:
        """From the log, up to a position; goes on where it was. Raises EventNotApplied."""
        ...

    def catch_up(
        self, name: str, reading: Engine, codec: Codec, reached: Callable[[int, int], None]
    ) -> int:
        """With what was appended since it was filled; returns the position.

        `reached` is told of it, and of the log's head. Raises EventNotApplied.
        """
        ...

    def remove_older(self, writing: Engine) -> None:
        """What earlier generations left, and earlier versions that nobody keeps up."""
        ...

    def make_durable(self, name: str) -> None: ...

    def position_of_build(self, name: str) -> int: ...

    def size_of(self, name: str) -> int:
        """In bytes on the disk."""
        ...

    def opened(self, name: str) -> AbstractContextManager[Connection]:
        """One snapshot of a generation, beside those who have it open."""
        ...

    # Proving one

    def compared(
        self,
        name: str,
        reading: Engine,
        codec: Codec,
        reached: Callable[[int, int], None],
    ) -> tuple[int, int, list[Difference]]:
        """Build another and compare. Returns the position, how many rows, and what differs."""
        ...

    def remove_leftovers(self) -> None:
        """Of comparisons that died."""
        ...


def generations_of(data_dir: Path, database_url: str | None = None) -> Shelf:
    """Beside the log: on PostgreSQL in its database, else in the data folder."""
    if database_url is not None and is_postgres(database_url):
        from infrastructure.projections.schema_shelf import SchemaShelf

        return SchemaShelf(database_url)
    from infrastructure.projections.file_shelf import FileShelf

    return FileShelf(data_dir)
