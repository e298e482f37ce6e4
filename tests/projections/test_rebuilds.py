"""Building a generation aside: beside live views that are asked and written to, and without any."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from application.projections import (
    BuildUnderWay,
    EventNotApplied,
    NoBuild,
    NotTakenOver,
    Projections,
)
from application.queries import ListChats
from domain.chat import Chat
from infrastructure.data_folder import only_server_of
from infrastructure.database import sync_reader_engine, sync_writer_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.schema import view_builds
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections import schemas
from infrastructure.projections.comparison import all_contents
from infrastructure.projections.desk import SqlProjections
from infrastructure.projections.file_shelf import FileShelf
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.rebuilds import Rebuilds
from infrastructure.projections.schema_shelf import VERIFYING
from infrastructure.projections.views import SqlViews
from tests.projections.given import NOW
from tests.projections.history import History
from tests.projections.live_build import rebuild_in
from tests.projections.places import Home, differing_tables, execute, in_folder
from tests.projections.test_filling import lived
from tests.projections.test_views import PATIENCE, append, new_chat, play
from tests.service import until


def nothing(done: int, total: int | None = None) -> None: ...


@contextmanager
def desk(home: Home) -> Iterator[Projections]:
    writing, reading = sync_writer_engine(home.url), sync_reader_engine(home.url)
    try:
        yield SqlProjections(home.shelf, writing, reading, codec)
    finally:
        writing.dispose()
        reading.dispose()


PLANTED = b"one that nobody is"[:16]


def planted(home: Home) -> None:
    """A row of generation 1 that no replay can make."""
    blob = f"X'{PLANTED.hex()}'" if not home.shelf.shared else f"'\\x{PLANTED.hex()}'::bytea"
    execute(
        home.place("1"), f"INSERT INTO chat_counts (owner, active, archived) VALUES ({blob}, 7, 7)"
    )


def has_planted(home: Home, generation: str) -> bool:
    with home.shelf.opened(generation) as connection:
        return PLANTED in {bytes(row.owner) for row in connection.execute(_owners)}


_owners = text("SELECT owner FROM chat_counts")


def verifications(home: Home) -> list[str]:
    """Sets that are being compared, or were and are left."""
    with desk(home), home.shelf.opened("1") as connection:
        if connection.dialect.name == "sqlite":
            return []
        return list(schemas.with_prefix(connection, VERIFYING))


def test_without_a_server_the_new_generation_is_live_and_the_old_one_gone(home: Home) -> None:
    lived(home, seed=1)
    planted(home)
    with desk(home) as projections:
        rebuilt = projections.rebuild(nothing)
        status = projections.status()
    assert home.generations() == ["2"]
    assert rebuilt.generation == status.generation == "2"
    assert (status.lag, status.build, status.set_aside, status.server) == (0, None, [], False)
    assert not has_planted(home, "2")


def test_live_views_turn_to_the_new_generation_between_two_batches(home: Home) -> None:
    """Writers and readers go on all the time; nobody sees an older position than before."""
    history, owner = History(3), uuid4()

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        rebuilding = threading.Event()
        positions: list[int] = []

        async def write() -> int:
            while True:
                if changed := history.step():
                    position = await append(store, *changed)
                    if rebuilding.is_set():
                        return position
                await asyncio.sleep(0)

        async def read() -> None:
            while not rebuilding.is_set():
                await append(store, new_chat(owner))
                page = await views.list_chats(owner, ListChats())
                positions.append(page.position)
                assert page.total == len(positions)

        def rebuild() -> str:
            try:
                with desk(home) as projections:
                    return projections.rebuild(nothing).generation
            finally:
                rebuilding.set()

        await append(store, *history.step())
        await views.wait(1, PATIENCE)
        planted(home)
        generation, head, _ = await asyncio.gather(asyncio.to_thread(rebuild), write(), read())
        assert generation == "2"
        assert home.generations() == ["2"]
        assert positions == sorted(positions)
        await views.wait(head, PATIENCE)
        again = home.place("99")
        assert await rebuild_in(again, store) == await store.head()
        await views.wait(await store.head(), PATIENCE)
        assert differing_tables(home.place("2"), again) == []
        assert views.failures == views.set_aside == 0

    play(home, scenario)


def test_the_old_generation_stays_until_its_last_reader_has_left(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        await append(store, new_chat(uuid4()))
        await views.wait(1, PATIENCE)
        reading, left = threading.Event(), threading.Event()

        def long_query(_connection: object) -> None:
            reading.set()
            assert left.wait(PATIENCE)

        query = asyncio.create_task(views._read(long_query))
        assert await asyncio.to_thread(reading.wait, PATIENCE)

        def rebuild() -> None:
            with desk(home) as projections:
                projections.rebuild(nothing)

        rebuilding = asyncio.create_task(asyncio.to_thread(rebuild))
        while await store.view_generations.live(VIEWS_VERSION) != "2":  # noqa: ASYNC110 - on disk
            await asyncio.sleep(0.01)
        assert "1" in home.generations()
        assert not rebuilding.done()
        left.set()
        await asyncio.gather(query, rebuilding)
        assert home.generations() == ["2"]

    play(home, scenario)


def test_a_server_that_does_not_turn_is_told_of_and_resume_goes_on(home: Home) -> None:
    lived(home, seed=1, steps=20)
    server = home.shelf.take_turn(lambda: None)
    until(lambda: server.held)
    writing, reading = sync_writer_engine(home.url), sync_reader_engine(home.url)
    patient = Rebuilds(home.shelf, writing, reading, codec, taken_over_within=0.2)
    with pytest.raises(NotTakenOver):
        patient.rebuild(nothing)
    writing.dispose()
    reading.dispose()
    with desk(home) as projections:
        status = projections.status()
        assert status.generation == "1"
        assert status.server
        assert status.build is not None
        assert status.build.state == "ready"
        server.close()
        assert projections.resume(nothing).generation == "2"
    assert home.generations() == ["2"]


def broken_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build whose process was interrupted while it filled."""

    def interrupted(done: int, total: int | None = None) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    monkeypatch.setattr("infrastructure.projections.filling.BATCH", 50)
    monkeypatch.setattr("infrastructure.projections.filling.COMMITTED", 1)
    monkeypatch.setattr("infrastructure.event_store.stored.BATCH", 50)
    with desk(home) as projections, pytest.raises(KeyboardInterrupt):
        projections.rebuild(interrupted)


