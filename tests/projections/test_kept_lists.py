"""Lists that are answered without reading them again: only ever as they would be read."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from application.queries import ListChats
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections import chat_list, kept_lists
from infrastructure.projections.views import SqlViews
from tests.projections.given import NOW
from tests.projections.history import History
from tests.projections.places import Home, execute, in_folder
from tests.projections.test_rebuilds import desk, nothing
from tests.projections.test_views import PATIENCE, append, new_chat, opened_log, play

BEHIND_ITS_BACK = "changed behind its back"


def change_behind_its_back(home: Home) -> None:
    """What no event tells, so that only a list that is read shows it."""
    execute(home.place("1"), f"UPDATE chats SET title = '{BEHIND_ITS_BACK}'")


async def title(views: SqlViews, owner: UUID, min_position: int = 0) -> str | None:
    (chat,) = (await views.list_chats(owner, ListChats(min_position=min_position))).chats
    return chat.title


def test_a_list_that_is_as_it_was_is_not_read_again(tmp_path: Path) -> None:
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await append(store, new_chat(owner))
        assert await title(views, owner) == "A title"
        change_behind_its_back(home)
        assert await title(views, owner) == "A title"
        archived = await views.list_chats(owner, ListChats(archived=True))
        assert archived.chats == []

    play(home, scenario)


def test_what_others_do_leaves_a_list_as_it_is_at_a_later_position(tmp_path: Path) -> None:
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await append(store, new_chat(owner))
        titles = set()
        # What the runner was quicker to read from the disk than to be handed counts as unknown.
        for _ in range(10):
            await title(views, owner)
            change_behind_its_back(home)
            position = await append(store, new_chat(uuid4()))
            titles.add(await title(views, owner, position))
            page = await views.list_chats(owner, ListChats())
            assert page.position >= position
            execute(home.place("1"), "UPDATE chats SET title = 'A title'")
        assert "A title" in titles

    play(home, scenario)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_list_is_what_reading_it_would_say_after_each_step(home: Home, seed: int) -> None:
    history = History(seed)
    request = ListChats(limit=3)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        for step in range(150):
            changed = history.step()
            if changed:
                await append(store, *changed)
            if step % 30 == 29:
                erased = history.random.choice(history.chats)
                erased.erase(history.later())
                await append(store, erased)
            await views.wait(await store.head(), PATIENCE)
            for owner in history.principals:
                shown = await views.list_chats(owner, request)
                with views._live.succession.snapshot() as connection:
                    assert shown == chat_list.list_chats(connection, owner, request)

    play(home, scenario)


def test_what_another_process_does_is_shown(tmp_path: Path) -> None:
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        chat = new_chat(uuid4())
        owner = chat.state.owner
        await append(store, chat)
        async with opened_log(home) as other:
            for name in map(str, range(10)):
                await title(views, owner)
                chat.rename(name, NOW)
                position = await append(other, chat)
                assert await title(views, owner, position) == name

    play(home, scenario)


def test_where_nodes_share_a_log_all_is_read(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await append(store, new_chat(owner))
        await title(views, owner)
        change_behind_its_back(home)
        kept = not home.shelf.shared
        assert await title(views, owner) == ("A title" if kept else BEHIND_ITS_BACK)

    play(home, scenario)


def test_a_rebuild_ends_what_was_kept(tmp_path: Path) -> None:
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await views.wait(await append(store, new_chat(owner)), PATIENCE)
        change_behind_its_back(home)
        assert await title(views, owner) == BEHIND_ITS_BACK
        with desk(home) as projections:
            await asyncio.to_thread(projections.rebuild, nothing)
        assert views.generation == "2"
        assert await title(views, owner) == "A title"

    play(home, scenario)


def test_what_was_kept_ends_where_somebody_else_moves_the_views(tmp_path: Path) -> None:
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await views.wait(await append(store, new_chat(owner)), PATIENCE)
        [recorded] = await store.read_all(0, 1)
        await title(views, owner)
        change_behind_its_back(home)
        # As after another process's batch, and after the next one of this process.
        views._progress.reach(2)
        assert await title(views, owner) == BEHIND_ITS_BACK
        views._kept.heed([msgspec.structs.replace(recorded, position=2)], 0.0)
        await title(views, owner)
        execute(home.place("1"), "UPDATE chats SET title = 'A title'")
        views._progress.reach(4)
        views._kept.heed([msgspec.structs.replace(recorded, position=4)], 0.0)
        assert await title(views, owner) == "A title"

    play(home, scenario)


def test_nothing_of_an_erased_chat_stays_in_memory(tmp_path: Path) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        chat = new_chat(uuid4())
        await append(store, chat)
        await title(views, chat.state.owner)
        assert views._kept.weight > 0
        chat.erase(NOW)
        await views.wait(await append(store, chat), PATIENCE)
        assert views._kept.weight == 0

    play(in_folder(tmp_path), scenario)


def test_no_more_is_kept_than_so_many_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_lists, "MOST_CHATS", 10)
    home = in_folder(tmp_path)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owners = [uuid4() for _ in range(9)]
        for owner in owners:
            await append(store, new_chat(owner))
        for owner in owners:
            await title(views, owner)
            assert views._kept.weight <= 10
        change_behind_its_back(home)
        assert await title(views, owners[-1]) == "A title"
        assert await title(views, owners[0]) == BEHIND_ITS_BACK

    play(home, scenario)
