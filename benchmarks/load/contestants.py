"""Who stands between clients and the provider: Dabir, and the floor; see peers.py for the others.

Each is a context that starts it as its own processes, and yields a `Contestant`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.load.client import Request, Task, Told
from benchmarks.load.processes import cpu_of, ended_after, on_core
from tests.service import ROOT, Service, bearer

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
    """Where to ask; empty where a page asks by an event of its socket."""
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

    Or by `in_turn` clients, each as soon as its last one has ended. Pages are opened before, which
    does not count. The clients keep to `core`, if one is given. Raises AssertionError where an
    answer was refused or cut.
    """
    requests = [contestant.request(number, model) for number in range(streams)]
    for number, request in enumerate(requests):
        request.at = at(number)
    task = Task(
        contestant.pid, contestant.port, contestant.path, requests, contestant.needle, in_turn
    )
    done = subprocess.run(
        [*on_core(core), sys.executable, "-m", "benchmarks.load.client"],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    after = cpu_of(contestant.pid)
    told = msgspec.json.decode(done.stdout, type=Told)
    assert not told.failed, f"{contestant.name}: {told.failed} of {streams} failed"
    return Load(told=told, cpu=after - told.cpu_before)


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
    yield speaking_openai("direct", pid or os.getpid(), provider_port, "none")


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
    with ended_after(process):
        assert process.stdin
        assert process.stdout
        json.dump(answer, process.stdin)
        process.stdin.close()
        yield process.pid, int(process.stdout.readline())


def speaking_openai(name: str, pid: int, port: int, key: str) -> Contestant:
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
        [*on_core(core), sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with ended_after(process):
        assert process.stdout
        yield process.pid, int(process.stdout.readline())


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