def test_a_build_that_was_broken_off_is_gone_on_with(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(home, seed=2)
    broken_off(home, monkeypatch)
    with desk(home) as projections:
        status = projections.status()
        assert status.build is not None
        assert (status.build.state, status.build.position) == ("broken off", 100)
        with pytest.raises(BuildUnderWay, match="broken off"):
            projections.rebuild(nothing)
        begun: list[int] = []
        projections.resume(lambda done, total=None: begun.append(done))
        assert begun[0] == 100
        assert projections.verify(nothing).differences == []
    assert home.generations() == ["2"]


def test_after_a_power_cut_a_build_trusts_nothing_it_had_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path, seed=2)
    broken_off(in_folder(tmp_path), monkeypatch)
    monkeypatch.setattr(FileShelf, "boot", lambda shelf: "a later one")
    begun: list[int] = []
    with desk(in_folder(tmp_path)) as projections:
        projections.resume(lambda done, total=None: begun.append(done))
    assert begun[0] == 0


def test_a_build_that_is_taken_back_leaves_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(home, seed=2)
    broken_off(home, monkeypatch)
    if not home.shelf.shared:
        # As of a process that died while it made the file.
        (home.folder / "views-2.db-filling-journal").touch()
    with desk(home) as projections:
        assert projections.cancel() == "2"
        assert home.generations() == ["1"]
        assert not list(home.folder.glob("views-2*"))
        with pytest.raises(NoBuild):
            projections.cancel()
        with pytest.raises(NoBuild):
            projections.resume(nothing)
        assert projections.status().generation == "1"


def test_only_one_build_runs_at_a_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(home, seed=2, steps=50)
    for module in ("build_lock", "schema_shelf"):
        monkeypatch.setattr(f"infrastructure.projections.{module}.LET_GO_WITHIN", 0.1)
    with desk(home) as first, desk(home) as second:

        def meanwhile(done: int, total: int | None = None) -> None:
            assert second.status().build is not None
            for refused in (lambda: second.rebuild(nothing), second.cancel):
                with pytest.raises(BuildUnderWay, match="at this moment"):
                    refused()

        first.rebuild(meanwhile)


def test_a_poison_event_stops_a_build_which_can_be_taken_back(home: Home) -> None:
    bad = Chat.start(uuid4(), uuid4(), None, None, NOW)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        bad.send(uuid4(), "who is my parent?", NOW)
        bad.pending_events[-1].__dict__["parent_id"] = uuid4()
        await views.wait(await append(store, bad), PATIENCE)

    play(home, scenario)
    with desk(home) as projections:
        with pytest.raises(EventNotApplied) as raised:
            projections.rebuild(nothing)
        assert (raised.value.stream_id, raised.value.position) == (bad.id, 2)
        (aside,) = projections.status().set_aside
        assert (aside.view, aside.stream_id, aside.position) == ("messages", bad.id, 2)
        assert aside.error == raised.value.error == "KeyError"
        assert projections.cancel() == "2"
    assert home.generations() == ["1"]


