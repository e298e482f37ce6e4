"""The real server as a process of its own, and a client for its streams."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.forked import ForkedServer, run_command

ROOT = Path(__file__).parent.parent
JWT_SECRET = "a secret of the tests, longer than 32 bytes"
STARTS_WITHIN = 30.0
READY_WITHIN = 60.0

MODELS = """
default = "free"

[[models]]
id = "free"
litellm_model = "openai/echo"
api_base = "{api_base}"
api_key_env = "UPSTREAM_KEY"
context_window = 8000
max_output_tokens = 1000
input_price_per_million = "0"
output_price_per_million = "0"

[[models]]
id = "paid"
litellm_model = "openai/echo"
api_base = "{api_base}"
api_key_env = "UPSTREAM_KEY"
context_window = 8000
max_output_tokens = 1000
input_price_per_million = "1"
output_price_per_million = "1000"
"""
"""Two models of one upstream. What it does is said in the message, as `[[script]]`."""


class ExecutedServer(subprocess.Popen[str]):
    """`dabir serve`, as a command."""

    stderr: IO[str]

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        super().__init__(
            [sys.executable, str(ROOT / "dabir.py"), "serve"],
            env=environ,
            cwd=cwd,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )


class Service:
    """`with Service(folder, upstream.api_base) as service:` serves on a free port until the end."""

    def __init__(
        self,
        data_dir: Path,
        api_base: str | None,
        *,
        models: str = MODELS,
        environ: Mapping[str, str] | None = None,
        forked: bool = True,
    ) -> None:
        """`forked`: from a process that has loaded the libraries; else as a command, which takes
        seconds longer.
        """
        self.data_dir = data_dir
        self._forked = forked
        self.url = ""
        self.log: list[str] = []
        self._environ = {
            **{name: value for name, value in os.environ.items() if name[:6] != "DABIR_"},
            "DABIR_JWT_SECRET": JWT_SECRET,
            "DABIR_DATA_DIR": str(data_dir),
            "DABIR_PORT": "0",
            "UPSTREAM_KEY": "sk-the-operators-own-key",
            **(environ or {}),
        }
        if api_base is not None:
            models_file = data_dir.parent / f"{data_dir.name}.models.toml"
            models_file.write_text(models.format(api_base=api_base))
            self._environ["DABIR_MODELS_FILE"] = str(models_file)
        self._changed = threading.Condition()
        self._process: ForkedServer | ExecutedServer | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> Self:
        """Returns once the port is open."""
        self.log = []
        self._process = (ForkedServer if self._forked else ExecutedServer)(
            self._environ, self.data_dir.parent
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        serving = self.wait_for_log('"serving"', STARTS_WITHIN)
        self.url = f"http://127.0.0.1:{json.loads(serving)['port']}"
        return self

    def wait_ready(self) -> Self:
        """Returns once `/readyz` says so: the model's library takes some seconds to load."""
        with httpx.Client(timeout=READY_WITHIN) as client:
            until(lambda: client.get(f"{self.url}/readyz").status_code == 200, READY_WITHIN)
        return self

    def kill(self) -> None:
        """As a power cut would: no signal handler runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """In good order; returns the exit code."""
        return self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        assert self._process is not None
        return self._process.wait(timeout)

    def wait_for_log(self, text: str, timeout: float = 10.0) -> str:
        """The first line of the log that holds `text`."""

        def found() -> str | None:
            return next((line for line in self.log if text in line), None)

        with self._changed:
            line = self._changed.wait_for(lambda: found() or self._ended(), timeout)
        if line is True or not line:
            raise AssertionError(f"no {text!r} in the log:\n" + "\n".join(self.log[-40:]))
        return line

    def count_in_log(self, text: str) -> int:
        with self._changed:
            return sum(text in line for line in self.log)

    def dabir(self, *arguments: str, timeout: float = 100.0) -> "subprocess.CompletedProcess[str]":
        """An operator's command, with the server's settings."""
        done = run_command(arguments, self._environ, self.data_dir.parent, timeout=timeout)
        said = (done.stdout.decode(), done.stderr.decode())
        return subprocess.CompletedProcess(done.args, done.returncode, *said)

    def dabir_on(self, database: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """An operator's command on another database."""
        other = copy(self)
        other._environ = self._environ | {"DABIR_DATABASE_URL": database}
        return other.dabir(*arguments)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Stop, if it was not stopped before."""
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(number)
        try:
            code = self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("the server did not stop:\n" + "\n".join(self.log[-40:])) from None
        self._reader.join(10)
        return code

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _read_log(self) -> None:
        assert self._process is not None
        for line in self._process.stderr:
            with self._changed:
                self.log.append(line.rstrip("\n"))
                self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._changed.notify_all()


def until(condition: Any, timeout: float = 10.0, interval: float = 0.02) -> None:
    """Wait for a condition that only asking can tell."""
    deadline = threading.Event()
    waited = 0.0
    while not condition():
        if waited > timeout:
            raise AssertionError("the condition did not come true in time")
        deadline.wait(interval)
        waited += interval


def token(sub: str, *scopes: str, expires_in: float = 3600) -> str:
    """A token as the operator's identity provider would sign it."""
    import time

    claims = {"sub": sub, "exp": int(time.time() + expires_in), "scope": " ".join(scopes)}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(JWT_SECRET))


