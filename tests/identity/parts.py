"""What the tests of identity are made of: a clock to turn, keys, tokens, a real store."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4
from warnings import catch_warnings, simplefilter

from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from application.ports import Caller, Credentials
from infrastructure.event_store.store import SqlEventStore
from infrastructure.identity import TokenIdentity
from infrastructure.rate_limits import UNLIMITED
from infrastructure.settings import Settings

T = TypeVar("T")

SECRET = "a-secret-of-at-least-thirty-two-bytes"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class TurnedClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def turn(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@cache
def rsa(kid: str, bits: int = 2048) -> RSAKey:
    with catch_warnings():
        simplefilter("ignore")
        return RSAKey.generate_key(bits, {"kid": kid})


@cache
def ec(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})


@cache
def okp(kid: str) -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": kid})


def secret_key(secret: str = SECRET) -> OctKey:
    return OctKey.import_key(secret)


def token(key: Key | None = None, alg: str = "HS256", **claims: Any) -> str:
    """A token of alice's, good for an hour from noon; a claim of None is left out."""
    given = {"sub": "alice", "exp": int(NOON.timestamp()) + 3600, **claims}
    kid = {} if key is None or key.kid is None else {"kid": key.kid}
    present = {name: value for name, value in given.items() if value is not None}
    return jwt.encode({"alg": alg, **kid}, present, key or secret_key(), algorithms=[alg])


def key_document(*keys: Key) -> str:
    return json.dumps(KeySet(list(keys)).as_dict(private=False))


def with_identity(test: Callable[[TokenIdentity, TurnedClock], Awaitable[T]], **flags: object) -> T:
    """Runs a test with an identity as these settings make it, over a real store."""

    async def run() -> T:
        clock = TurnedClock()
        with TemporaryDirectory() as folder:
            store = await SqlEventStore.open(f"sqlite:///{folder}/events.db", clock=clock)
            try:
                identity = TokenIdentity.configured(
                    Settings(**flags),
                    principals=store.principals,
                    secret=b"s" * 32,
                    clock=clock,
                    limits=UNLIMITED,
                )
                return await test(identity, clock)
            finally:
                await store.close()

    return asyncio.run(run())


async def caller_of(
    identity: TokenIdentity,
    token: str | None = None,
    anon_id: str | None = None,
    address: str = "192.0.2.1",
) -> Caller:
    return await identity.identify(Credentials(token, anon_id, address), uuid4())


class Publisher:
    """Publishes `document` by HTTP, with `status`, and counts who asks."""

    def __init__(self) -> None:
        self.document = ""
        self.status = 200
        self.asked = 0
        self.url = ""


@contextmanager
def publisher() -> Iterator[Publisher]:
    published = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked += 1
            self.send_response(published.status)
            self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(published.document.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    published.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield published
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
