"""A filled set is the live one row by row, wherever the filling was broken off."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from application.projections import EventNotApplied
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.bare_events import BareLog
from infrastructure.event_store.codec import codec
from infrastructure.event_store.store import SqlEventStore
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections import checkpoint
from infrastructure.projections import filling as filling_module
from infrastructure.projections.filling import Filling
from infrastructure.projections.views import SqlViews
from tests.projections.given import NOW
from tests.projections.history import History
from tests.projections.live_build import rebuild_in
from tests.projections.places import Home, differing_tables, in_folder
from tests.projections.test_views import PATIENCE, append, opened_log, play

ROOT = Path(__file__).parents[2]


def filling_of(folder: Path, name: str = "views-50.db") -> Filling:
    reading = sync_reader_engine(f"sqlite:///{folder / 'events.db'}")
    return Filling(folder / name, BareLog(reading, codec), StoredLog(reading, codec).log_id)


def head_of(folder: Path) -> int:
    reading = sync_reader_engine(f"sqlite:///{folder / 'events.db'}")
    return StoredLog(reading, codec).head()


def ignored(position: int) -> None: ...


def lived(home: Home | Path, seed: int, steps: int = 400) -> None:
    """A history on a log, and its live views as generation 1."""
    history = History(seed)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        position = 0
        for _ in range(steps):
            if changed := history.step():
                position = await append(store, *changed)
        await views.wait(position, PATIENCE)
        assert views.set_aside == 0

    play(in_folder(home) if isinstance(home, Path) else home, scenario)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_a_filled_set_equals_the_live_one(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path, seed=batch, steps=400 if batch > 1 else 100)
    monkeypatch.setattr(filling_module, "BATCH", batch)
    filling_of(tmp_path).run(head_of(tmp_path), ignored)
    assert differing_tables(tmp_path / "views-1.db", tmp_path / "views-50.db") == []
    assert [path.name for path in tmp_path.glob("views-50*")] == ["views-50.db"]


def test_rows_that_were_forgotten_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path, seed=5)
    monkeypatch.setattr(filling_module, "BATCH", 20)
    monkeypatch.setattr("infrastructure.projections.working_set.KEPT", 3)
    filling_of(tmp_path).run(head_of(tmp_path), ignored)
    assert differing_tables(tmp_path / "views-1.db", tmp_path / "views-50.db") == []


def test_a_set_is_filled_to_the_very_position(tmp_path: Path) -> None:
    lived(tmp_path, seed=6)
    until = head_of(tmp_path) // 2
    filling_of(tmp_path).run(until, ignored)

    async def by_the_live_code() -> None:
        async with opened_log(in_folder(tmp_path)) as store:
            assert await rebuild_in(tmp_path / "views-60.db", store, until) == until

    asyncio.run(by_the_live_code())
    assert differing_tables(tmp_path / "views-60.db", tmp_path / "views-50.db") == []


class BrokenOff(Exception):  # noqa: N818 - not an error
    pass


def at(position: int) -> Callable[[int], None]:
    def stop(reached: int) -> None:
        if reached >= position:
            raise BrokenOff

    return stop


def test_a_filling_that_was_broken_off_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path, seed=8)
    head = head_of(tmp_path)
    monkeypatch.setattr(filling_module, "BATCH", 50)
    monkeypatch.setattr(filling_module, "COMMITTED", 2)
    for stop in range(100, head, 300):
        with pytest.raises(BrokenOff):
            filling_of(tmp_path).run(head, at(stop))
    reached: list[int] = []
    filling_of(tmp_path).run(head, reached.append)
    assert reached[0] >= stop - 100
    assert differing_tables(tmp_path / "views-1.db", tmp_path / "views-50.db") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from infrastructure.projections import filling
from tests.projections.test_filling import filling_of, head_of, locked

filling.BATCH, filling.COMMITTED = 50, 2
folder, at = Path(sys.argv[1]), int(sys.argv[2])

def killed(position):
    if position >= at:
        os.kill(os.getpid(), signal.SIGKILL)

filling_of(folder).run(head_of(folder), killed, locked(folder))
"""


