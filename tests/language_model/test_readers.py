"""Both ways to read an answer say the same of the same bytes."""

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from application.ports import Delta
from infrastructure.language_model import litellm_library
from infrastructure.language_model.bodies import AiohttpBody, Body, body_of
from infrastructure.language_model.readers import LitellmIteration, OpenAIBytes, Reader, reader_of
from tests.language_model.asking import KINDS, READ_BY_LITELLM, READ_IN_BYTES
from tests.upstream import Upstream


def test_plain_openai_is_read_in_bytes_and_others_by_litellm(upstream: Upstream) -> None:
    async def kinds() -> list[type[Reader]]:
        readers = [await _open(upstream, f"{kind}/echo", reader_of) for kind in KINDS]
        for reader in readers:
            await reader.aclose()
        await _close_connections()
        return [type(reader) for reader in readers]

    in_bytes = [OpenAIBytes] * len(READ_IN_BYTES)
    assert asyncio.run(kinds()) == in_bytes + [LitellmIteration] * len(READ_BY_LITELLM)


def test_what_litellm_sends_by_aiohttp_is_read_from_its_socket(upstream: Upstream) -> None:
    async def body() -> type[Body]:
        stream = await _stream(upstream, "openai/echo")
        opened = body_of(stream.completion_stream.http_response)
        await opened.aclose(drain=False)
        await _close_connections()
        return type(opened)

    assert asyncio.run(body()) is AiohttpBody


def test_what_came_before_the_body_is_let_go_of(upstream: Upstream) -> None:
    async def left() -> list[object]:
        stream = await _stream(upstream, "openai/stall-middle")
        response = stream.completion_stream.http_response
        sent_by = response.stream._stream._aiohttp_response
        heads = [response, response.request, sent_by.headers, sent_by.request_info.headers]
        kept = [weakref.ref(head) for head in heads]
        opened = body_of(response)
        del stream, response, sent_by, heads
        gc.collect()
        found: list[object] = [type(head) for ref in kept if (head := ref()) is not None]
        await opened.aclose(drain=False)
        await _close_connections()
        return found

    assert asyncio.run(left()) == []


class Read(msgspec.Struct, frozen=True):
    text: str
    reasoning: str
    finish_reason: str | None
    usage: tuple[object, object] | None


def _event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return f"data: {json.dumps(_chunk(choices, **more), ensure_ascii=False)}\n\n"


def _chunk(choices: list[Any], **more: Any) -> dict[str, Any]:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": choices, **more}


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
ROLE, DONE = _event({"role": "assistant", "content": None}), "data: [DONE]\n\n"
LAST = f"data: {json.dumps(_chunk([], usage=USAGE))}\n\n"
TOLD = _event({"content": "Hello "}) + _event({"content": "world"})
STOP = _event({}, "stop")

ANSWERS = {
    "plain": ROLE + TOLD + STOP + LAST + DONE,
    "crlf": (ROLE + TOLD + STOP + LAST + DONE).replace("\n", "\r\n"),
    "comments": ": hello\n\n" + ROLE + ": ping\n\n" + TOLD + ":\n\n" + STOP + LAST + DONE,
    "multi-line data": ROLE + TOLD.replace('"choices"', '\ndata: "choices"') + STOP + LAST + DONE,
    "line separators": ROLE + _event({"content": "a\u2028b\u0085c\x0cd"}) + STOP + LAST + DONE,
    "other scripts": ROLE + _event({"content": "سلام 漢字 😀"}) + STOP + LAST + DONE,
    "surrogates": ROLE
    + _event({"content": "a"}).replace('"a"', '"a\\ud83d"')
    + _event({"content": "b"}).replace('"b"', '"\\ude00b\\ude00c"')
    + STOP
    + LAST
    + DONE,
    "reasoning": ROLE + _event({"reasoning_content": "Hm."}) + TOLD + STOP + LAST + DONE,
    "no usage": ROLE + TOLD + STOP + DONE,
    "usage with the last choice": ROLE + TOLD + _event({}, "stop", usage=USAGE) + DONE,
    "null usage on the way": ROLE + TOLD + _event({}, "length", usage=None) + LAST + DONE,
    "text with the finish": ROLE + TOLD + _event({"content": "!"}, "stop") + LAST + DONE,
    "length": ROLE + TOLD + _event({}, "length") + LAST + DONE,
    "filtered": ROLE + TOLD + _event({}, "content_filter") + LAST + DONE,
    "an unknown finish": ROLE + TOLD + _event({}, "weird") + LAST + DONE,
    "nothing": ROLE + STOP + LAST + DONE,
    "no [DONE]": ROLE + TOLD + STOP + LAST,
    "cut": ROLE + TOLD,
}

TEXTS = {
    "line separators": "a\u2028b\u0085c\x0cd",
    "other scripts": "سلام 漢字 😀",
    "surrogates": "a😀b\ufffdc",
    "text with the finish": "Hello world!",
    "nothing": "",
}
LOST_BY_LITELLM = {"multi-line data", "line separators"}
"""It takes every line of httpx's for an event, and httpx ends lines at U+2028 as well."""


@pytest.mark.parametrize("name", ANSWERS)
def test_both_readers_say_the_same(upstream: Upstream, name: str) -> None:
    answer = ANSWERS[name].encode()
    upstream.script("whole", [answer])
    upstream.script("split", [answer[at : at + 61] for at in range(0, len(answer), 61)])

    async def read_all() -> tuple[Read, Read, Read]:
        try:
            return (
                await _read(upstream, "whole", reader_of),
                await _read(upstream, "split", reader_of),
                await _read(upstream, "whole", LitellmIteration),
            )
        finally:
            await _close_connections()

    in_bytes, in_split_bytes, by_litellm = asyncio.run(read_all())
    assert in_bytes == in_split_bytes
    assert (in_bytes == by_litellm) is (name not in LOST_BY_LITELLM)
    assert in_bytes.text == TEXTS.get(name, "Hello world")


async def _read(upstream: Upstream, model: str, read_by: Callable[[Any], Reader]) -> Read:
    reader = await _open(upstream, f"openai/{model}", read_by)
    deltas: list[Delta] = []
    due = asyncio.get_running_loop().time() + 30
    while (delta := await reader.read(due)) is not None:
        deltas.append(delta)
    deltas.append(reader.rest())
    await reader.aclose()
    return Read(
        "".join(delta.text for delta in deltas),
        "".join(delta.reasoning for delta in deltas),
        reader.finish_reason,
        reader.usage,
    )


async def _open(upstream: Upstream, model: str, read_by: Callable[[Any], Reader]) -> Reader:
    return read_by(await _stream(upstream, model))


async def _stream(upstream: Upstream, model: str) -> Any:
    base = upstream.url if model.startswith("anthropic/") else upstream.api_base
    litellm = await asyncio.to_thread(litellm_library.load)
    return await litellm.acompletion(
        model=model,
        api_base=base,
        api_key="none",
        messages=[{"role": "user", "content": "Good day"}],
        stream=True,
        stream_options={"include_usage": True},
    )


async def _close_connections() -> None:
    """A loop ends with its test."""
    await litellm_library.close(await asyncio.to_thread(litellm_library.load))
