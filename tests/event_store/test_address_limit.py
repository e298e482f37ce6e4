"""The limit of a client address, counted in the append's own transaction."""

import asyncio

import pytest

from application.errors import AddressLimitReached, VersionConflict
from application.ports import AddressUse, Append
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import META, NOW, SetClock, append_of, new_account, new_chat, run

ENDS = NOW.timestamp() + 60


def using(limit: int = 2, window_ends: float = ENDS, address: bytes = b"address") -> Append:
    use = AddressUse(address, limit, window_ends)
    return Append(aggregates=[new_chat()], meta=META, address_use=use)


def refunding(address: bytes = b"address") -> Append:
    return Append(aggregates=[new_chat()], meta=META, address_refund=address)


def test_an_address_has_so_many_messages_in_a_window(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        await store.append(using())
        await store.append(using(window_ends=ENDS + 1000))
        with pytest.raises(AddressLimitReached) as refused:
            await store.append(using(window_ends=ENDS + 1000))
        assert (refused.value.limit, refused.value.used) == (2, 2)
        assert refused.value.resets_at == ENDS
        assert await store.head() == 2
        assert await store.append(using(address=b"another")) == 3

    run(url, scenario)


def test_many_at_once_get_no_more_than_the_limit(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        outcomes = await asyncio.gather(
            *(store.append(using(limit=5)) for _ in range(20)), return_exceptions=True
        )
        assert outcomes[:5] == [1, 2, 3, 4, 5]
        assert all(isinstance(each, AddressLimitReached) for each in outcomes[5:])

    run(url, scenario)


def test_a_window_that_has_ended_begins_anew(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        await store.append(using(limit=1))
        clock.advance(seconds=60)
        await store.append(using(limit=1, window_ends=ENDS + 60))
        with pytest.raises(AddressLimitReached) as refused:
            await store.append(using(limit=1))
        assert refused.value.resets_at == ENDS + 60

    run(url, scenario)


def test_a_message_is_given_back_within_its_window(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        await store.append(using(limit=1))
        await store.append(refunding())
        await store.append(using(limit=1))
        with pytest.raises(AddressLimitReached):
            await store.append(using(limit=1))

    run(url, scenario)


def test_no_more_is_given_back_than_was_used(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        await store.append(refunding())
        await store.append(using(limit=1))
        for _ in range(3):
            await store.append(refunding())
        await store.append(using(limit=1))
        with pytest.raises(AddressLimitReached):
            await store.append(using(limit=1))

    run(url, scenario)


def test_nothing_is_given_back_into_a_later_window(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        await store.append(using(limit=1))
        clock.advance(seconds=60)
        await store.append(refunding())
        await store.append(using(limit=1, window_ends=ENDS + 60))
        with pytest.raises(AddressLimitReached):
            await store.append(using(limit=1))

    run(url, scenario)


def test_a_limit_of_none_refuses_the_first(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        with pytest.raises(AddressLimitReached) as refused:
            await store.append(using(limit=0))
        assert (refused.value.used, refused.value.resets_at) == (0, ENDS)

    run(url, scenario)


def test_a_refused_append_uses_nothing_up(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        account = new_account()
        await store.append(append_of(account))
        use = AddressUse(b"address", 1, ENDS)
        with pytest.raises(VersionConflict):
            await store.append(
                Append(aggregates=[new_account(account.id)], meta=META, address_use=use)
            )
        assert await store.append(using(limit=1)) == 3

    run(url, scenario)
