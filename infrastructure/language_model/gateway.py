"""The port to language models: litellm opens an answer; what follows is ours, deadlines and all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from application.errors import ModelFailure
from application.ports import Delta, Prompt, PromptMessage, Taker
from infrastructure.language_model import litellm_library, tokens
from infrastructure.language_model.catalogue import Catalogue, Route
from infrastructure.language_model.failures import faults_as_failures
from infrastructure.language_model.plausible import PromptSize, plausible_usage
from infrastructure.language_model.readers import Reader, reader_of

NO_KEY = "none"
"""Sent where an address is given without a key: else litellm sends OPENAI_API_KEY there."""
CLOSE_SECONDS = 2.0
FALLS_BACK = {"PROVIDER_ERROR", "PROVIDER_TIMEOUT", "PROVIDER_RATE_LIMITED"}
"""What another model may do better at; the rest lies in the prompt."""


Called: TypeAlias = Callable[[str, str, str | None], None]


class LitellmGateway:
    """Answers from the models of a catalogue. Deadlines in seconds; `reply_timeout` is the whole's.

    A model's fallbacks are tried in their order as long as nothing was delivered, never after.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        first_token_timeout: float,
        token_timeout: float,
        reply_timeout: float,
        called: Called = lambda model, outcome, cause: None,
    ) -> None:
        """`called` is told of each call that is over: what it came to, and why it failed.

        The outcome is `answered`, `left` (closed before the end), or an error's code.
        """
        self._called = called
        self._catalogue = catalogue
        self._first_token_timeout = first_token_timeout
        self._token_timeout = token_timeout
        self._reply_timeout = reply_timeout
        self._litellm: Any = None
        self._ready = False
        self._warming: asyncio.Future[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a reply can begin at once."""
        return self._ready

    async def warm_up(self, before: Callable[[], Awaitable[object]] | None = None) -> None:
        """Load all that a call needs, in a thread; some seconds. No network but loopback.

        `before` is what must run first, a local model's start. Replies that begin meanwhile wait.
        """
        self._warming = asyncio.get_running_loop().create_future()
        try:
            if before is not None:
                await before()
            self._litellm = await asyncio.to_thread(self._load)
            await asyncio.to_thread(tokens.count_tokens, "")
            self._ready = True
        finally:
            self._warming.set_result(None)

    async def aclose(self) -> None:
        """Close the connections kept for later calls; replies have ended before."""
        if self._litellm is not None:
            await litellm_library.close(self._litellm)

    def _load(self) -> Any:
        litellm = litellm_library.load()
        litellm_library.introduce(litellm, self._catalogue.litellm_models())
        return litellm

    def count_tokens(self, text: str) -> int:
        return tokens.count_tokens(text)

    async def reply(
        self, prompt: Prompt, taker: Taker | None = None
    ) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; the last Delta has the finish reason. Raises ModelFailure."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._reply_timeout
        candidates = [prompt.model, *self._catalogue.get(prompt.model).fallbacks]
        for model_id in candidates:
            call = _Call(self._catalogue.route(model_id), prompt)
            at_once = _AtOnce(call, taker, self._token_timeout, end) if taker else None
            model: str | None = model_id
            outcome, cause = "left", None
            try:
                due = min(loop.time() + self._first_token_timeout, end)
                await self._open(call, prompt, due)
                while (delta := await call.read(due, None if model else at_once)) is not None:
                    # Only the first one says who answers, and the last.
                    yield Delta(delta.text, delta.reasoning, model=model) if model else delta
                    if model:
                        # No fallback is asked any more, and a prompt can be long.
                        model, prompt = None, msgspec.structs.replace(prompt, messages=())
                    due = min(loop.time() + self._token_timeout, end)
                conclusion = call.conclusion()
                outcome = "answered"
                yield conclusion
            except ModelFailure as failure:
                outcome, cause = failure.code, failure.cause
                delivered = model is None
                if delivered or model_id == candidates[-1] or failure.code not in FALLS_BACK:
                    raise
            except Exception as error:
                outcome, cause = "INTERNAL", type(error).__name__
                raise
            else:
                return
            finally:
                self._called(model_id, outcome, cause)
                await call.aclose()

    async def _open(self, call: "_Call", prompt: Prompt, due: float) -> None:
        with faults_as_failures():
            async with asyncio.timeout_at(due):
                if self._warming is not None:
                    await asyncio.shield(self._warming)
                if self._litellm is None:
                    self._litellm = await asyncio.to_thread(self._load)
                await call.open(self._litellm, prompt, self._reply_timeout)


class _Call:
    """One model asked for one answer."""

    def __init__(self, route: Route, prompt: Prompt) -> None:
        self._route = route
        self._size = PromptSize.of(prompt)
        self._max_tokens = min(prompt.max_tokens, route.spec.max_output_tokens)
        self._reader: Reader | None = None
        self._delivered = 0

    async def open(self, litellm: Any, prompt: Prompt, timeout: float) -> None:
        self._reader = reader_of(await litellm.acompletion(**self._request(prompt, timeout)))

    async def read(self, due: float, at_once: "_AtOnce | None") -> Delta | None:
        """The next piece, unless `at_once` takes it, before the time `due`; None after the last."""
        assert self._reader
        try:
            with faults_as_failures():
                delta = await self._reader.read(due, at_once)
        except ModelFailure:
            if self._reader.finish_reason is None:
                raise
            # The answer is whole; only its usage or a clean end did not come.
            return None
        if delta is not None:
            self.count(delta)
        return delta

    def count(self, delta: Delta) -> None:
        """It is delivered."""
        self._delivered += _size(delta.text) + _size(delta.reasoning)

    def conclusion(self) -> Delta:
        """How the answer ended. Raises ModelFailure where it did not, or was withheld."""
        assert self._reader
        reason = self._reader.finish_reason
        if reason is None:
            raise ModelFailure("PROVIDER_ERROR", "the stream ended before the answer")
        if reason == "content_filter" and not self._delivered:
            raise ModelFailure("CONTENT_FILTERED", "finish_reason content_filter")
        rest = self._reader.rest()
        return Delta(
            text=rest.text,
            reasoning=rest.reasoning,
            finish_reason=reason,
            usage=plausible_usage(
                self._reader.usage, self._size, self._max_tokens, self._delivered
            ),
            model=self._route.spec.id,
        )

    async def aclose(self) -> None:
        if self._reader is None:
            return
        # A connection that fails to close is gone, and the answer is what it was.
        with suppress(ModelFailure), faults_as_failures():
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._reader.aclose()

    def _request(self, prompt: Prompt, timeout: float) -> dict[str, Any]:
        api_base, api_key = self._route.api_base(), self._route.api_key()
        if api_base and not api_key and self._route.litellm_model.startswith("openai/"):
            api_key = NO_KEY
        optional = {
            "api_base": api_base,
            "api_key": api_key,
            "temperature": prompt.temperature,
            "top_p": prompt.top_p,
        }
        return {
            "model": self._route.litellm_model,
            "messages": _messages(prompt.messages),
            "max_tokens": self._max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            # Repeating a call is the fallbacks' part; waiting has deadlines of its own.
            "max_retries": 0,
            "timeout": timeout,
            **{name: value for name, value in optional.items() if value is not None},
        }


class _AtOnce:
    """Who takes what a call delivers at the moment it arrives, and the next deadline then."""

    def __init__(self, call: _Call, taker: Taker, token_timeout: float, end: float) -> None:
        self._call = call
        self._taker = taker
        self._time = asyncio.get_running_loop().time
        self._token_timeout = token_timeout
        self._end = end

    @property
    def ready(self) -> bool:
        return self._taker.ready

    def take(self, delta: Delta) -> float:
        self._call.count(delta)
        self._taker.take(delta)
        return min(self._time() + self._token_timeout, self._end)


def _size(text: str) -> int:
    """In bytes."""
    return len(text) if text.isascii() else len(text.encode())


def _messages(messages: Iterable[PromptMessage]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
