"""Generations as files in the data folder, each a SQLite database, never renamed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine

from application.errors import ConfigurationError
from application.projections import Difference
from infrastructure.data_folder import only_server_of
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.bare_events import BareLog
from infrastructure.event_store.codec import Codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.event_store.view_generations import forget_older, generations_in_use
from infrastructure.projections import build_lock, checkpoint, search
from infrastructure.projections.columns import metadata
from infrastructure.projections.comparison import compare
from infrastructure.projections.file_copies import copied, folder_for_copies, remove_leftovers
from infrastructure.projections.files import (
    FILLING,
    Following,
    file_name,
    generation_of,
    remove_database,
    size_of,
)
from infrastructure.projections.filling import Filling, is_whole, position_of_build
from infrastructure.projections.generation import VIEWS_VERSION, Generation
from infrastructure.projections.shelf import Keeper, Turn
from infrastructure.whole_files import sync

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class FileShelf:
    """Implements `shelf.Shelf`."""

    shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, name: str) -> Path:
        return self.folder / file_name(name)

    def next_name(self, in_use: Iterable[str]) -> str:
        taken = [*in_use, *(generation_of(path) for path in self._files())]
        return str(max((int(name) for name in taken if name.isdecimal()), default=0) + 1)

    def holds(self, name: str) -> bool:
        return self.path_of(name).exists()

    def begin(self, connection: Connection, name: str, log_id: str) -> None:
        self.open(name, log_id, 0).close()

    def open(self, name: str, log_id: str, head: int) -> Generation:
        return open_file(self.path_of(name), log_id, head)

    def bury(self, generation: Generation) -> None:
        generation.close()
        remove_database(self.path_of(generation.name))

    def remove(self, name: str) -> None:
        path = self.path_of(name)
        remove_database(path.with_name(path.name + FILLING))
        remove_database(path)

    def others(self, kept: Iterable[str]) -> Sequence[str]:
        names = set(kept)
        return [path.name for path in self._files() if generation_of(path) not in names]

    def remove_others(self, kept: Iterable[str]) -> None:
        for name in self.others(kept):
            (self.folder / name).unlink(missing_ok=True)

    def is_gone(self, error: Exception) -> bool:
        """A file is there for as long as somebody has it open."""
        return False

    def take_turn(self, gained: Callable[[], None]) -> Turn:
        """Blocks for as long as somebody turns the views to another generation."""
        following = Following(self.folder)
        following.share()
        return following

    @contextmanager
    def turn_of_nobody(self) -> Iterator[bool]:
        following = Following(self.folder)
        try:
            yield following.alone()
        finally:
            following.close()

    def keeper(self) -> Keeper:
        with self.turn_of_nobody() as nobody:
            return Keeper(node=None, alive=not nobody)

    def building(self) -> AbstractContextManager[int | None]:
        return build_lock.alone(self.folder)

    def is_building(self) -> bool:
        return build_lock.is_building(self.folder)

    def boot(self) -> str:
        return _BOOT.read_text().strip() if _BOOT.exists() else "unknown"

    def is_whole(self, name: str) -> bool:
        return is_whole(self.path_of(name))

    def fill(
        self,
        name: str,
        reading: Engine,
        codec: Codec,
        until: int,
        reached: Callable[[int], None],
        lock: int | None,
    ) -> None:
        log_id = StoredLog(reading, codec).log_id
        Filling(self.path_of(name), BareLog(reading, codec), log_id).run(until, reached, lock)

    def catch_up(
        self, name: str, reading: Engine, codec: Codec, reached: Callable[[int, int], None]
    ) -> int:
        # What applies events logs, and that takes its time to import.
        from infrastructure.projections.catching_up import catch_up
        from infrastructure.projections.projector import Projector

        log = StoredLog(reading, codec)
        head = log.head()
        generation = self.open(name, log.log_id, head)
        try:
            projector = Projector(generation.writing, strict=True)
            catch_up(projector, log, head, lambda position: reached(position, head))
            return projector.position
        finally:
            generation.close()

    def remove_older(self, writing: Engine) -> None:
        with (
            suppress(ConfigurationError),
            only_server_of(self.folder),
            writing.begin() as connection,
        ):
            forget_older(connection, VIEWS_VERSION)
        # Under the write lock, so that no build begins whose file would be taken for a rest.
        with writing.begin() as connection:
            self.remove_others(generations_in_use(connection))

    def make_durable(self, name: str) -> None:
        """Until now nothing of the file had to be on the disk."""
        sync(self.path_of(name))

    def position_of_build(self, name: str) -> int:
        return position_of_build(self.path_of(name))

    def size_of(self, name: str) -> int:
        path = self.path_of(name)
        return size_of(path) + size_of(path.with_name(path.name + FILLING))

    @contextmanager
    def opened(self, name: str) -> Iterator[Connection]:
        with opened_file(self.path_of(name)) as connection:
            yield connection

    def compared(
        self, name: str, reading: Engine, codec: Codec, reached: Callable[[int, int], None]
    ) -> tuple[int, int, list[Difference]]:
        """A copy is taken at some position in one step, which disturbs nobody."""
        with folder_for_copies(self.folder) as folder:
            live, rebuilt = folder / "live.db", folder / "rebuilt.db"
            position = copied(self.path_of(name), live)
            filling = Filling(rebuilt, BareLog(reading, codec), StoredLog(reading, codec).log_id)
            filling.run(position, lambda done: reached(done, position))
            with opened_file(live) as first, opened_file(rebuilt) as second:
                rows, differences = compare(first, second)
            return position, rows, differences

    def remove_leftovers(self) -> None:
        remove_leftovers(self.folder)

    def _files(self) -> list[Path]:
        return list(self.folder.glob("views-*"))


def open_file(path: Path, log_id: str, head: int) -> Generation:
    """Open the file, or begin an empty one. Raises checkpoint.OtherLog."""
    url = URL.create("sqlite", database=str(path))
    writing = sync_writer_engine(url, synchronous="NORMAL")
    try:
        with writing.begin() as connection:
            metadata.create_all(connection)
            search.create(connection)
            checkpoint.begin(connection, log_id, head)
    except checkpoint.OtherLog:
        writing.dispose()
        raise
    return Generation(generation_of(path), writing, sync_reader_engine(url))


@contextmanager
def opened_file(path: Path) -> Iterator[Connection]:
    engine = sync_reader_engine(URL.create("sqlite", database=str(path)))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
