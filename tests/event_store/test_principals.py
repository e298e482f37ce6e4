"""Names to random ids and back, and whose each stream is."""

import asyncio
from uuid import uuid4

from sqlalchemy import delete, func, insert, select

from application.ports import EventStore, Principal, Principals
from infrastructure.database import sync_writer_engine
from infrastructure.event_store.schema import erasures, principals
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import NOW, SetClock, append_of, new_account, new_chat, opened, run


def test_a_principal_is_made_known_on_first_sight(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        assert await store.principals.find("user", "alice") is None
        alice = await store.principals.resolve("user", "alice")
        assert (alice.kind, alice.name) == ("user", "alice")
        assert await store.principals.resolve("user", "alice") == alice
        assert await store.principals.find("user", "alice") == alice
        assert await store.principals.name_of(alice.id) == alice
        assert await store.principals.name_of(uuid4()) is None

    run(url, scenario)


def test_a_user_and_an_anonymous_id_of_one_name_are_two(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        user = await store.principals.resolve("user", "same-name")
        anonymous = await store.principals.resolve("anonymous", "same-name")
        assert user.id != anonymous.id

    run(url, scenario)


def test_a_principal_outlives_the_process(url: str) -> None:
    async def first() -> Principal:
        async with opened(url) as store:
            return await store.principals.resolve("user", "alice")

    async def later() -> tuple[Principal, Principal | None]:
        async with opened(url) as store:
            alice = await store.principals.resolve("user", "alice")
            return alice, await store.principals.name_of(alice.id)

    alice = asyncio.run(first())
    assert asyncio.run(later()) == (alice, alice)


def test_many_first_sights_at_once_are_one_principal(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        async with opened(url) as other:
            seen = await asyncio.gather(
                *(each.principals.resolve("user", "bob") for each in [store, other] * 10)
            )
        assert len(set(seen)) == 1

    run(url, scenario)
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(principals)) == 1
    engine.dispose()


def test_a_name_that_is_asked_for_during_an_erasure_is_somebody_elses_after_it(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        alice = await store.principals.resolve("user", "alice")
        engine = sync_writer_engine(url)
        async with opened(url) as other:
            with engine.begin() as connection:
                connection.execute(insert(erasures).values(principal=alice.id, begun_at=0))
            assert await other.principals.resolve("user", "alice") == alice
            with engine.begin() as connection:
                connection.execute(delete(principals))
            assert await other.principals.resolve("user", "alice") != alice
        engine.dispose()

    run(url, scenario)


def test_the_owner_of_a_stream_is_known_and_moves_with_a_claim(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        anonymous, user = uuid4(), uuid4()
        chat, account = new_chat(anonymous), new_account(user)
        assert await store.principals.owner_of(chat.id) is None
        await store.append(append_of(chat, account))
        assert await store.principals.owner_of(chat.id) == anonymous
        assert await store.principals.owner_of(account.id) == user
        chat.claim(user, NOW)
        await store.append(append_of(chat))
        assert await store.principals.owner_of(chat.id) == user

    run(url, scenario)


def test_the_owner_is_read_from_the_database_by_other_stores(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        owner = uuid4()
        chat = new_chat(owner)
        await store.append(append_of(chat))
        async with opened(url) as other:
            assert await other.principals.owner_of(chat.id) == owner

    run(url, scenario)


def test_a_claim_in_another_store_is_noticed_in_the_log(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        owner, claimant = uuid4(), uuid4()
        chat = new_chat(owner)
        await store.append(append_of(chat))
        async with opened(url) as other:
            assert await other.principals.owner_of(chat.id) == owner
            chat.claim(claimant, NOW)
            await store.append(append_of(chat))
            await other.read_all(1, 10)
            assert await other.principals.owner_of(chat.id) == claimant

    run(url, scenario)


def test_created_and_claimed_in_one_append_belongs_to_the_claimant(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat, claimant = new_chat(), uuid4()
        chat.claim(claimant, NOW)
        await store.append(append_of(chat))
        async with opened(url) as other:
            assert await other.principals.owner_of(chat.id) == claimant

    run(url, scenario)


def test_the_store_speaks_the_applications_ports(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        event_store: EventStore = store
        known: Principals = store.principals
        assert await event_store.head() == 0
        assert await known.find("user", "nobody") is None

    run(url, scenario)
