"""The keys that tokens are checked with: a secret of our own, or a provider's published key set."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from application.errors import ConfigurationError
from application.ports import Clock
from infrastructure.settings_values import is_url

LARGEST_KEY_SET = 256 * 1024
FETCH_TIMEOUT = 5.0
REFRESH_EVERY = timedelta(minutes=10)
"""How old a key set may get before it is read again, beside the requests that it serves."""
RETRY_AFTER = timedelta(seconds=10)
"""The least time between two readings, whatever key ids callers make up."""

_log = structlog.get_logger(__name__)

T = TypeVar("T", bytes, bytearray)


class KeysUnavailable(Exception):  # noqa: N818 - a fault of the provider's, not of the caller's
    """No key set could be read yet, so no token can be judged."""


@dataclass(frozen=True)
class VerificationKey:
    """A key and the algorithms it may be used with: by its own type, never by a token's header."""

    key: Key
    algorithms: frozenset[str]

    @property
    def kid(self) -> object:
        return self.key.get("kid")


class Keys(Protocol):
    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The one key for a token's `kid` and `alg`. Raises KeysUnavailable."""
        ...

    @property
    def generation(self) -> int:
        """Rises when the keys change, so that nothing verified before counts any more."""
        ...


def shared_key(secret: bytes) -> OctKey:
    """The key of DABIR_JWT_SECRET. Raises ConfigurationError for one that everybody may know."""
    try:
        return OctKey.import_key(secret)
    except ValueError:
        raise ConfigurationError(
            "DABIR_JWT_SECRET must be a secret, not a public key: those go to DABIR_JWKS."
        ) from None


class SecretKey:
    """A secret shared with who issues the tokens. Their `kid` says nothing."""

    generation = 0

    def __init__(self, secret: bytes) -> None:
        self._key = VerificationKey(shared_key(secret), frozenset({"HS256"}))

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        return self._key if algorithm in self._key.algorithms else None


class KeySet:
    """A JWK set from a file or an address; read again in time, and when a `kid` is unknown.

    A reading that fails keeps the keys of the last one. The loop never waits for it: only the
    requests that need a key which is not there do.
    """

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], algorithm: str | None, clock: Clock
    ) -> None:
        self._read = read
        self._algorithm = algorithm
        self._clock = clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._document: bytes | None = None
        self._tried: datetime | None = None
        self._reading: asyncio.Task[None] | None = None
        self.generation = 0

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        if self._older_than(REFRESH_EVERY):
            self._start_reading()
        found = self._match(kid, algorithm)
        if found is None:
            await self.refresh()
            found = self._match(kid, algorithm)
        if not self._keys:
            raise KeysUnavailable
        return found

    async def refresh(self) -> None:
        """Reads the keys again, unless that was done a moment ago; failures are logged."""
        if self._reading is None and self._older_than(RETRY_AFTER):
            self._start_reading()
        if self._reading is not None:
            # Others wait for the same reading: one caller going away must not end it.
            await asyncio.shield(self._reading)

    def _older_than(self, age: timedelta) -> bool:
        return self._tried is None or self._clock.now() - self._tried >= age

    def _start_reading(self) -> None:
        if self._reading is None:
            self._tried = self._clock.now()
            self._reading = asyncio.create_task(self._reread())

    async def _reread(self) -> None:
        try:
            self.load(await self._read())
        except (OSError, ValueError) as error:
            # Its kind only: the words can hold what was read.
            _log.error("token keys could not be read", cause=type(error).__name__)
        finally:
            self._reading = None

    def load(self, document: bytes) -> None:
        """Takes over a JWK set. Raises ValueError when it holds no usable key."""
        if document == self._document:
            return
        keys = usable_keys(document, self._algorithm)
        if not keys:
            raise ValueError("no usable key")
        self._document, self._keys = document, keys
        self.generation += 1

    def _match(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        fits = [key for key in self._keys if algorithm in key.algorithms]
        if kid is not None:
            fits = [key for key in fits if key.kid == kid]
        # Without a `kid` the token must leave no choice: trying them all invites confusion.
        return fits[0] if len(fits) == 1 else None


class _Published(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


def usable_keys(document: bytes, algorithm: str | None) -> tuple[VerificationKey, ...]:
    """The keys of a JWK set that can check signatures; others are passed over, as RFC 7517 asks.

    Raises ValueError when the document is no JWK set.
    """
    published = msgspec.json.decode(document, type=_Published)
    keys = (_usable_key(entry, algorithm) for entry in published.keys)
    return tuple(key for key in keys if key is not None)


def _usable_key(entry: Mapping[str, Any], algorithm: str | None) -> VerificationKey | None:
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = JWKRegistry.import_key(dict(entry))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        _log.warning("a published key was passed over", cause=type(error).__name__)
        return None
    algorithms = _algorithms_of(key)
    if algorithm is not None and algorithm not in algorithms:
        return None
    if key.alg is not None and key.alg not in algorithms:
        return None
    return VerificationKey(key, algorithms) if algorithms else None


def _algorithms_of(key: Key) -> frozenset[str]:
    # A symmetric key in a published set is a secret no more: never used.
    if isinstance(key, RSAKey) and key.public_key.key_size >= 2048:
        return frozenset({"RS256"})
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return frozenset({"ES256"})
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return frozenset({"EdDSA", "Ed25519"})
    return frozenset()


def key_set(jwks: str, algorithm: str | None, clock: Clock) -> KeySet:
    """The key set of DABIR_JWKS. A file is read at once: raises ConfigurationError."""
    if is_url(jwks):
        return KeySet(lambda: _fetch(jwks), algorithm, clock)
    path = Path(jwks)
    keys = KeySet(lambda: asyncio.to_thread(_read_file, path), algorithm, clock)
    try:
        keys.load(_read_file(path))
    except (OSError, ValueError):
        raise ConfigurationError(
            f"DABIR_JWKS: {path} must be a file that holds a JWK set with an RSA (2048 bits or "
            "more), P-256 or Ed25519 key for signatures, fit for DABIR_JWT_ALGORITHM if set."
        ) from None
    return keys


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(LARGEST_KEY_SET + 1))


async def _fetch(url: str) -> bytes:
    import aiohttp  # with two contexts of TLS, which only some need

    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT)
    document = bytearray()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            # Not followed elsewhere: a redirect could lead from https to anything.
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            async for chunk in answer.content.iter_any():
                document += chunk
                _bounded(document)
    except aiohttp.ClientError as error:
        raise OSError(type(error).__name__) from error
    return bytes(document)


def _bounded(document: T) -> T:
    if len(document) > LARGEST_KEY_SET:
        raise ValueError("too large for a key set")
    return document
