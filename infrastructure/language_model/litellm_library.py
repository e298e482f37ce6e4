"""The one place that imports litellm: late, guarded, and in a thread, for it takes seconds."""

import asyncio
import gc
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

ENVIRONMENT = {
    # Else the import fetches a price map over the network, and reads a .env file.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    # Else the 501st answer of a provider waits until its deadline for one of the others to end.
    "AIOHTTP_CONNECTOR_LIMIT": "100000",
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "100000",
    # Many servers close a connection that is idle for 5 seconds, and a request that meets the end
    # is lost; the one that has been idle for longest is used first.
    "AIOHTTP_KEEPALIVE_TIMEOUT": "4",
    # Else OpenAI's kind are called by OpenAI's SDK, which looks through every message of a prompt
    # again: 0.15 ms of CPU each.
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
}
LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
ERROR_BYTES = 16_384
LOADING = threading.Lock()
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANSWER = b'data: {"choices":[{"index":0,"delta":{"content":"."},"finish_reason":"stop"}]}\n\n'


def load() -> Any:
    """litellm, set up and rehearsed; blocks for seconds the first time. No network but loopback.

    For a thread: it runs a loop of its own.
    """
    with LOADING:
        keep_loopback_direct()
        with uncollected():
            return _load()


@contextmanager
def uncollected() -> Iterator[None]:
    """What is loaded stays: looking through it for garbage costs a fifth of the time, and later on
    each time that the garbage of all is collected.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@cache
def _load() -> Any:
    os.environ.update(ENVIRONMENT)
    # By name: its types would cost every type check half a minute, and are mostly Any.
    litellm: Any = importlib.import_module("litellm")
    # Else a name that looks like Llama 3 downloads a tokenizer inside a call.
    litellm.disable_hf_tokenizer_download = True
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.drop_params = True
    # Repetition is a model's own affair, and max_tokens bounds it.
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize
    _do_without()
    for name in LOGGERS:
        # What it logs can hold a provider's text, and so a key or what a person wrote.
        logging.getLogger(name).disabled = True
    asyncio.run(_rehearse(litellm))
    return litellm


def introduce(litellm: Any, models: Iterable[str]) -> None:
    """Tell litellm of OpenAI's kind of models that its map lacks, as it names them.

    It searches the whole map for an unknown one at each call, which takes a fifth of the call's
    time. What they cost is Dabir's affair: there they are free.
    """
    known = litellm.model_cost
    unknown = [
        name
        for name in models
        if name.startswith("openai/") and name not in known and name[7:] not in known
    ]
    free = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
    entry = {"litellm_provider": "openai", "mode": "chat", **free}
    litellm.register_model({name: dict(entry) for name in unknown})


async def close(litellm: Any) -> None:
    """Close the connections that litellm keeps for later calls."""
    await litellm.close_litellm_async_clients()
    # Else a later call finds a closed one there.
    litellm.in_memory_llm_clients_cache.flush_cache()
    # Anthropic's, made on first use and closed by nobody else.
    client = vars(litellm).pop("module_level_aclient", None)
    if client is not None:
        await client.close()


def keep_loopback_direct() -> None:
    """A proxy for the world outside cannot reach a model on this machine."""
    given = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    direct = ",".join(dict.fromkeys(host for host in [*given, *LOOPBACK] if host))
    os.environ.update(dict.fromkeys(("no_proxy", "NO_PROXY"), direct))


def _do_without() -> None:
    """Leave out what litellm does around a call, and cannot be told not to."""
    handlers: Any = importlib.import_module("litellm.llms.custom_httpx.http_handler")
    handlers.AsyncHTTPHandler.single_connection_post_request = _not_again
    handlers._safe_aread_response = _beginning_of
    loggings: Any = importlib.import_module("litellm.litellm_core_utils.litellm_logging")
    loggings.Logging.response_cost_calculator = _no_cost


def _no_cost(*_: object, **__: object) -> None:
    """What an answer costs is Dabir's affair. Reckoned beforehand it takes a sixth of a call."""


async def _not_again(*_: object, **__: object) -> None:
    """In place of litellm's second try after a connection broke: the provider may have been asked.

    Raises what broke it, which is being handled just then.
    """
    error = sys.exception()
    assert error is not None
    raise error


async def _beginning_of(response: Any, timeout: float | None = None) -> bytes:
    """As much of an error's body as says what it is, or came before it broke off.

    litellm looks through all of it, for 3 µs a byte, in which every stream stands still.
    """
    httpx: Any = importlib.import_module("httpx")
    body = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(timeout):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) >= ERROR_BYTES:
                    break
    # As reading all of it would have left it.
    response._content = body[:ERROR_BYTES]
    return bytes(response.content)


async def _rehearse(litellm: Any) -> None:
    """One call to a throwaway server here: a first call imports more, for a second."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        stream = await litellm.acompletion(
            model="openai/rehearsal",
            api_base=f"http://127.0.0.1:{port}/v1",
            api_key="none",
            messages=[{"role": "user", "content": "."}],
            stream=True,
            max_retries=0,
        )
        await stream.completion_stream.http_response.aclose()
    finally:
        await close(litellm)
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    writer.write(head + ANSWER)
    await writer.drain()
    writer.close()
