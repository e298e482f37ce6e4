"""Who is calling: one resolver for HTTP and Socket.IO."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from joserfc import jwt

from application.client_address import limited_address
from application.errors import ConfigurationError, InvalidRequest, Unauthorized
from application.ports import (
    Caller,
    Clock,
    Credentials,
    Identity,
    Principal,
    Principals,
    RateLimits,
)
from infrastructure.identity_keys import Keys, SecretKey, key_set, shared_key
from infrastructure.identity_tokens import TokenVerifier, VerifiedToken, is_subject
from infrastructure.rate_limits import UNLIMITED
from infrastructure.settings import AnonymousPolicy, Settings
from infrastructure.settings_values import parse_duration

_ANONYMOUS_ID = re.compile(r"[A-Za-z0-9._~-]{8,128}")


class TokenIdentity(Identity):
    """Users by their token, everybody else by an anonymous id.

    Under the policy `signed` only ids that were minted here count: another well-formed one is
    Unauthorized, as a token with a wrong signature is. `tokens` None: no token is accepted.
    """

    def __init__(
        self,
        *,
        principals: Principals,
        secret: bytes,
        tokens: TokenVerifier | None = None,
        anon_policy: AnonymousPolicy = "open",
        limits: RateLimits = UNLIMITED,
    ) -> None:
        self._principals = principals
        self._secret = secret
        self._tokens = tokens
        self._signed_only = anon_policy == "signed"
        self._limits = limits

    @classmethod
    def configured(
        cls,
        settings: Settings,
        *,
        principals: Principals,
        secret: bytes,
        clock: Clock,
        limits: RateLimits,
    ) -> "TokenIdentity":
        """As the settings say. Raises ConfigurationError for keys that are of no use."""
        return cls(
            principals=principals,
            secret=secret,
            tokens=token_verifier(settings, clock),
            anon_policy=settings.anon_policy,
            limits=limits,
        )

    async def identify(self, credentials: Credentials, correlation: UUID) -> Caller:
        """Beside what the port names: raises RateLimited for an address that asks too often, and
        KeysUnavailable while no key set could be read.
        """
        address = limited_address(credentials.address)
        await self._limits.admit(address)
        try:
            if credentials.token:
                return await self._user(
                    credentials.token, credentials.anon_id, address, correlation
                )
            return await self._anonymous(credentials.anon_id, address, correlation)
        except (Unauthorized, InvalidRequest):
            await self._limits.admit_stranger(address)
            raise

    async def _user(
        self, written: str, anon_id: str | None, address: str, correlation: UUID
    ) -> Caller:
        token = await self._verify(written)
        return Caller(
            principal=await self._principals.resolve("user", token.subject),
            address=address,
            correlation=correlation,
            expires_at=token.expires_at,
            claimable=self._claimable(anon_id),
            scopes=token.scopes,
        )

    async def _anonymous(self, given: str | None, address: str, correlation: UUID) -> Caller:
        if given:
            self._check_anonymous(given)
        return Caller(
            principal=await self._visitor(given or self.mint_anonymous(), address),
            address=address,
            correlation=correlation,
            minted=not given,
        )

    async def _visitor(self, anon_id: str, address: str) -> Principal:
        """Limited before a row is written: else anybody could fill the database with visitors."""
        known = await self._principals.find("anonymous", anon_id)
        if known is not None:
            return known
        await self._limits.admit_stranger(address)
        return await self._principals.resolve("anonymous", anon_id)

    def mint_anonymous(self) -> str:
        token = secrets.token_hex(16)
        return f"{token}.{self._signature(token)}" if self._signed_only else token

    def is_signed(self, anon_id: str) -> bool:
        if not _ANONYMOUS_ID.fullmatch(anon_id):
            return False
        token, _, signature = anon_id.partition(".")
        return hmac.compare_digest(signature, self._signature(token))

    async def _verify(self, token: str) -> VerifiedToken:
        if self._tokens is None:
            raise Unauthorized("No tokens are accepted here: the service has no key for them.")
        return await self._tokens.verify(token)

    def _check_anonymous(self, anon_id: str) -> None:
        if not _ANONYMOUS_ID.fullmatch(anon_id):
            raise InvalidRequest(
                "An anonymous id is 8 to 128 letters, digits, and `.`, `_`, `~`, `-`.", "x-anon-id"
            )
        if self._signed_only and not self.is_signed(anon_id):
            raise Unauthorized("The anonymous id was not made by this service.")

    def _claimable(self, anon_id: str | None) -> str | None:
        """The id that came beside a token, if it could have come alone."""
        if not anon_id or not _ANONYMOUS_ID.fullmatch(anon_id):
            return None
        return None if self._signed_only and not self.is_signed(anon_id) else anon_id

    def _signature(self, token: str) -> str:
        # The secret has other uses: the prefix keeps their signatures apart.
        message = b"anonymous-id:" + token.encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]


def token_verifier(settings: Settings, clock: Clock) -> TokenVerifier | None:
    """What checks tokens as the settings say; None where no token is accepted."""
    keys: Keys
    if settings.jwt_secret is not None:
        keys = SecretKey(settings.jwt_secret.get_secret_value().encode())
    elif settings.jwks is not None:
        keys = key_set(settings.jwks, settings.jwt_algorithm, clock)
    else:
        return None
    return TokenVerifier(keys, clock, settings.jwt_issuer, settings.jwt_audience)


def mint_token(settings: Settings, sub: str, scopes: Sequence[str], expires: str) -> str:
    """A token for development, signed with DABIR_JWT_SECRET and good for `expires` (`24h`).

    Raises ConfigurationError.
    """
    if settings.jwks is not None:
        raise ConfigurationError(
            "Tokens are checked with the keys of DABIR_JWKS: only who holds their private halves "
            "can make tokens."
        )
    if settings.jwt_secret is None:
        raise ConfigurationError(
            "Set DABIR_JWT_SECRET first, for `dabir serve` too: `openssl rand -hex 32` makes one."
        )
    if not is_subject(sub):
        raise ConfigurationError("--sub must be a name of 1 to 255 characters.")
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "sub": sub,
        "iat": now,
        "exp": now + _lifetime(expires),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "scope": " ".join(scopes) or None,
    }
    key = shared_key(settings.jwt_secret.get_secret_value().encode())
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "HS256"}, given, key)


def _lifetime(expires: str) -> int:
    try:
        seconds = int(parse_duration(expires))
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise ConfigurationError("--expires must be a duration such as 24h, at least a second.")
    return seconds
