"""Bearer tokens: what makes a signed JWT acceptable."""

import hashlib
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel

from application.errors import Unauthorized
from application.ports import Clock
from infrastructure.identity_keys import Keys

LARGEST_TOKEN = 8192
"""Characters. Proxies and servers let no larger header pass either."""
LONGEST_SUBJECT = 255
EARLY = timedelta(seconds=10)
"""How far a token's `nbf` may lie ahead, for clocks that differ. `exp` is exact, so that requests
and sockets end at the same moment."""
REMEMBERED_FOR = timedelta(seconds=30)
REMEMBERED_TOKENS = 4096


class VerifiedToken(msgspec.Struct, frozen=True):
    subject: str
    scopes: frozenset[str]
    expires_at: datetime


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    exp: float
    nbf: float | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    scope: str | list[str] | None = None
    scopes: str | list[str] | None = None


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: list[str] | msgspec.UnsetType = msgspec.UNSET
    b64: bool | msgspec.UnsetType = msgspec.UNSET


class _Registry(jws.JWSRegistry):
    """The algorithms of the key that was found, and no others."""

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__(algorithms=allowed)
        self._allowed = allowed

    def check_header(self, header: dict[str, Any]) -> None:
        """What counts in a header, `_header_of` has checked; the library trips over odd types."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in self._allowed:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class TokenVerifier:
    """Checks tokens; one that was checked is remembered for half a minute, never beyond `exp`."""

    def __init__(
        self, keys: Keys, clock: Clock, issuer: str | None = None, audience: str | None = None
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._remembered: dict[bytes, tuple[VerifiedToken, datetime]] = {}
        self._generation = keys.generation

    async def verify(self, token: str) -> VerifiedToken:
        """Raises Unauthorized, KeysUnavailable."""
        if len(token) > LARGEST_TOKEN or not token.isascii():
            raise Unauthorized("The token is not a signed JWT.")
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._recall(digest)) is not None:
            return known
        verified = self._accept(await self._signed_claims(token))
        self._remember(digest, verified)
        return verified

    def _recall(self, digest: bytes) -> VerifiedToken | None:
        if self._generation != self._keys.generation:
            self._remembered.clear()
            self._generation = self._keys.generation
        verified, until = self._remembered.get(digest, (None, None))
        return verified if until is not None and self._clock.now() < until else None

    def _remember(self, digest: bytes, verified: VerifiedToken) -> None:
        # Taken out first, so that the oldest entry is always the first one.
        self._remembered.pop(digest, None)
        if len(self._remembered) >= REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]
        until = min(self._clock.now() + REMEMBERED_FOR, verified.expires_at)
        self._remembered[digest] = (verified, until)

    async def _signed_claims(self, token: str) -> _Claims:
        header = _header_of(token)
        key = await self._keys.find(header.kid, header.alg)
        if key is None:
            raise Unauthorized("The token's key or algorithm is not accepted here.")
        try:
            signed = jws.deserialize_compact(token, key.key, registry=_Registry(key.algorithms))
        except (JoseError, ValueError):
            raise Unauthorized("The token's signature is not valid.") from None
        try:
            return msgspec.json.decode(signed.payload or b"", type=_Claims)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Unauthorized("The token needs a `sub` and an `exp`, and no odd claims.") from None

    def _accept(self, claims: _Claims) -> VerifiedToken:
        """Raises Unauthorized for claims that are not for us or not for now."""
        now = self._clock.now()
        expires_at = _instant(claims.exp)
        if expires_at <= now:
            raise Unauthorized("The token has expired.")
        if claims.nbf is not None and _instant(claims.nbf) > now + EARLY:
            raise Unauthorized("The token is not valid yet.")
        if self._issuer is not None and claims.iss != self._issuer:
            raise Unauthorized("The token is from another issuer.")
        if self._audience is not None and self._audience not in _listed(claims.aud):
            raise Unauthorized("The token is for another audience.")
        if not is_subject(claims.sub):
            raise Unauthorized("The token's `sub` is empty or too long.")
        scopes = frozenset(_words(claims.scope) + _words(claims.scopes))
        return VerifiedToken(claims.sub, scopes, expires_at)


def is_subject(sub: str) -> bool:
    """Whether a `sub` can name a user."""
    return 0 < len(sub) <= LONGEST_SUBJECT and "\0" not in sub


def _header_of(token: str) -> _Header:
    encoded = token.partition(".")[0]
    try:
        header = msgspec.json.decode(urlsafe_b64decode(encoded + "=="), type=_Header)
    except (ValueError, RecursionError):
        raise Unauthorized("The token is not a signed JWT.") from None
    if header.crit is not msgspec.UNSET or header.b64 is not msgspec.UNSET:
        raise Unauthorized("The token needs an extension that is not known here.")
    return header


def _instant(seconds: float) -> datetime:
    """A NumericDate; what no calendar holds becomes the nearest that it does."""
    latest = datetime.max.replace(tzinfo=UTC).timestamp() - 1
    return datetime.fromtimestamp(min(max(seconds, 0.0), latest), UTC)


def _listed(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _words(value: str | list[str] | None) -> list[str]:
    return value.split() if isinstance(value, str) else value or []