def locked(folder: Path) -> int:
    """As it is while a build is under way: also until the index's process has noticed its end."""
    lock = os.open(folder / "building.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


@pytest.mark.parametrize("at", [0, 400])
def test_a_filling_whose_process_was_killed_goes_on(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the index's process had done of what it was given."""
    lived(tmp_path, seed=9)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(at)], cwd=ROOT, timeout=60, check=False
    )
    assert killed.returncode == -9
    locked(tmp_path)
    monkeypatch.setattr(filling_module, "BATCH", 50)
    monkeypatch.setattr(filling_module, "COMMITTED", 2)
    filling_of(tmp_path).run(head_of(tmp_path), ignored)
    assert differing_tables(tmp_path / "views-1.db", tmp_path / "views-50.db") == []


def test_texts_that_were_committed_before_the_tables_come_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may die between the two commits."""
    lived(tmp_path, seed=10)
    monkeypatch.setattr(filling_module, "BATCH", 50)
    monkeypatch.setattr(filling_module, "COMMITTED", 2)
    advance = checkpoint.advance

    def dies(connection: Connection, old: int, new: int) -> None:
        if new == 300:
            raise BrokenOff
        advance(connection, old, new)

    monkeypatch.setattr(checkpoint, "advance", dies)
    with pytest.raises(BrokenOff):
        filling_of(tmp_path).run(head_of(tmp_path), ignored)
    monkeypatch.setattr(checkpoint, "advance", advance)
    reached: list[int] = []
    filling_of(tmp_path).run(head_of(tmp_path), reached.append)
    assert reached[0] == 200
    assert differing_tables(tmp_path / "views-1.db", tmp_path / "views-50.db") == []


@pytest.mark.parametrize("batch", [1, 3, 15_000])
def test_a_poison_event_stops_a_filling_and_is_named(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not so live: there its stream is set aside, and all others go on."""
    monkeypatch.setattr(filling_module, "READ", 2)
    monkeypatch.setattr(filling_module, "BATCH", batch)
    good, bad = (Chat.start(uuid4(), uuid4(), "A title", None, NOW) for _ in range(2))

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        for chat in (good, bad):
            chat.send(uuid4(), "A message", NOW)
            await append(store, chat)
        bad.send(uuid4(), "who is my parent?", NOW)
        bad.pending_events[-1].__dict__["parent_id"] = uuid4()
        await append(store, bad)
        good.send(uuid4(), "after it", NOW)
        position = await append(store, good)
        await views.wait(position, PATIENCE)
        assert views.set_aside == 1

    play(in_folder(tmp_path), scenario)
    with pytest.raises(EventNotApplied) as raised:
        filling_of(tmp_path).run(head_of(tmp_path), ignored)
    stopped = raised.value
    assert (stopped.view, stopped.stream_id, stopped.position) == ("messages", bad.id, 5)
    assert stopped.error == "KeyError"
    assert "parent" not in str(stopped)


@pytest.mark.parametrize("batch", [1, 3, 15_000])
def test_an_event_whose_row_cannot_be_written_is_named(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That shows when the rows of the whole batch are written, which was read in several parts."""
    monkeypatch.setattr(filling_module, "READ", 2)
    monkeypatch.setattr(filling_module, "BATCH", batch)
    good, bad = (Usage.open(uuid4(), "user", "USD", NOW) for _ in range(2))

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        for account in (good, bad):
            account.top_up(1, "operator", None, NOW)
            await append(store, account)
        bad.top_up(1, "operator", None, NOW)
        bad.pending_events[-1].__dict__["amount"] = 2**63
        await append(store, bad)
        good.top_up(1, "operator", None, NOW)
        await views.wait(await append(store, good), PATIENCE)

    play(in_folder(tmp_path), scenario)
    with pytest.raises(EventNotApplied) as raised:
        filling_of(tmp_path).run(head_of(tmp_path), ignored)
    stopped = raised.value
    assert (stopped.view, stopped.stream_id, stopped.position) == ("usage", bad.id, 5)
    assert stopped.error == "OverflowError"


def test_the_process_of_the_texts_loads_no_more_than_it_needs() -> None:
    """What else it loads is time in which no text of a small log is written."""
    script = (
        "import sys, infrastructure.projections.text_writer;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, timeout=60, check=True, stdout=subprocess.PIPE
    )
    loaded = set(done.stdout.decode().split())
    assert {"msgspec", "sqlite3"} <= loaded
    assert loaded.isdisjoint({"sqlalchemy", "eventsourcing", "application", "domain"})
