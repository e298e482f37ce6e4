"""The threads of queries: each call gets its own answer, and the end waits for all."""

import asyncio
from functools import partial
from threading import Event, current_thread

import pytest

from infrastructure.projections.readers import Readers

WITHIN = 30.0
"""Seconds; reached only where something is wrong."""


def failing() -> None:
    raise LookupError("not there")


def test_each_caller_gets_what_its_call_returns_or_raises() -> None:
    async def scenario() -> None:
        readers = Readers(2, "reader")
        answers = await asyncio.gather(
            *(readers.run(partial(int, str(number))) for number in range(100)),
            readers.run(failing),
            readers.run(lambda: current_thread().name),
            return_exceptions=True,
        )
        assert answers[:100] == list(range(100))
        assert isinstance(answers[100], LookupError)
        assert str(answers[101]).startswith("reader-")
        await readers.close()

    asyncio.run(scenario())


def test_one_who_is_cancelled_leaves_the_thread_to_the_others() -> None:
    async def scenario() -> None:
        readers, going_on = Readers(1, "reader"), Event()
        given_up = asyncio.create_task(readers.run(lambda: going_on.wait(WITHIN)))
        next_one = asyncio.create_task(readers.run(lambda: "next"))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        going_on.set()
        assert await next_one == "next"
        await readers.close()

    asyncio.run(scenario())


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    async def scenario() -> None:
        readers, going_on = Readers(1, "reader"), Event()
        begun: list[int] = []
        first = asyncio.create_task(readers.run(lambda: going_on.wait(WITHIN)))
        given_up = [
            asyncio.create_task(readers.run(partial(begun.append, number))) for number in range(9)
        ]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.wait(given_up)
        going_on.set()
        assert await first
        await readers.close()
        assert begun == []

    asyncio.run(scenario())


def test_the_end_comes_after_what_was_asked_before() -> None:
    async def scenario() -> None:
        readers, going_on = Readers(1, "reader"), Event()
        asked = [
            asyncio.create_task(readers.run(lambda: going_on.wait(WITHIN))),
            asyncio.create_task(readers.run(lambda: True)),
        ]
        await asyncio.sleep(0)
        closing = asyncio.create_task(readers.close())
        going_on.set()
        await closing
        assert await asyncio.gather(*asked) == [True, True]

    asyncio.run(scenario())


def test_who_comes_after_the_end_is_refused() -> None:
    async def scenario() -> None:
        readers, going_on = Readers(1, "reader"), Event()
        before = asyncio.create_task(readers.run(lambda: going_on.wait(WITHIN)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(readers.close())
        await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(RuntimeError, match="closed"):
                await readers.run(lambda: True)
        going_on.set()
        await closing
        assert await before

    asyncio.run(scenario())
