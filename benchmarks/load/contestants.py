"""Who stands between clients and the provider: Dabir, the floor, and what people use instead.

Each is a context that starts it as its own processes, with the settings its makers recommend for
production, and yields a `Contestant`. Peers come as their released packages, into `.peers/`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks.load.client import Request, Task, Told
from benchmarks.load.processes import cpu_of
from tests.service import ROOT, Service, bearer, until

PEERS = ROOT / ".peers"
LITELLM = "litellm[proxy]==1.106.0"
PROXY_KEY = "sk-of-the-benchmark"
STARTS_WITHIN = 120.0
CONTENT = "What is the capital of France, and since when?"
UNLIMITED = {
    f"DABIR_{limit}": "0"
    for limit in (
        "SEND_RATE",
        "REQUEST_RATE",
        "ADDRESS_SEND_RATE",
        "ADDRESS_REQUEST_RATE",
        "OPEN_STREAMS",
        "OPEN_SOCKETS",
        "ADDRESS_OPEN_STREAMS",
        "ADDRESS_OPEN_SOCKETS",
    )
}
"""A benchmark's clients come from one address; these would refuse them, at the cost of nothing."""


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    pid: int
    port: int
    path: str
    needle: str
    """Once in each token's event, and nowhere else."""
    request: Callable[[int, str], Request]
    """What client number so sends to ask for this model."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients saw, and what the contestant's processes used: seconds of CPU."""

    told: Told
    cpu: float


def put_under_load(
    contestant: Contestant,
    model: str,
    streams: int,
    *,
    at: Callable[[int], float] = lambda number: 0.0,
    in_turn: int = 0,
    core: int | None = None,
) -> Load:
    """`streams` answers of a model, number n asked for after `at(n)` seconds.

    Or by `in_turn` clients, each as soon as its last one has ended. The clients keep to `core`, if
    one is given. Raises AssertionError where an answer was refused or cut.
    """
    requests = [contestant.request(number, model) for number in range(streams)]
    for number, request in enumerate(requests):
        request.at = at(number)
    task = Task(contestant.port, contestant.path, requests, contestant.needle, in_turn)
    before = cpu_of(contestant.pid)
    done = subprocess.run(
        [*_on(core), sys.executable, "-m", "benchmarks.load.client"],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    used = cpu_of(contestant.pid) - before
    told = msgspec.json.decode(done.stdout, type=Told)
    assert not told.failed, f"{contestant.name}: {told.failed} of {streams} failed"
    return Load(told=told, cpu=used)


@contextmanager
def provider(core: int | None = None) -> Iterator[int]:
    """Yields its port."""
    with _printing_port("benchmarks.load.provider", core=core) as (_, port):
        yield port


@contextmanager
def dabir(
    provider_port: int,
    models: Sequence[str],
    *,
    core: int | None = None,
    folder: Path | None = None,
    environ: dict[str, str] | None = None,
) -> Iterator[Contestant]:
    """The real command on a new data folder, or in `folder`; every client has a name of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        service = Service(
            (folder or Path(temporary)) / "data",
            f"http://127.0.0.1:{provider_port}/v1",
            models="\n".join([f'default = "{models[0]}"', *map(_model, models)]),
            environ={**UNLIMITED, **(environ or {})},
            forked=False,
        )
        tokens: dict[int, dict[str, str]] = {}

        def request(number: int, model: str) -> Request:
            if number not in tokens:
                tokens[number] = bearer(f"client-{number}")
            return Request(tokens[number], json.dumps({"content": CONTENT, "model": model}))

        with _affinity(core), service:
            service.wait_ready()
            yield Contestant(
                name="Dabir",
                pid=service.pid,
                port=int(service.url.rpartition(":")[2]),
                path="/api/v1/messages/send",
                needle="event: assistant_delta",
                request=request,
            )


@contextmanager
def floor(provider_port: int, kind: str = "bytes", core: int | None = None) -> Iterator[Contestant]:
    arguments = ("benchmarks.load.floor", kind, str(provider_port))
    with _printing_port(*arguments, core=core) as (pid, port):
        yield Contestant(
            name="floor" if kind == "bytes" else "floor, litellm's iteration",
            pid=pid,
            port=port,
            path="/",
            needle="event: assistant_delta",
            request=lambda number, model: Request(
                {}, json.dumps({"content": CONTENT, "model": model})
            ),
        )


@contextmanager
def direct(provider_port: int, pid: int | None = None) -> Iterator[Contestant]:
    """Nobody in between."""
    yield _speaking_openai("direct", pid or os.getpid(), provider_port, "none")


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
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "config.yaml"
        written.write_text(json.dumps(config))
        process = subprocess.Popen(
            [
                *_on(core),
                peer("litellm", LITELLM) / "bin" / "litellm",
                *("--config", written, "--host", "127.0.0.1"),
                *("--port", str(port), "--num_workers", "1"),
            ],
            env={
                **os.environ,
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOG": "ERROR",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_TELEMETRY": "False",
            },
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with _ended_after(process):
            until(lambda: _answers(f"http://127.0.0.1:{port}/health/liveliness"), STARTS_WITHIN)
            yield _speaking_openai("LiteLLM proxy", process.pid, port, PROXY_KEY)


@contextmanager
def bare_socketio(answer: object) -> Iterator[tuple[int, int]]:
    """python-socketio alone, which answers `list_chats` with this. Yields its pid and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load.bare_socketio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with _ended_after(process):
        assert process.stdin
        assert process.stdout
        json.dump(answer, process.stdin)
        process.stdin.close()
        yield process.pid, int(process.stdout.readline())


def peer(name: str, *packages: str) -> Path:
    """The virtual environment of a peer, made when it is first asked for."""
    folder = PEERS / name
    if not folder.exists():
        uv = shutil.which("uv")
        assert uv, "uv makes the peers' environments"
        python = ("--python", str(folder / "bin" / "python"))
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", *python, *packages], check=True)
    return folder


def _speaking_openai(name: str, pid: int, port: int, key: str) -> Contestant:
    def request(number: int, model: str) -> Request:
        body: dict[str, Any] = {
            "model": model,
            "stream": True,
            "messages": [{"role": "user", "content": CONTENT}],
        }
        return Request({"authorization": f"Bearer {key}"}, json.dumps(body))

    return Contestant(
        name=name,
        pid=pid,
        port=port,
        path="/v1/chat/completions",
        needle='"content":" tok' if name != "direct" else '"content": " tok',
        request=request,
    )


def _model(name: str) -> str:
    return f"""
[[models]]
id = "{name}"
litellm_model = "openai/{name}"
api_base = "{{api_base}}"
context_window = 8000
max_output_tokens = 4000
input_price_per_million = "0"
output_price_per_million = "0"
"""


@contextmanager
def _printing_port(
    module: str, *arguments: str, core: int | None = None
) -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(
        [*_on(core), sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with _ended_after(process):
        assert process.stdout
        yield process.pid, int(process.stdout.readline())


@contextmanager
def _ended_after(process: "subprocess.Popen[Any]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _affinity(core: int | None) -> Iterator[None]:
    """What is started meanwhile inherits the core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _on(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
