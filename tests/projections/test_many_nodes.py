"""Several nodes on one database: one keeps the views up, and all are as fresh as is asked."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import OperationalError

from application.errors import ViewsBehind
from application.queries import ListChats
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections import schemas
from infrastructure.projections.checkpoint import PositionMoved
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.projector import Projector
from infrastructure.projections.views import SqlViews
from tests.projections.places import Home, Schema, execute
from tests.projections.test_rebuilds import desk, nothing
from tests.projections.test_views import PATIENCE, append, new_chat, opened_log, opened_views

ROOT = Path(__file__).parents[2]
TAKEN_OVER_WITHIN = 2.0


@pytest.fixture
def home(database_url: str, tmp_path: Path) -> Home:
    return Home(tmp_path, database_url)


Node = tuple[SqlEventStore, SqlViews]


@asynccontextmanager
async def nodes(home: Home, count: int) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as closing:
        yield [await node(home, closing) for _ in range(count)]


async def node(home: Home, closing: AsyncExitStack) -> Node:
    store = await closing.enter_async_context(opened_log(home))
    return store, await closing.enter_async_context(opened_views(home, store))


async def until(condition: Callable[[], bool], within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what another node does
            await asyncio.sleep(0.01)


async def appended(store: SqlEventStore, owner: UUID) -> int:
    """A new chat, as soon as the log lets go of whoever was paused in the midst of a commit."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OperationalError):
                return await append(store, new_chat(owner))


async def total(views: SqlViews, owner: UUID, position: int) -> int:
    page = await views.list_chats(owner, ListChats(min_position=position))
    assert page.position >= position
    return page.total


def test_exactly_one_of_many_keeps_the_views_up(home: Home) -> None:
    async def scene() -> None:
        async with nodes(home, 3) as many:
            for count in range(30):
                store = many[count % 3][0]
                position = await append(store, new_chat(uuid4()))
                assert sum(views.keeps_up for _, views in many) == 1
            for _, views in many:
                await views.wait(position, PATIENCE)
                assert (views.failures, views.set_aside) == (0, 0)

    asyncio.run(scene())


def test_nodes_that_start_at_once_on_an_empty_log_make_one_generation(home: Home) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as closing:
            stores = [await closing.enter_async_context(opened_log(home)) for _ in range(4)]
            opened = [opened_views(home, store) for store in stores]
            many = await asyncio.gather(*map(closing.enter_async_context, opened))
            assert home.generations() == ["1"]
            owner = uuid4()
            position = await append(stores[0], new_chat(owner))
            assert [await total(views, owner, position) for views in many] == [1, 1, 1, 1]

    asyncio.run(scene())


def test_each_node_is_as_fresh_as_a_position_that_another_gave(home: Home) -> None:
    async def scene() -> None:
        owner = uuid4()
        async with nodes(home, 3) as many:
            for count in range(1, 31):
                position = await append(many[count % 3][0], new_chat(owner))
                for _, views in many:
                    assert await total(views, owner, position) == count

    asyncio.run(scene())


def test_a_position_that_nobody_has_is_refused_on_all_nodes(home: Home) -> None:
    async def scene() -> None:
        async with nodes(home, 2) as many:
            position = await append(many[0][0], new_chat(uuid4()))
            for _, views in many:
                await views.wait(position, PATIENCE)
                with pytest.raises(ViewsBehind):
                    await views.wait(position + 1, 0.1)

    asyncio.run(scene())


def test_all_nodes_know_of_streams_that_were_set_aside(home: Home) -> None:
    async def scene() -> None:
        async with nodes(home, 2) as many:
            chat = new_chat(uuid4())
            chat.send(uuid4(), "who is my parent?", chat.created_on)
            chat.pending_events[-1].__dict__["parent_id"] = uuid4()
            position = await append(many[0][0], chat)
            for _, views in many:
                await views.wait(position, PATIENCE)
                assert views.set_aside == 1

    asyncio.run(scene())


def test_another_takes_over_at_once_after_a_close(home: Home) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as first:
            await node(home, first)
            async with nodes(home, 1) as [(store, views)]:
                assert not views.keeps_up
                began = time.monotonic()
                await first.aclose()
                await until(lambda: views.keeps_up)
                assert time.monotonic() - began < TAKEN_OVER_WITHIN / 2
                owner = uuid4()
                position = await append(store, new_chat(owner))
                assert await total(views, owner, position) == 1

    asyncio.run(scene())


KEEPER = """
import asyncio, sys
from pathlib import Path
from uuid import uuid4
from tests.projections.places import Home
from tests.projections.test_views import append, new_chat, opened_log, opened_views

async def keep():
    home = Home(Path(sys.argv[1]), sys.argv[2])
    async with opened_log(home) as store, opened_views(home, store) as views:
        while not views.keeps_up:
            await asyncio.sleep(0.01)
        print("has it", flush=True)
        while True:
            # Mostly, when it is stopped, it is in the midst of something.
            position = await append(store, *[new_chat(uuid4()) for _ in range(20)])
            await views.wait(position, 30)

asyncio.run(keep())
"""


