"""What people use instead, as its makers released it.

Each comes into an environment of its own under `.peers/`, and is a context that starts it with the
settings its makers recommend for production, as far as one worker goes, and yields a `Contestant`.
What would reach out to the network is turned off. So is what would ask the model further questions.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import httpx

from benchmarks.load.client import Request
from benchmarks.load.contestants import CONTENT, Contestant, speaking_openai
from benchmarks.load.page import SID, Opening
from benchmarks.load.processes import ended_after, free_port, on_core
from benchmarks.log_lock import DURABLE
from tests.engines import postgres_server
from tests.service import ROOT, until

PEERS = ROOT / ".peers"
LITELLM = ("litellm", "litellm[proxy]==1.106.0")
OPEN_WEBUI = ("open-webui", "open-webui[postgres]==0.12.4")
CHAINLIT = ("chainlit", "chainlit==2.12.0", "openai==3.57.0")
PROXY_KEY = "sk-of-the-benchmark"
ADMIN = {"email": "admin@example.com", "password": "of-the-benchmark"}
STARTS_WITHIN = 300.0
"""The first start of one writes its bytecode."""


@contextmanager
def litellm_proxy(
    provider_port: int, models: Sequence[str], core: int | None = None
) -> Iterator[Contestant]:
    """LiteLLM's proxy: one worker, no database, quiet, as its page on production says."""
    config = {
        "model_list": [
            {
                "model_name": model,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": f"http://127.0.0.1:{provider_port}/v1",
                    "api_key": "none",
                },
            }
            for model in models
        ],
        "general_settings": {"master_key": PROXY_KEY},
        "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
    }
    settings = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
    }
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "config.yaml"
        written.write_text(json.dumps(config))
        command = [_program(*LITELLM), "--config", str(written), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1"]
        health = f"http://127.0.0.1:{port}/health/liveliness"
        with _served([*on_core(core), *command], settings, folder, health) as pid:
            yield speaking_openai("LiteLLM proxy", pid, port, PROXY_KEY)


@contextmanager
def open_webui_api(
    provider_port: int, models: Sequence[str], core: int | None = None
) -> Iterator[Contestant]:
    """Open WebUI, asked as a program does: the answer is the response, and no chat is kept."""
    with _open_webui(provider_port, models, core) as (pid, port, users):

        def request(number: int, model: str) -> Request:
            body = {
                "model": model,
                "stream": True,
                "messages": [{"role": "user", "content": CONTENT}],
            }
            return Request(_bearer(users(number)), json.dumps(body))

        yield Contestant(
            name="Open WebUI, API",
            pid=pid,
            port=port,
            path="/api/chat/completions",
            needle='"content": " tok',
            request=request,
        )


@contextmanager
def open_webui_page(
    provider_port: int, models: Sequence[str], core: int | None = None
) -> Iterator[Contestant]:
    """Open WebUI, asked as its page does: a new chat, and tokens as events of the user's socket.

    What the page asks for besides (joining the chat's room, the list of chats anew) is left out.
    """
    with _open_webui(provider_port, models, core) as (pid, port, users):

        def request(number: int, model: str) -> Request:
            token, asked, answer = users(number), str(uuid4()), str(uuid4())
            body = {
                "stream": True,
                "model": model,
                "params": {"model_controls": {}},
                "tool_ids": [],
                "tool_servers": [],
                "features": {
                    "voice": False,
                    "image_generation": False,
                    "code_interpreter": False,
                    "web_search": False,
                },
                "variables": {},
                "chat_variables": {},
                "model_item": {"id": model},
                "session_id": SID,
                "id": answer,
                "parent_id": None,
                "user_message": {
                    "id": asked,
                    "parentId": None,
                    "childrenIds": [answer],
                    "role": "user",
                    "content": CONTENT,
                    "timestamp": int(time.time()),
                    "models": [model],
                },
                "background_tasks": {
                    "title_generation": True,
                    "tags_generation": True,
                    "follow_up_generation": True,
                },
            }
            page = Opening(
                path="/ws/socket.io/",
                auth=json.dumps({"token": token}),
                hello=json.dumps(["user-join", {"auth": {"token": token}}]),
                ends='"done":true',
            )
            return Request(_bearer(token), json.dumps(body), page=page)

        yield Contestant(
            name="Open WebUI, page",
            pid=pid,
            port=port,
            path="/api/chat/completions",
            needle='"delta":" tok',
            request=request,
        )


@contextmanager
def chainlit(
    provider_port: int, models: Sequence[str], core: int | None = None
) -> Iterator[Contestant]:
    """Chainlit, headless, over the shortest application that its documentation shows.

    Nobody signs in and nothing is kept, which is how it comes.
    """

    def request(number: int, model: str) -> Request:
        message = {
            "threadId": "",
            "id": str(uuid4()),
            "name": "User",
            "type": "user_message",
            "output": CONTENT,
            "createdAt": "2026-01-01T00:00:00.000Z",
        }
        auth = {
            "clientType": "webapp",
            "sessionId": str(uuid4()),
            "threadId": "",
            "userEnv": "{}",
            "chatProfile": model,
        }
        page = Opening(
            path="/ws/socket.io/",
            auth=json.dumps(auth),
            hello='["connection_successful"]',
            ends='["task_end"',
        )
        event = ["client_message", {"message": message, "fileReferences": []}]
        return Request({}, json.dumps(event), page=page)

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(CHAINLIT_APPLICATION)
        command = [_program(*CHAINLIT), "run", "app.py", "--headless", "--port", str(port)]
        settings = {"PROVIDER": f"http://127.0.0.1:{provider_port}/v1"}
        health = f"http://127.0.0.1:{port}/"
        with _served([*on_core(core), *command], settings, folder, health) as pid:
            yield Contestant(
                name="Chainlit",
                pid=pid,
                port=port,
                path="",
                needle='42["stream_',
                request=request,
            )


CHAINLIT_APPLICATION = """
import os

import chainlit as cl
from openai import AsyncOpenAI

provider = AsyncOpenAI(base_url=os.environ["PROVIDER"], api_key="none")


@cl.on_message
async def answer(asked: cl.Message) -> None:
    told = cl.Message(content="")
    stream = await provider.chat.completions.create(
        model=cl.user_session.get("chat_profile"),
        messages=cl.chat_context.to_openai(),
        stream=True,
    )
    async for part in stream:
        if part.choices and (token := part.choices[0].delta.content or ""):
            await told.stream_token(token)
    await told.update()
"""

Start: TypeAlias = Callable[[int, Sequence[str], int | None], AbstractContextManager[Contestant]]
"""With the provider's port, the models, and the core to keep to."""
OPT_IN: dict[str, dict[str, Start]] = {
    "open-webui": {"Open WebUI, API": open_webui_api, "Open WebUI, page": open_webui_page},
    "chainlit": {"Chainlit": chainlit},
}
"""Those fielded only when named: Open WebUI takes 7 GB of disk."""


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=OPT_IN,
        default=[],
        help="further ones, which are large; what is missing is installed from PyPI",
    )


