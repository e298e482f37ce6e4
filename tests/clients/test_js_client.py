"""The client for browsers and Node, by its own tests, against a server that they may kill."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from tests.service import ROOT, Service, token
from tests.upstream import Upstream

CLIENT = ROOT / "clients" / "js"
TESTS = sorted((CLIENT / "test").glob("*.test.js"))


class World:
    """What the client's tests may ask for, by POST: the method's name is the path."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._folder = folder
        self._upstream = upstream
        self._service = self._new()

    def where(self) -> dict[str, str]:
        return {"url": self._service.url, "upstream": self._upstream.url}

    def token(self, sub: str, expires_in: str) -> dict[str, str]:
        return {"token": token(sub, expires_in=float(expires_in))}

    def kill(self) -> dict[str, str]:
        """As a power cut would; then it starts again, on another port."""
        self._service.kill()
        return self._restarted()

    def restart(self) -> dict[str, str]:
        """In good order, on another port."""
        self._service.stop()
        return self._restarted()

    def replace(self) -> dict[str, str]:
        """By a service with a log of its own."""
        self._service.stop()
        self._service = self._new()
        return self._restarted()

    def __enter__(self) -> Self:
        self._restarted()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.leave()

    def _new(self) -> Service:
        environ = {"DABIR_STARTING_BALANCE": "5", "DABIR_GRACE": "1s"}
        return Service(self._folder / uuid4().hex, self._upstream.api_base, environ=environ)

    def _restarted(self) -> dict[str, str]:
        return {"url": self._service.start().wait_ready().url}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[str]:
    """The address of a world of these tests' own."""
    with World(tmp_path_factory.mktemp("js_client"), upstream) as world:
        server = _serve(world)
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.name)
def test_the_client(world: str, tests: Path) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "--test-timeout=90000", str(tests)],
        cwd=CLIENT,
        env=os.environ | {"DABIR_WORLD": world},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_tests_of_the_client() -> None:
    assert len(TESTS) >= 5


def test_its_types_are_what_it_is() -> None:
    done = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--project", "test"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _serve(world: World) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = urlsplit(self.path)
            method: Any = getattr(world, asked.path[1:])
            body = json.dumps(method(**dict(parse_qsl(asked.query)))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
