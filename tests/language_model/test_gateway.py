"""What a reply may rely on, whatever the provider does. litellm's real client code runs here."""

import asyncio
import gc
import logging
import socket
import struct
import sys
import time
import warnings
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import pytest

from application.errors import FailureCode, ModelNotFound
from application.ports import Delta, ModelSpec, ProviderUsage
from domain.usage import Price
from infrastructure.language_model.catalogue import Catalogue, Route
from infrastructure.language_model.gateway import LitellmGateway
from tests.language_model.asking import KINDS, Answer, ask, gateway, prompt
from tests.upstream import SECRET, Upstream


def _ask(upstream: Upstream, *models: str, **times: float) -> Answer:
    return asyncio.run(ask(gateway(upstream, *models, **times), prompt(models[0])))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_arrives_whole(upstream: Upstream, kind: str) -> None:
    answer = _ask(upstream, f"{kind}/echo")
    assert answer.failure is None
    assert answer.text == "Good day to you"
    assert answer.last.finish_reason == "stop"
    assert [delta.finish_reason for delta in answer.deltas[:-1]] == [None] * (
        len(answer.deltas) - 1
    )


def test_the_first_and_the_last_delta_say_who_answers(upstream: Upstream) -> None:
    models = [delta.model for delta in _ask(upstream, "groq/tokens-5").deltas]
    assert models == ["groq/tokens-5", None, None, None, None, "groq/tokens-5"]


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_the_providers_usage_comes_with_the_end(upstream: Upstream, kind: str) -> None:
    usage = _ask(upstream, f"{kind}/tokens-7").last.usage
    assert usage is not None
    assert usage.completion_tokens == 7


@pytest.mark.parametrize("kind", ["openai", "groq"])
@pytest.mark.parametrize("script", ["no-usage", "negative-usage", "absurd-usage"])
def test_usage_is_none_rather_than_made_up(upstream: Upstream, kind: str, script: str) -> None:
    last = _ask(upstream, f"{kind}/{script}").last
    assert (last.finish_reason, last.usage) == ("stop", None)


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_what_cannot_be_utf8_is_replaced(upstream: Upstream, kind: str) -> None:
    assert _ask(upstream, f"{kind}/surrogate").text == "a\ufffdbpair 😀 end"


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_reasoning_is_told_apart(upstream: Upstream, kind: str) -> None:
    answer = _ask(upstream, f"{kind}/reasoning")
    assert (answer.reasoning, answer.text) == ("Hm, well.", "Good day to you")


def test_the_request_says_all_that_bounds_it(upstream: Upstream) -> None:
    _ask(upstream, "openai/echo")
    body = upstream.bodies[-1]
    assert body["max_tokens"] == 50
    assert body["stream_options"] == {"include_usage": True}
    assert body["messages"] == [{"role": "user", "content": "Good day to you"}]


def test_max_tokens_never_exceeds_the_models_own(upstream: Upstream) -> None:
    asked = prompt("openai/echo", max_tokens=10_000)
    asyncio.run(ask(gateway(upstream, "openai/echo"), asked))
    assert upstream.bodies[-1]["max_tokens"] == 400


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("cut", "PROVIDER_ERROR", "One two "),
        ("cut-clean", "PROVIDER_ERROR", "One two "),
        ("midstream-error", "PROVIDER_ERROR", "One "),
        ("refuse-500", "PROVIDER_ERROR", ""),
        ("refuse-401", "PROVIDER_ERROR", ""),
        ("refuse-404", "PROVIDER_ERROR", ""),
        ("refuse-504", "PROVIDER_TIMEOUT", ""),
        ("rate-limited-429", "PROVIDER_RATE_LIMITED", ""),
        ("context-too-long", "CONTEXT_TOO_LONG", ""),
        ("context-overflow", "CONTEXT_TOO_LONG", ""),
        ("content-filter", "CONTENT_FILTERED", ""),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_a_fault_has_the_code_of_its_cause(
    upstream: Upstream,
    kind: str,
    script: str,
    code: FailureCode,
    text: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = _ask(upstream, f"{kind}/{script}")
    assert answer.failure is not None
    assert answer.failure.code == code
    assert answer.text == text
    assert upstream.calls == 1
    printed = capfd.readouterr()
    for words in (str(answer.failure), caplog.text, printed.out, printed.err):
        assert SECRET not in words


def test_broken_json_ends_the_reply_after_what_came_before(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/malformed")
    assert answer.failure is not None
    assert (answer.failure.code, answer.text) == ("PROVIDER_ERROR", "One ")


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"delta":{"content":5},"finish_reason":{}}]}',
        b'{"choices":"none"}',
        b"[" * 100_000,
        b"5",
        b"\xff\xfe",
    ],
)
def test_json_of_another_shape_is_a_provider_error(upstream: Upstream, data: bytes) -> None:
    upstream.script("odd", [b"data: " + data + b"\n\n", b"data: [DONE]\n\n"])
    answer = _ask(upstream, "openai/odd")
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_ERROR"


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_a_provider_that_is_not_there_is_a_provider_error(kind: str) -> None:
    with Upstream() as gone:
        pass
    answer = _ask(gone, f"{kind}/echo")
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_ERROR"


