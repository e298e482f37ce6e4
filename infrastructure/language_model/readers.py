"""Two ways to read an answer that litellm has opened; both yield the same.

litellm's own iteration knows every provider, and costs some 290 µs of CPU a token. Where litellm
takes the provider's protocol for plain OpenAI, the bytes of the response are read here, for some 30
(benchmarks/relay.py).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

import msgspec

from application.errors import ModelFailure
from application.ports import Delta
from infrastructure.language_model.bodies import Body, body_of
from infrastructure.language_model.failures import failure_in_stream
from infrastructure.language_model.sse import EventData, EventTooLong
from infrastructure.language_model.surrogates import Pairs

FINISH_REASONS = {"stop", "length", "content_filter", "tool_calls", "function_call"}
"""What an answer may end with; any other word of a provider's stands for `stop`."""


class Offered(Protocol):
    """Who takes what arrives at that very moment."""

    @property
    def ready(self) -> bool: ...

    def take(self, delta: Delta) -> float:
        """Only while it is ready. Returns the loop's time by which the next one must arrive."""
        ...


class Reader(Protocol):
    """An answer under way."""

    finish_reason: str | None
    """How it ended, once the provider has said so."""
    usage: tuple[object, object] | None
    """Prompt and completion tokens as the provider gave them, unchecked; None if it gave none."""

    async def read(self, due: float, offered: Offered | None = None) -> Delta | None:
        """Text or reasoning as it arrives; None at the end, also at one that came too early.

        What is taken by `offered` meanwhile is not returned; not every reader offers. Raises
        TimeoutError where nothing arrives before the loop's time `due`.
        """
        ...

    def rest(self) -> Delta:
        """Text or reasoning that was held back for a piece that never came."""
        ...

    async def aclose(self) -> None:
        """Close the connection upstream."""
        ...


def reader_of(stream: Any) -> Reader:
    """The cheapest reader that fits a stream from `litellm.acompletion`."""
    source = stream.completion_stream
    # Its subclasses, and other classes, are of those who speak it with an accent, or not at all.
    if type(source).__name__ == "OpenAIChatCompletionStreamingHandler":
        return OpenAIBytes(body_of(source.http_response))
    return LitellmIteration(stream)


class _ToldDelta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _ToldDelta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Any = None
    completion_tokens: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


DECODER = msgspec.json.Decoder(_Chunk)


class _Collected:
    """Text and reasoning since the last read, with surrogate pairs made whole."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: tuple[object, object] | None = None
        self._text = Pairs()
        self._reasoning = Pairs()

    def delta(self, text: str, reasoning: str) -> Delta | None:
        """None where nothing is left to tell of it."""
        text = self._text.join(text) if text else ""
        reasoning = self._reasoning.join(reasoning) if reasoning else ""
        return Delta(text, reasoning) if text or reasoning else None

    def rest(self) -> Delta:
        return Delta(text=self._text.end(), reasoning=self._reasoning.end())

    def finish(self, reason: str) -> None:
        self.finish_reason = reason if reason in FINISH_REASONS else "stop"


class OpenAIBytes(_Collected):
    """Reads the bytes of a response; what came in one write is one Delta."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._body = body
        self._events = EventData()
        self._over = False
        self._failure: ModelFailure | None = None

    async def read(self, due: float, offered: Offered | None = None) -> Delta | None:
        at_once = partial(self._offer, offered) if offered else None
        while (delta := self._next()) is None and not self._over:
            await self._body.more(due, at_once)
        if delta is None and self._failure:
            raise self._failure
        return delta

    def _offer(self, offered: Offered) -> float | None:
        """Give away what has come; None where somebody must look at what is left, or at the end."""
        due = None
        while offered.ready:
            if (delta := self._next()) is None:
                return None if self._over else due
            due = offered.take(delta)
        return None

    def _next(self) -> Delta | None:
        """Of what has come, without waiting."""
        while not self._over:
            received = self._body.receive_nowait()
            if not received and not self._body.at_end:
                return None
            try:
                events = self._events.feed(received) if received else self._events.end()
            except EventTooLong as error:
                raise ModelFailure("PROVIDER_ERROR", "EventTooLong") from error
            self._over = not received
            if (delta := self._take(events)) is not None:
                return delta
        return None

    async def aclose(self) -> None:
        await self._body.aclose(drain=self._over and not self._failure)

    def _take(self, events: list[bytes]) -> Delta | None:
        text: list[str] = []
        reasoning: list[str] = []
        for event in events:
            if event == b"[DONE]":
                self._over = True
                self.finish_reason = self.finish_reason or "stop"
                break
            try:
                self._take_chunk(self._decode(event), text, reasoning)
            except ModelFailure as failure:
                # What came before it in the same write is delivered first.
                self._over, self._failure = True, failure
                break
        return self.delta("".join(text), "".join(reasoning))

    def _take_chunk(self, chunk: _Chunk, text: list[str], reasoning: list[str]) -> None:
        if chunk.error:
            raise failure_in_stream(chunk.error)
        if chunk.usage:
            self.usage = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.finish(choice.finish_reason)
        if choice.delta is None:
            return
        if choice.delta.content:
            text.append(choice.delta.content)
        if thought := choice.delta.reasoning_content or choice.delta.reasoning:
            reasoning.append(thought)

    def _decode(self, event: bytes) -> _Chunk:
        try:
            return DECODER.decode(event)
        except (msgspec.DecodeError, RecursionError):
            return self._decode_leniently(event)

    def _decode_leniently(self, event: bytes) -> _Chunk:
        """Lone surrogates and broken UTF-8, which msgspec rejects, are no reason to end here."""
        try:
            return msgspec.convert(json.loads(event.decode("utf-8", "replace")), _Chunk)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            raise ModelFailure("PROVIDER_ERROR", type(error).__name__) from None


class LitellmIteration(_Collected):
    """litellm's own chunks, without what it makes up where a provider is silent."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._chunks: AsyncIterator[Any] = aiter(stream)

    async def read(self, due: float, offered: Offered | None = None) -> Delta | None:
        async with asyncio.timeout_at(due):
            async for chunk in self._chunks:
                if (delta := self._take(chunk)) is not None:
                    return delta
        return None

    def _take(self, chunk: Any) -> Delta | None:
        usage = getattr(chunk, "usage", None)
        if usage is not None and self._has_provider_usage():
            self.usage = usage.prompt_tokens, usage.completion_tokens
        # litellm says "stop" at the end of a stream that was cut, too.
        if self._stream.received_finish_reason:
            self.finish(self._stream.received_finish_reason)
        if not chunk.choices:
            return None
        told = chunk.choices[0].delta
        text = getattr(told, "content", None) or ""
        return self.delta(text, getattr(told, "reasoning_content", None) or "")

    async def aclose(self) -> None:
        """Closes what each kind of provider keeps open; litellm's own close misses some."""
        source: Any = self._stream.completion_stream
        for part in ("response", "http_response", "streaming_response"):
            opened: Any = getattr(source, part, None)
            if hasattr(opened, "aclose"):
                await opened.aclose()
        await self._stream.aclose()

    def _has_provider_usage(self) -> bool:
        """litellm counts tokens itself where no chunk told any, and does not say so."""
        return any(getattr(chunk, "usage", None) is not None for chunk in self._stream.chunks)
