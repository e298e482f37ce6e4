"""The least that any relay in Python does: nothing stored, nobody asked who they are.

    python -m benchmarks.load.floor bytes|litellm PROVIDER_PORT     prints its port

`bytes` reads aiohttp's bytes and decodes them with msgspec; `litellm` is litellm's own iteration.
Both send each token as an event of ours, on the server that Dabir runs on.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import msgspec
import uvicorn


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


class Asked(msgspec.Struct):
    model: str
    content: str


class Event(msgspec.Struct):
    delta: str


Tokens = Callable[[Asked], AsyncGenerator[str, None]]
decode_chunk = msgspec.json.Decoder(Chunk).decode


def by_bytes(provider: str) -> Tokens:
    opened: list[aiohttp.ClientSession] = []

    async def tokens(asked: Asked) -> AsyncGenerator[str, None]:
        if not opened:
            connector = aiohttp.TCPConnector(limit=0)
            opened.append(aiohttp.ClientSession(connector=connector))
        body = {
            "model": asked.model,
            "stream": True,
            "messages": [{"role": "user", "content": asked.content}],
        }
        async with opened[0].post(f"{provider}/chat/completions", json=body) as response:
            rest = b""
            async for received in response.content.iter_any():
                *events, rest = (rest + received).split(b"\n\n")
                for event in events:
                    if event == b"data: [DONE]":
                        continue
                    choices = decode_chunk(event[6:]).choices
                    if choices and choices[0].delta.content:
                        yield choices[0].delta.content

    return tokens


def by_litellm(provider: str) -> Tokens:
    from infrastructure.language_model import litellm_library

    litellm: Any = litellm_library.load()
    # As litellm comes, by OpenAI's SDK.
    del os.environ["EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER"]

    async def tokens(asked: Asked) -> AsyncGenerator[str, None]:
        stream = await litellm.acompletion(
            model=f"openai/{asked.model}",
            api_base=provider,
            api_key="none",
            messages=[{"role": "user", "content": asked.content}],
            stream=True,
            max_retries=0,
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return tokens


def application(tokens: Tokens) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = msgspec.json.decode(body, type=Asked)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for token in tokens(asked):
            event = b"event: assistant_delta\ndata: " + msgspec.json.encode(Event(token)) + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def main(kind: str, provider_port: int) -> None:
    provider = f"http://127.0.0.1:{provider_port}/v1"
    app = application((by_bytes if kind == "bytes" else by_litellm)(provider))
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False
    )
    print(listening.getsockname()[1], flush=True)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
