"""The views over a real log: fresh or refused, and the same however they came to be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from application.errors import ViewsBehind
from application.ports import Append, Principal
from application.queries import ListChats, ListMessages, SearchMessages, UsageInfo, Views
from domain.chat import Chat, ChatNotFound
from domain.usage import Usage
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections.generation import VIEWS_VERSION
from infrastructure.projections.views import SqlViews
from tests.projections.given import META, NOW
from tests.projections.history import History
from tests.projections.live_build import rebuild_in
from tests.projections.places import Home, differing_tables, execute

PATIENCE = 30.0
"""Seconds; reached only where something is wrong."""

SHORT = 0.3


class Clock:
    def now(self) -> datetime:
        return NOW


@asynccontextmanager
async def opened_log(home: Home) -> AsyncIterator[SqlEventStore]:
    store = await SqlEventStore.open(home.url, clock=Clock())
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_views(
    home: Home, store: SqlEventStore, timeout: float = PATIENCE
) -> AsyncIterator[SqlViews]:
    views = await SqlViews.open(
        home.shelf,
        store,
        clock=Clock(),
        anon_limit=20,
        starting_balance=0,
        currency="USD",
        freshness_timeout=timeout,
    )
    try:
        yield views
    finally:
        await views.close()


Scenario = Callable[[SqlEventStore, SqlViews], Awaitable[None]]


def play(home: Home, scenario: Scenario, timeout: float = PATIENCE) -> None:
    async def scene() -> None:
        async with (
            opened_log(home) as store,
            opened_views(home, store, timeout) as views,
        ):
            await scenario(store, views)

    asyncio.run(scene())


async def append(store: SqlEventStore, *aggregates: Chat | Usage) -> int:
    return await store.append(Append(aggregates=aggregates, meta=META))


def new_chat(owner: UUID, title: str = "A title") -> Chat:
    return Chat.start(uuid4(), owner, title, None, NOW)


def test_a_query_sees_what_this_node_has_appended_for_the_principal(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        for count in range(1, 30):
            position = await append(store, new_chat(owner))
            page = await views.list_chats(owner, ListChats())
            assert page.total == count
            assert page.position >= position

    play(home, scenario)


def test_a_query_is_as_fresh_as_the_position_the_client_has_seen(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        position = await append(store, new_chat(uuid4()))
        page = await views.list_chats(uuid4(), ListChats(min_position=position))
        assert page.position >= position

    play(home, scenario)


def test_a_query_that_cannot_be_fresh_is_refused_never_stale(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner, chat = uuid4(), new_chat(uuid4())
        beyond = await append(store, chat) + 1
        for query in (
            views.list_chats(owner, ListChats(min_position=beyond)),
            views.chat(chat.state.owner, chat.id, beyond),
            views.list_messages(owner, ListMessages(chat_id=chat.id, min_position=beyond)),
            views.message(owner, chat.id, uuid4(), beyond),
            views.search(owner, SearchMessages(query="a", min_position=2**63 - 1)),
            views.usage(Principal(owner, "user", "a"), beyond),
            views.reply(uuid4(), beyond),
            views.wait(beyond, 0.01),
        ):
            with pytest.raises(ViewsBehind):
                await query

    play(home, scenario, timeout=SHORT / 10)


def test_one_who_waits_is_woken_by_the_append(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        waiting = asyncio.gather(*(views.wait(1, PATIENCE) for _ in range(10)))
        await asyncio.sleep(0)
        assert await append(store, new_chat(uuid4())) == 1
        await waiting
        assert views.position == 1
        assert await views.lag() == 0

    play(home, scenario)


def test_a_query_that_is_cancelled_leaves_the_next_ones_alone(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        await append(store, new_chat(owner))
        cancelled = [asyncio.create_task(views.list_chats(owner, ListChats())) for _ in range(20)]
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        behind = asyncio.create_task(views.wait(99, PATIENCE))
        await asyncio.sleep(0)
        behind.cancel()
        await asyncio.wait([*cancelled, behind])
        assert (await views.list_chats(owner, ListChats())).total == 1

    play(home, scenario)


def test_views_take_up_where_they_were(home: Home) -> None:
    owner = uuid4()

    async def first(store: SqlEventStore, views: SqlViews) -> None:
        await append(store, new_chat(owner))
        await views.wait(1, PATIENCE)

    async def between() -> None:
        async with opened_log(home) as store:
            await append(store, new_chat(owner))

    async def second(store: SqlEventStore, views: SqlViews) -> None:
        assert views.position == await store.head() == 2
        assert (await views.list_chats(owner, ListChats())).total == 2

    play(home, first)
    asyncio.run(between())
    play(home, second)
    assert home.generations() == ["1"]


def test_what_is_lost_is_built_anew_under_another_name(home: Home) -> None:
    owner = uuid4()

    async def first(store: SqlEventStore, _views: SqlViews) -> None:
        await append(store, new_chat(owner))

    async def second(store: SqlEventStore, views: SqlViews) -> None:
        assert (await views.list_chats(owner, ListChats())).total == 1
        assert await store.view_generations.live(VIEWS_VERSION) == "2"

    play(home, first)
    home.shelf.remove("1")
    if not home.shelf.shared:
        (home.folder / "views-1.db-wal").write_bytes(b"what a crash left")
    play(home, second)


def test_views_of_another_log_are_never_shown(home: Home) -> None:
    owner = uuid4()

    async def first(store: SqlEventStore, _views: SqlViews) -> None:
        await append(store, new_chat(owner))

    async def second(store: SqlEventStore, views: SqlViews) -> None:
        assert await store.view_generations.live(VIEWS_VERSION) == "2"
        (shown,) = (await views.list_chats(owner, ListChats())).chats
        assert shown.title == "A title"

    play(home, first)
    execute(home.place("1"), "UPDATE chats SET title = 'of another log'")
    execute(home.place("1"), "UPDATE checkpoint SET log_id = 'another'")
    play(home, second)


def test_views_that_are_ahead_of_the_log_are_never_shown(home: Home) -> None:
    """As after the log's folder was restored from an older copy."""

    async def first(store: SqlEventStore, _views: SqlViews) -> None:
        await append(store, new_chat(uuid4()))

    async def second(store: SqlEventStore, views: SqlViews) -> None:
        assert views.position == 1
        assert await store.view_generations.live(VIEWS_VERSION) == "2"

    play(home, first)
    execute(home.place("1"), "UPDATE checkpoint SET position = 7")
    play(home, second)