@contextmanager
def _open_webui(
    provider_port: int, models: Sequence[str], core: int | None
) -> Iterator[tuple[int, int, Callable[[int], str]]]:
    """Yields its process, its port, and the token of user number so: each has a room of their own.

    Settings as its page on performance says, with PostgreSQL: on SQLite, 60 questions at once find
    the database locked. Embeddings are another server's, so that no model is loaded for them. What
    that page says of many users, to send seven tokens at a time, is not done: here each is sent
    when it comes. In its favour, PostgreSQL's own CPU is not counted, and who may use which model
    is not looked up.
    """
    settings = {
        "ENV": "prod",
        "WEBUI_SECRET_KEY": "a secret of the benchmark, longer than 32 bytes",
        "WEBUI_ADMIN_EMAIL": ADMIN["email"],
        "WEBUI_ADMIN_PASSWORD": ADMIN["password"],
        "GLOBAL_LOG_LEVEL": "ERROR",
        "OPENAI_API_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
        "OPENAI_API_KEY": "none",
        "OPENAI_API_CONFIGS": json.dumps({"0": {"enable": True, "model_ids": list(models)}}),
        "DATABASE_POOL_SIZE": "15",
        "DATABASE_POOL_MAX_OVERFLOW": "20",
        "DATABASE_ENABLE_SESSION_SHARING": "True",
        "THREAD_POOL_SIZE": "2000",
        "ENABLE_BASE_MODELS_CACHE": "True",
        "MODELS_CACHE_TTL": "300",
        "RAG_EMBEDDING_ENGINE": "openai",
        "BYPASS_MODEL_ACCESS_CONTROL": "True",
        "OFFLINE_MODE": "True",
        "ENABLE_OLLAMA_API": "False",
        "ENABLE_MEMORIES": "False",
        "ENABLE_TITLE_GENERATION": "False",
        "ENABLE_TAGS_GENERATION": "False",
        "ENABLE_FOLLOW_UP_GENERATION": "False",
        "ANONYMIZED_TELEMETRY": "False",
    }
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    tokens: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder, postgres_server(DURABLE) as postgres:
        settings["DATA_DIR"] = folder
        settings["DATABASE_URL"] = postgres.create()
        command = [_program(*OPEN_WEBUI), "serve", "--host", "127.0.0.1", "--port", str(port)]
        with (
            _served([*on_core(core), *command], settings, folder, f"{url}/health") as pid,
            httpx.Client(base_url=f"{url}/api/v1/auths", timeout=60) as client,
        ):
            signed_in = client.post("/signin", json=ADMIN).raise_for_status().json()
            as_admin = _bearer(signed_in["token"])

            def token_of(number: int) -> str:
                if number not in tokens:
                    name = f"client-{number}"
                    user = {"name": name, "email": f"{name}@example.com", "password": name}
                    added = client.post("/add", json={**user, "role": "user"}, headers=as_admin)
                    tokens[number] = added.raise_for_status().json()["token"]
                return tokens[number]

            yield pid, port, token_of


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _program(name: str, *packages: str) -> str:
    """That of a peer, installed when it is first asked for."""
    folder = PEERS / name
    program = folder / "bin" / name
    if not program.exists():
        uv = shutil.which("uv")
        assert uv, "uv makes the peers' environments"
        python = ("--python", str(folder / "bin" / "python"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "3.11", folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", *python, *packages], check=True)
    return str(program)


@contextmanager
def _served(
    command: Sequence[str], settings: Mapping[str, str], folder: str, health: str
) -> Iterator[int]:
    """Runs it in this folder, with nothing of our own environment, and yields its process."""
    process = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "HOME": folder, **settings},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with ended_after(process):
        until(lambda: process.poll() is not None or _answers(health), STARTS_WITHIN)
        assert process.poll() is None, f"{command[0]} ended as it started: {process.poll()}"
        yield process.pid


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