def test_a_release_builds_its_views_beside_the_server_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = VIEWS_VERSION + 1

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        await views.wait(await append(store, new_chat(uuid4())), PATIENCE)

        def rebuild() -> None:
            for module in ("rebuilds", "files", "file_shelf", "status", "verification"):
                name = f"infrastructure.projections.{module}.VIEWS_VERSION"
                monkeypatch.setattr(name, later)
            with desk(in_folder(tmp_path)) as projections:
                projections.rebuild(nothing)

        # In the live views' own module the version stays.
        with only_server_of(tmp_path):
            await asyncio.to_thread(rebuild)
        assert await store.view_generations.live(later) == "2"
        assert await store.view_generations.live(VIEWS_VERSION) == "1"
        assert in_folder(tmp_path).generations() == ["1", "2"]
        await views.wait(await append(store, new_chat(uuid4())), PATIENCE)

    play(in_folder(tmp_path), scenario)
    monkeypatch.undo()


def test_a_log_that_an_older_release_made_has_its_views_built(home: Home) -> None:
    lived(home, seed=4, steps=30)
    engine = sync_writer_engine(home.url)
    with engine.begin() as connection:
        view_builds.drop(connection)
    engine.dispose()
    with desk(home) as projections:
        assert projections.status().build is None
        assert projections.rebuild(nothing).generation == "2"


def test_what_is_left_of_other_generations_goes_at_a_start(tmp_path: Path) -> None:
    lived(tmp_path, seed=4, steps=30)
    (tmp_path / "views-7.db").write_bytes(b"of a generation that nobody points at")

    async def scenario(_store: SqlEventStore, _views: SqlViews) -> None:
        assert in_folder(tmp_path).generations() == ["1"]

    play(in_folder(tmp_path), scenario)


# Verifying


def test_views_that_are_what_the_log_says_are_verified_beside_their_server(home: Home) -> None:
    history = History(11)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        def verify() -> list[object]:
            with desk(home) as projections:
                return list(projections.verify(nothing).differences)

        verifying = asyncio.create_task(asyncio.to_thread(verify))
        while not verifying.done():
            if changed := history.step():
                await append(store, *changed)
        assert await verifying == []

    play(home, scenario)
    assert not list(home.folder.glob("verifying-*"))
    assert verifications(home) == []


@pytest.mark.parametrize(
    ("change", "table", "column"),
    [
        ("UPDATE chats SET title = 'a secret title'", "chats", "title"),
        ("UPDATE texts SET content = 'a secret text'", "texts", "content"),
        ("UPDATE accounts SET spent = spent + 1", "accounts", "spent"),
        ("DELETE FROM replies", "replies", "*"),
        ("INSERT INTO chat_counts SELECT id, 1, 1 FROM chats LIMIT 1", "chat_counts", "*"),
        (
            {
                "sqlite": "INSERT INTO search(rowid, content, owner) VALUES (1, 'secret', 'x')",
                "postgresql": "INSERT INTO search VALUES (0, 'secret', 'secret'::tsvector)",
            },
            "search",
            "*",
        ),
    ],
)
def test_the_first_difference_of_each_table_is_named_and_never_shown(
    home: Home, change: str | dict[str, str], table: str, column: str
) -> None:
    lived(home, seed=12)
    if isinstance(change, dict):
        change = change["postgresql" if home.shelf.shared else "sqlite"]
    execute(home.place("1"), change)
    with desk(home) as projections:
        verified = projections.verify(nothing)
    (difference,) = verified.differences
    assert (difference.table, difference.column) == (table, column)
    assert difference.key
    assert difference.live != difference.rebuilt
    assert "secret" not in str(difference)


def test_a_verification_that_died_leaves_nothing_for_long(tmp_path: Path) -> None:
    lived(tmp_path, seed=4, steps=30)
    (tmp_path / "verifying-dead").mkdir()
    (tmp_path / "verifying-dead" / "live.db").write_bytes(b"what people wrote")
    with desk(in_folder(tmp_path)) as projections:
        projections.rebuild(nothing)
    assert not list(tmp_path.glob("verifying-*"))


def test_erased_people_are_in_no_set_of_the_views(home: Home) -> None:
    """What the log holds no more is in no generation either, once it is built anew."""
    owner, words = uuid4(), "unforgettable"

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        chat = Chat.start(uuid4(), owner, words, None, NOW)
        chat.send(uuid4(), words, NOW)
        await append(store, chat)
        chat.erase(NOW)
        await views.wait(await append(store, chat), PATIENCE)
        assert (await views.list_chats(owner, ListChats())).total == 0

    play(home, scenario)
    engine = sync_writer_engine(home.url, secure_delete=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET personal = NULL")
    engine.dispose()
    with desk(home) as projections:
        projections.rebuild(nothing)
        assert projections.verify(nothing).differences == []
    assert home.generations() == ["2"]
    if not home.shelf.shared:
        left = b"".join(path.read_bytes() for path in home.folder.glob("views-*"))
        assert words.encode() not in left
    with home.shelf.opened("2") as connection:
        for contents in all_contents(connection.dialect.name):
            assert words not in str(connection.execute(contents.query).all())
