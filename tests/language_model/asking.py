"""A gateway to the tests' upstream, and what came out of asking it."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from application.errors import ModelFailure
from application.ports import Delta, LanguageModel, ModelSpec, Prompt, PromptMessage
from domain.usage import Price
from infrastructure.language_model.catalogue import Catalogue, Route
from infrastructure.language_model.gateway import LitellmGateway
from tests.upstream import Upstream

READ_IN_BYTES = ["openai", "hosted_vllm", "deepseek"]
READ_BY_LITELLM = ["mistral", "groq", "openrouter", "anthropic"]
KINDS = READ_IN_BYTES + READ_BY_LITELLM
"""Providers whose streams litellm holds in different ways."""


class Answer(msgspec.Struct):
    """Takes what it can at once, as the owner of a reply does."""

    deltas: list[Delta]
    failure: ModelFailure | None = None
    taken: int = 0
    """Deltas that were not waited for."""
    ready: bool = True

    def take(self, delta: Delta) -> None:
        self.deltas.append(delta)
        self.taken += 1

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def last(self) -> Delta:
        return self.deltas[-1]


def gateway(upstream: Upstream, *models: str, **timeouts: float) -> LitellmGateway:
    """Models as litellm names them, which are their ids too; the later ones are fallbacks."""
    routes = [
        route(upstream, model, fallbacks=() if position else models[1:])
        for position, model in enumerate(models)
    ]
    defaults: dict[str, Any] = {
        "first_token_timeout": 20.0,
        "token_timeout": 20.0,
        "reply_timeout": 30.0,
    }
    return LitellmGateway(Catalogue(models[0], routes), **(defaults | timeouts))


def route(upstream: Upstream, model: str, fallbacks: Sequence[str] = ()) -> Route:
    base = upstream.url if model.startswith("anthropic/") else upstream.api_base
    spec = ModelSpec(model, model, 8000, 400, Price(1, 1, "models.toml"), tuple(fallbacks))
    return Route(spec, model, lambda: base, lambda: "sk-ours")


def prompt(model: str, text: str = "Good day to you", max_tokens: int = 50) -> Prompt:
    return Prompt(model, (PromptMessage("user", text),), max_tokens)


async def ask(asked: LitellmGateway, prompt: Prompt) -> Answer:
    """The whole answer, closed; the gateway's connections too, for a loop ends with its test."""
    answer = Answer([])
    model: LanguageModel = asked
    try:
        async with aclosing(model.reply(prompt, answer)) as deltas:
            async for delta in deltas:
                answer.deltas.append(delta)
    except ModelFailure as failure:
        answer.failure = failure
    finally:
        await asked.aclose()
    return answer
