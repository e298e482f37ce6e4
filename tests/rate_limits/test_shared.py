"""Limits that nodes share, and what becomes of them while Valkey is away."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest
from valkey import Valkey as Client

from application.errors import ConfigurationError, RateLimited
from application.ports import Caller, Principal
from infrastructure.rate_limits import CountedRates
from infrastructure.rate_windows import ANSWERS_WITHIN, SharedWindows
from tests.engines import Valkey


def caller() -> Caller:
    principal = Principal(uuid4(), "user", "somebody")
    return Caller(principal=principal, address="192.0.2.1", correlation=UUID(int=1))


def run(url: str, scenario: Callable[[CountedRates, CountedRates], Awaitable[None]]) -> None:
    """Two nodes of one log that allow three sends a minute."""

    async def play() -> None:
        log_id = str(uuid4())
        async with AsyncExitStack() as closing:
            nodes = [CountedRates(SharedWindows(url, log_id), sends=3) for _ in range(2)]
            for node in nodes:
                closing.push_async_callback(node.aclose)
            await scenario(*nodes)

    asyncio.run(play())


def test_forgotten_windows_begin_anew_on_all_nodes(valkey: Valkey) -> None:
    async def play() -> None:
        log_id = str(uuid4())
        one, other = SharedWindows(valkey.url, log_id), SharedWindows(valkey.url, log_id)
        assert [await each.incr("key", 60) for each in (one, other, one)] == [1, 2, 3]
        assert await one.reset() == 1
        assert await other.incr("key", 60) == 1
        await one.aclose()
        await other.aclose()

    asyncio.run(play())


def test_what_one_node_counts_is_counted_for_all(valkey: Valkey) -> None:
    async def scenario(one: CountedRates, other: CountedRates) -> None:
        alice, bob = caller(), caller()
        await one.spend("send", alice)
        await other.spend("send", alice)
        await one.spend("send", alice)
        for node in (one, other):
            with pytest.raises(RateLimited) as refusal:
                await node.spend("send", alice)
            assert 50 < refusal.value.retry_after <= 60
        await other.spend("send", bob)

    run(valkey.url, scenario)


def test_logs_that_share_a_server_count_apart(valkey: Valkey) -> None:
    async def play() -> None:
        alice = caller()
        for log_id in ("one", "other"):
            node = CountedRates(SharedWindows(valkey.url, log_id), sends=1)
            await node.spend("send", alice)
            await node.aclose()

    asyncio.run(play())


def test_a_window_goes_with_its_minute(valkey: Valkey) -> None:
    async def scenario(one: CountedRates, _: CountedRates) -> None:
        alice = caller()
        await one.spend("send", alice)
        with Client.from_url(valkey.url) as client:
            (key,) = client.keys(f"dabir:*:rate:*{alice.principal.id.hex}*")
            assert 50 < client.ttl(key) <= 60

    run(valkey.url, scenario)


def test_while_valkey_is_gone_each_node_goes_on_from_what_it_has_seen(
    mortal_valkey: Valkey,
) -> None:
    async def scenario(one: CountedRates, other: CountedRates) -> None:
        alice, bob = caller(), caller()
        await one.spend("send", alice)
        await one.spend("send", alice)
        mortal_valkey.kill()
        await one.spend("send", alice)
        with pytest.raises(RateLimited):
            await one.spend("send", alice)
        for _ in range(3):
            await other.spend("send", alice)
        mortal_valkey.restart()
        await shared_again(one, other)
        # The server came back empty, so all have a new window there.
        for _ in range(3):
            await one.spend("send", bob)
        with pytest.raises(RateLimited):
            await other.spend("send", bob)

    run(mortal_valkey.url, scenario)


async def shared_again(*nodes: CountedRates) -> None:
    """Until each of them counts in Valkey, by people who do nothing else."""
    async with asyncio.timeout(20):
        for node in nodes:
            while not await node.shared():
                await node.spend("send", caller())
                await asyncio.sleep(0.02)


def test_a_server_that_says_nothing_costs_one_short_wait() -> None:
    async def scenario(one: CountedRates, __: CountedRates) -> None:
        began = time.monotonic()
        await one.spend("send", caller())
        first = time.monotonic() - began
        for _ in range(50):
            await one.spend("send", caller())
        further = time.monotonic() - began - first
        assert first >= ANSWERS_WITHIN
        assert further < 10 * ANSWERS_WITHIN  # had each waited, it would be 50 times

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        run(f"valkey://127.0.0.1:{silent.getsockname()[1]}", scenario)


@pytest.mark.parametrize("url", ["http://secret@host", "valkey://:secret@host/?socket_timeout=x"])
def test_a_bad_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SharedWindows(url, "log")
    assert "secret" not in str(refusal.value)