@contextmanager
def keeper(home: Home) -> Iterator["subprocess.Popen[str]"]:
    """A process that has the turn and always writes."""
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(home.folder), home.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            while (line := process.stdout.readline()) != "has it\n":
                assert line
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_another_takes_over_when_a_node_dies_or_is_paused(home: Home, how: signal.Signals) -> None:
    async def scene() -> None:
        owner = uuid4()
        with keeper(home) as process:
            async with nodes(home, 2) as many:
                store = many[0][0]
                assert not any(views.keeps_up for _, views in many)
                began = time.monotonic()
                os.kill(process.pid, how)
                await until(lambda: any(views.keeps_up for _, views in many))
                assert time.monotonic() - began < TAKEN_OVER_WITHIN
                position = await appended(store, owner)
                for _, views in many:
                    assert await total(views, owner, position) == 1
                if how == signal.SIGSTOP:
                    # It goes on where it was, and harms nobody.
                    os.kill(process.pid, signal.SIGCONT)
                for count in range(2, 12):
                    position = await append(store, new_chat(owner))
                    for _, views in many:
                        assert await total(views, owner, position) == count
                assert [views.set_aside for _, views in many] == [0, 0]
        with desk(home) as projections:
            verified = await asyncio.to_thread(projections.verify, nothing)
            assert verified.differences == []

    asyncio.run(scene())


def test_one_that_was_paused_with_a_batch_in_hand_applies_nothing_twice(home: Home) -> None:
    async def scene() -> None:
        async with nodes(home, 1) as [(store, views)]:
            await append(store, new_chat(uuid4()))
            await views.wait(1, PATIENCE)
            generation = home.shelf.open("1", store.log_id, 0)
            paused = Projector(generation.writing)
            paused.load()
            position = await append(store, new_chat(uuid4()))
            await views.wait(position, PATIENCE)
            batch = await store.read_all(1, 10)
            with pytest.raises(PositionMoved):
                await asyncio.to_thread(paused.apply, batch)
            generation.close()
            assert (views.failures, views.position) == (0, position)

    asyncio.run(scene())


def test_all_nodes_turn_to_a_rebuilt_generation_and_nobody_is_refused(home: Home) -> None:
    async def scene() -> None:
        owner, rebuilt = uuid4(), asyncio.Event()
        async with nodes(home, 3) as many:
            await append(many[0][0], new_chat(owner))
            seen = [0, 0, 0]

            async def read(number: int) -> None:
                store, views = many[number]
                while not rebuilt.is_set():
                    position = await append(store, new_chat(uuid4()))
                    page = await views.list_chats(owner, ListChats(min_position=position))
                    assert page.total == 1
                    assert page.position >= max(position, seen[number])
                    seen[number] = page.position

            async def rebuild() -> None:
                with desk(home) as projections:
                    done = await asyncio.to_thread(projections.rebuild, nothing)
                assert done.generation == "2"
                rebuilt.set()

            await asyncio.gather(rebuild(), *(read(number) for number in range(3)))
            assert home.generations() == ["2"]
            for _, views in many:
                await until(lambda views=views: views._live.succession.live.name == "2")  # type: ignore[misc]
                assert (views.failures, views.set_aside) == (0, 0)

    asyncio.run(scene())


def test_a_query_on_a_set_that_was_just_dropped_is_run_on_the_next_one(home: Home) -> None:
    async def scene() -> None:
        owner = uuid4()
        async with nodes(home, 2) as many:
            position = await append(many[0][0], new_chat(owner))
            for _, views in many:
                await views.wait(position, PATIENCE)
            with desk(home) as projections:
                await asyncio.to_thread(projections.rebuild, nothing)
            late = next(views for _, views in many if not views.keeps_up)
            await until(lambda: late._live.succession.live.name == "2")
            # As of a node that was paused while all others turned.
            gone = home.shelf.open("2", many[0][0].log_id, 0)
            gone.name = "1"
            gone.reading.dispose()
            gone.reading = sync_reader_engine(home.url, schema=schemas.name_of("1"))
            late._live.succession.turn_to(gone)
            assert await total(late, owner, position) == 1
            assert late._live.succession.live.name == "2"

    asyncio.run(scene())


def test_what_a_release_before_keeps_up_stays_until_its_last_node_has_gone(home: Home) -> None:
    async def scene() -> None:
        async with opened_log(home) as store:
            before = VIEWS_VERSION - 1
            await store.view_generations.point_at(before, "1")
            public = Schema(home.url, "public")
            execute(
                public,
                f"INSERT INTO view_runners VALUES ({before}, gen_random_uuid(), 9000000000000000)",
            )
            await store.view_generations.forget_unkept(VIEWS_VERSION)
            assert await store.view_generations.live(before) == "1"
            execute(public, "UPDATE view_runners SET expires_at = 0")
            await store.view_generations.forget_unkept(VIEWS_VERSION)
            assert await store.view_generations.live(before) is None

    asyncio.run(scene())