def bearer(sub: str, *scopes: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(sub, *scopes)}"}


@dataclass(frozen=True)
class Event:
    """One event of a stream, as an EventSource would give it."""

    id: str
    name: str
    data: Any


class Stream:
    """A response whose events are read as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.raw = b""
        self._bytes = response.iter_raw()
        self._buffer = b""

    def __iter__(self) -> Iterator[Event]:
        while True:
            while b"\n\n" in self._buffer:
                block, self._buffer = self._buffer.split(b"\n\n", 1)
                event = _event(block.decode())
                if event is not None:
                    yield event
            chunk = next(self._bytes, None)
            if chunk is None:
                return
            self.raw += chunk
            self._buffer += chunk

    def until(self, name: str) -> list[Event]:
        """The events up to and with the first of that name."""
        events = []
        for event in self:
            events.append(event)
            if event.name == name:
                return events
        raise AssertionError(f"no {name} in {[event.name for event in events]}")

    def rest(self) -> list[Event]:
        return list(self)


def _event(block: str) -> Event | None:
    fields = {"id": "", "event": "", "data": ""}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    return (
        Event(fields["id"], fields["event"], json.loads(fields["data"])) if fields["data"] else None
    )


@contextmanager
def sending(
    service: Service,
    headers: Mapping[str, str],
    *,
    route: str = "send",
    timeout: float = 30,
    **body: Any,
) -> Iterator[Stream]:
    """A stream that a POST opened; closing it does not stop the reply."""
    with (
        httpx.Client(timeout=timeout) as client,
        client.stream(
            "POST", f"{service.url}/api/v1/messages/{route}", json=body, headers=dict(headers)
        ) as response,
    ):
        yield Stream(response)


@contextmanager
def attaching(
    service: Service, headers: Mapping[str, str] | None = None, **query: str
) -> Iterator[Stream]:
    """A stream that a GET joins."""
    with (
        httpx.Client(timeout=30) as client,
        client.stream(
            "GET",
            f"{service.url}/api/v1/messages/send",
            params=query,
            headers=dict(headers or {}),
        ) as response,
    ):
        yield Stream(response)


def send(service: Service, headers: Mapping[str, str], content: str, **body: Any) -> list[Event]:
    """Send and read to the end."""
    with sending(service, headers, content=content, **body) as stream:
        return stream.rest()


def joined(events: list[Event]) -> str:
    return "".join(event.data["delta"] for event in events if event.name == "assistant_delta")


def named(events: list[Event], name: str) -> Event:
    return next(event for event in events if event.name == name)