def test_a_filter_that_strikes_late_ends_the_answer_normally(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/content-filter-late")
    assert answer.failure is None
    assert (answer.text, answer.last.finish_reason) == ("One two ", "content_filter")


def test_an_unknown_model_is_refused(upstream: Upstream) -> None:
    with pytest.raises(ModelNotFound):
        asyncio.run(ask(gateway(upstream, "openai/echo"), prompt("openai/other")))


def test_a_prompt_is_let_go_of_once_it_is_answered(upstream: Upstream) -> None:
    async def held_by() -> tuple[int, int]:
        asked = gateway(upstream, "openai/tokens-5-at-20")
        whole = prompt("openai/tokens-5-at-20", "".join(["Good ", "day"]))
        text = whole.messages[-1].content
        deltas = asked.reply(whole)
        del whole
        before = sys.getrefcount(text)
        await anext(deltas)
        await anext(deltas)
        gc.collect()
        after = sys.getrefcount(text)
        await deltas.aclose()
        await asked.aclose()
        return before, after

    before, after = asyncio.run(held_by())
    assert after == before - 1


# Deadlines


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
@pytest.mark.parametrize(
    ("script", "times", "text"),
    [
        ("stall-first", {"first_token_timeout": 0.3}, ""),
        ("stall-middle", {"token_timeout": 0.3}, "One two "),
        ("stall-middle", {"reply_timeout": 0.6}, "One two "),
        ("stall-first", {"reply_timeout": 0.3}, ""),
    ],
)
def test_a_deadline_ends_the_reply_and_the_call(
    upstream: Upstream, kind: str, script: str, times: dict[str, float], text: str
) -> None:
    _ask(upstream, f"{kind}/echo")
    begun = time.monotonic()
    answer = _ask(upstream, f"{kind}/{script}", **times)
    assert time.monotonic() - begun < 2
    assert answer.failure is not None
    assert (answer.failure.code, answer.text) == ("PROVIDER_TIMEOUT", text)
    assert upstream.wait_closed(1, timeout=1)


def test_the_whole_has_a_deadline_however_steady_the_tokens(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/tokens-1000-at-100", token_timeout=0.5, reply_timeout=0.7)
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_TIMEOUT"
    assert len(answer.deltas) > 5


def test_keepalives_are_no_tokens(upstream: Upstream) -> None:
    upstream.script("pings", [b": ping\n\n"] * 1000)
    answer = _ask(upstream, "openai/pings", first_token_timeout=0.3)
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_TIMEOUT"


def test_a_slow_reader_is_not_a_slow_provider(upstream: Upstream) -> None:
    async def read_slowly() -> str:
        asked = gateway(upstream, "openai/tokens-3-at-20", token_timeout=0.3)
        text = ""
        async with aclosing(asked.reply(prompt("openai/tokens-3-at-20"))) as deltas:
            async for delta in deltas:
                text += delta.text
                await asyncio.sleep(0.5)
        await asked.aclose()
        return text

    assert asyncio.run(read_slowly()) == "t0 t1 t2 "


@pytest.mark.parametrize("kind", ["openai", "groq"])
def test_what_is_read_in_bytes_is_taken_at_once_but_for_the_first(
    upstream: Upstream, kind: str
) -> None:
    answer = _ask(upstream, f"{kind}/tokens-20-at-100")
    assert answer.text == "".join(f"t{number} " for number in range(20))
    waited_for = len(answer.deltas) - answer.taken
    if kind == "openai":
        assert (answer.deltas[0].text, waited_for) == ("t0 ", 2), "the first, and how it ended"
    else:
        assert answer.taken == 0


def test_who_is_not_ready_has_all_of_it_yielded_in_its_order(upstream: Upstream) -> None:
    async def read() -> Answer:
        asked, answer = gateway(upstream, "openai/tokens-40-at-100"), Answer([])
        async with aclosing(asked.reply(prompt("openai/tokens-40-at-100"), answer)) as deltas:
            async for delta in deltas:
                answer.deltas.append(delta)
                answer.ready = not answer.ready
        await asked.aclose()
        return answer

    answer = asyncio.run(read())
    assert answer.text == "".join(f"t{number} " for number in range(40))
    assert 0 < answer.taken < len(answer.deltas) - 2


def test_an_answer_that_said_how_it_ended_is_whole_without_its_usage(upstream: Upstream) -> None:
    finish = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    upstream.script("dawdle", [finish] + [b": ping\n\n"] * 1000)
    answer = _ask(upstream, "openai/dawdle", token_timeout=0.3)
    assert answer.failure is None
    assert (answer.text, answer.last.finish_reason, answer.last.usage) == ("Hi", "stop", None)


# Closing


@pytest.mark.parametrize("kind", KINDS)
def test_closing_the_iterator_closes_the_call(upstream: Upstream, kind: str) -> None:
    async def close_early() -> bool:
        model = f"{kind}/stall-middle"
        asked = gateway(upstream, model)
        deltas = asked.reply(prompt(model))
        await anext(deltas)
        await deltas.aclose()
        closed = await asyncio.to_thread(upstream.wait_closed, 1, 1.0)
        await asked.aclose()
        return closed

    assert asyncio.run(close_early())


@pytest.mark.parametrize("script", ["stall-first", "stall-middle"])
@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_cancelling_the_reader_closes_the_call(upstream: Upstream, kind: str, script: str) -> None:
    async def cancel() -> bool:
        asked = gateway(upstream, f"{kind}/{script}")
        reading = asyncio.create_task(_drain(asked.reply(prompt(f"{kind}/{script}"))))
        assert await asyncio.to_thread(upstream.wait_calls, 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        closed = await asyncio.to_thread(upstream.wait_closed, 1, 1.0)
        await asked.aclose()
        return closed

    assert asyncio.run(cancel())


async def _drain(deltas: AsyncGenerator[Delta, None]) -> None:
    async with aclosing(deltas) as closing:
        async for _ in closing:
            pass


@pytest.mark.parametrize("kind", ["openai", "groq"])
def test_a_whole_answer_leaves_its_connection_to_the_next(upstream: Upstream, kind: str) -> None:
    async def ask_often() -> None:
        asked = gateway(upstream, f"{kind}/echo")
        for _ in range(4):
            async with aclosing(asked.reply(prompt(f"{kind}/echo"))) as deltas:
                assert [delta async for delta in deltas]
        await asked.aclose()

    asyncio.run(ask_often())
    assert upstream.stats()["connections"] == 1


@pytest.mark.parametrize("kind", ["openai", "groq"])
def test_a_connection_that_its_server_may_be_closing_is_not_used(
    upstream: Upstream, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask_after(*pauses: float) -> None:
        asked = gateway(upstream, f"{kind}/echo")
        now = time.monotonic()
        for pause in pauses:
            now += pause
            monkeypatch.setattr("aiohttp.connector.monotonic", lambda now=now: now)
            async with aclosing(asked.reply(prompt(f"{kind}/echo"))) as deltas:
                assert [delta async for delta in deltas]
        await asked.aclose()

    asyncio.run(ask_after(0, 3, 3))
    assert upstream.stats()["connections"] == 1
    asyncio.run(ask_after(0, 4.5))
    assert upstream.stats()["connections"] == 3


@pytest.mark.parametrize("kind", ["openai", "groq", "anthropic"])
def test_a_long_error_holds_nobody_up(litellm_loaded: None, kind: str) -> None:
    told = b'{"error": {"message": "maximum context length", "code": "context_length_exceeded"}}'
    body = told + b" ," * 1_500_000
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):  # who has read enough leaves
            writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async def failed() -> str | None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            asked = _gateway_to(base, kind)
            failure = (await ask(asked, prompt(kind))).failure
        return failure.code if failure else None

    begun = time.process_time()
    assert asyncio.run(failed()) == "CONTEXT_TOO_LONG"
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_whose_connection_breaks_is_not_sent_again(
    litellm_loaded: None, kind: str
) -> None:
    async def count_requests() -> tuple[int, str | None]:
        requests = 0

        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()

        async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            asked = _gateway_to(base, kind)
            failure = (await ask(asked, prompt(kind))).failure
        return requests, failure.code if failure else None

    assert asyncio.run(count_requests()) == (1, "PROVIDER_ERROR")


def _gateway_to(base: str, kind: str) -> LitellmGateway:
    """To a server of the test's own."""
    spec = ModelSpec(kind, kind, 8000, 400, Price(1, 1, "models.toml"))
    route = Route(spec, f"{kind}/model", lambda: base, lambda: "sk-ours")
    return LitellmGateway(
        Catalogue(kind, [route]), first_token_timeout=20, token_timeout=20, reply_timeout=30
    )


# Fallbacks


def test_a_fallback_answers_where_the_first_model_fails(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/refuse-500", "groq/rate-limited-429", "openai/echo")
    assert answer.failure is None
    assert answer.text == "Good day to you"
    assert {answer.deltas[0].model, answer.last.model} == {"openai/echo"}
    assert upstream.calls == 3


def test_a_fallback_answers_where_the_first_model_is_silent(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/stall-first", "openai/echo", first_token_timeout=0.3)
    assert answer.text == "Good day to you"
    assert upstream.wait_closed(1, timeout=1)


def test_nothing_is_tried_again_after_the_first_token(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/cut", "openai/echo")
    assert answer.failure is not None
    assert (answer.text, upstream.calls) == ("One two ", 1)


@pytest.mark.parametrize("script", ["context-too-long", "content-filter"])
def test_a_fault_of_the_prompt_is_not_tried_elsewhere(upstream: Upstream, script: str) -> None:
    answer = _ask(upstream, f"openai/{script}", "openai/echo")
    assert answer.failure is not None
    assert upstream.calls == 1


def test_the_last_fallbacks_failure_is_told(upstream: Upstream) -> None:
    answer = _ask(upstream, "openai/refuse-500", "openai/rate-limited-429")
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_RATE_LIMITED"


def test_the_whole_deadline_spans_the_fallbacks(upstream: Upstream) -> None:
    begun = time.monotonic()
    answer = _ask(
        upstream,
        *("openai/stall-first", "openai/stall-middle", "openai/echo"),
        first_token_timeout=0.3,
        reply_timeout=0.8,
    )
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_TIMEOUT"
    assert time.monotonic() - begun < 2


# Loading


def test_it_is_ready_once_warm(upstream: Upstream) -> None:
    async def warm_up() -> tuple[bool, bool, Answer]:
        asked = gateway(upstream, "openai/echo")
        before = asked.ready
        await asked.warm_up()
        return before, asked.ready, await ask(asked, prompt("openai/echo"))

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        before, after, answer = asyncio.run(warm_up())
    assert (before, after) == (False, True)
    assert answer.last.usage == ProviderUsage(4, 4)