def test_the_runner_goes_on_when_its_engine_does(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        execute(home.place("1"), "ALTER TABLE chats RENAME TO away")
        position = await append(store, new_chat(owner))
        with pytest.raises(ViewsBehind):
            await views.list_chats(owner, ListChats())
        assert views.failures > 0
        assert await views.lag() == position
        execute(home.place("1"), "ALTER TABLE away RENAME TO chats")
        await views.wait(position, PATIENCE)
        assert (await views.list_chats(owner, ListChats())).total == 1
        assert views.set_aside == 0

    play(home, scenario, timeout=SHORT)


def test_two_processes_on_one_set_apply_each_event_once(home: Home) -> None:
    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        owner = uuid4()
        async with opened_views(home, store) as others:
            for _ in range(20):
                position = await append(store, new_chat(owner))
            await views.wait(position, PATIENCE)
            await others.wait(position, PATIENCE)
            assert (await others.list_chats(owner, ListChats())).total == 20
            assert views.set_aside == others.set_aside == 0

    play(home, scenario)


@pytest.mark.parametrize("seed", [1, 2])
def test_rebuilt_equals_live_and_both_say_what_the_aggregates_do(home: Home, seed: int) -> None:
    history = History(seed)

    async def scenario(store: SqlEventStore, views: SqlViews) -> None:
        for step in range(400):
            changed = history.step()
            if changed:
                position = await append(store, *changed)
            if step % 50 == 0:
                await views.wait(position, PATIENCE)
        await views.wait(position, PATIENCE)
        again = home.place("99")
        assert await rebuild_in(again, store) == position
        assert differing_tables(home.place("1"), again) == []
        assert views.set_aside == 0
        for chat in history.chats:
            await compare_chat(views, chat)
        for account in history.accounts.values():
            await compare_account(views, account)
        for owner in history.principals:
            page = await views.list_chats(owner, ListChats(limit=100))
            shown = [c.id for c in page.chats]
            assert len(shown) == page.total
            assert set(shown) == {
                chat.id
                for chat in history.chats
                if chat.state.owner == owner and not (chat.state.deleted or chat.state.archived)
            }

    play(home, scenario)


async def compare_chat(views: SqlViews, chat: Chat) -> None:
    owner, state = chat.state.owner, chat.state
    if state.deleted:
        with pytest.raises(ChatNotFound):
            await views.chat(owner, chat.id)
        return
    branch: list[UUID] = []
    leaf = state.leaf_id
    while leaf is not None:
        branch.insert(0, leaf)
        leaf = state.messages[leaf].parent_id
    view = (await views.chat(owner, chat.id)).chat
    assert view.message_count == len(branch)
    assert view.active_reply_id == (state.reply.reply_id if state.reply else None)
    page = await views.list_messages(owner, ListMessages(chat_id=chat.id, limit=200))
    assert [message.id for message in page.messages] == branch[-200:]
    for message in page.messages:
        node = state.messages[message.id]
        assert (message.status, message.parent_id) == (node.status, node.parent_id)
        assert message.versions == chat.versions(message.id)


async def compare_account(views: SqlViews, account: Usage) -> None:
    row = await views.usage(Principal(account.id, account.state.kind, "name"))
    if account.state.kind == "user":
        assert (row.balance, row.reserved, row.messages) == (
            *(
                f"{n / 10**9:.9f}".rstrip("0").rstrip(".")
                for n in (account.balance, account.reserved)
            ),
            account.state.messages,
        )
    else:
        window = account.window_end(NOW)
        assert row.used == (account.state.allowance_used if window else 0)


def test_sql_views_is_the_port(home: Home) -> None:
    async def scenario(_store: SqlEventStore, views: SqlViews) -> None:
        port: Views = views
        usage = await port.usage(Principal(uuid4(), "user", "a"), UsageInfo().min_position)
        assert usage.position == 0

    play(home, scenario)
