"""CPU of the model gateway alone: tokens that arrive one by one from a provider in another process.

    python -m benchmarks.relay [--replies 16] [--tokens 200] [--rate 100] [--history 1]

A reply costs the call (litellm's part) and then so much a token; both are told apart by replies
of one token. `bytes` reads the response itself, `litellm` is litellm's own iteration.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from contextlib import aclosing

import uvloop

from application.ports import ModelSpec, Prompt, PromptMessage
from domain.usage import Price
from infrastructure.language_model.catalogue import Catalogue, Route
from infrastructure.language_model.gateway import LitellmGateway

READERS = {"bytes": "openai", "litellm": "groq"}


def main(replies: int, tokens: int, rate: float, history: int) -> None:
    upstream = subprocess.Popen(
        [sys.executable, "-m", "tests.upstream"], stdout=subprocess.PIPE, text=True
    )
    assert upstream.stdout
    api_base = f"{upstream.stdout.readline().strip()}/v1"
    print(f"{replies} replies of {tokens} tokens at {rate:g} a second, at once")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for name, kind in READERS.items():
                runner.run(_measure(name, kind, api_base, replies, tokens, rate, history))
    finally:
        upstream.terminate()
        upstream.wait()


async def _measure(
    name: str, kind: str, api_base: str, replies: int, tokens: int, rate: float, history: int
) -> None:
    one = await _cpu(api_base, f"{kind}/tokens-1", replies, history)
    whole = await _cpu(api_base, f"{kind}/tokens-{tokens}-at-{rate:g}", replies, history)
    further = (whole - one) / (tokens - 1)
    print(
        f"{name:8} {one * 1e3:6.2f} ms a call {further * 1e6:6.0f} µs a further token "
        f"{whole / tokens * 1e6:6.0f} µs a token in all"
    )


async def _cpu(api_base: str, model: str, replies: int, history: int) -> float:
    """Seconds of this process's CPU for a reply, the first one not counted."""
    spec = ModelSpec(model, model, 8000, 4000, Price(0, 0, "models.toml"))
    route = Route(spec, model, lambda: api_base, lambda: "none")
    gateway = LitellmGateway(
        Catalogue(model, [route]), first_token_timeout=60, token_timeout=60, reply_timeout=600
    )
    await _read(gateway, model, history)
    begun = time.process_time()
    await asyncio.gather(*(_read(gateway, model, history) for _ in range(replies)))
    used = time.process_time() - begun
    await gateway.aclose()
    return used / replies


async def _read(gateway: LitellmGateway, model: str, history: int) -> None:
    prompt = Prompt(model, (PromptMessage("user", "Good day to you"),) * history, 4000)
    async with aclosing(gateway.reply(prompt)) as deltas:
        async for _ in deltas:
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--history", type=int, default=1, help="messages of a prompt")
    given = parser.parse_args()
    main(given.replies, given.tokens, given.rate, given.history)
