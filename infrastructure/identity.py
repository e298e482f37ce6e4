"""Who is calling: one resolver for HTTP and Socket.IO."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, IPv6Network, ip_address
from uuid import UUID

from joserfc import jwt

from application.errors import ConfigurationError, InvalidRequest, Unauthorized
from application.ports import Caller, Clock, Credentials, Identity, Principals
from infrastructure.identity_keys import Keys, SecretKey, key_set, shared_key
from infrastructure.identity_tokens import TokenVerifier, VerifiedToken, is_subject
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
    ) -> None:
        self._principals = principals
        self._secret = secret
        self._tokens = tokens
        self._signed_only = anon_policy == "signed"

    @classmethod
    def configured(
        cls, settings: Settings, *, principals: Principals, secret: bytes, clock: Clock
    ) -> "TokenIdentity":
        """As the settings say. Raises ConfigurationError for keys that are of no use."""
        return cls(
            principals=principals,
            secret=secret,
            tokens=token_verifier(settings, clock),
            anon_policy=settings.anon_policy,
        )

    async def identify(self, credentials: Credentials, correlation: UUID) -> Caller:
        """Beside what the port names: raises KeysUnavailable while no key set could be read."""
        address = _limited_address(credentials.address)
        if credentials.token:
            token = await self._verify(credentials.token)
            return Caller(
                principal=await self._principals.resolve("user", token.subject),
                address=address,
                correlation=correlation,
                expires_at=token.expires_at,
                claimable=self._claimable(credentials.anon_id),
                scopes=token.scopes,
            )
        anon_id = credentials.anon_id or self.mint_anonymous()
        if credentials.anon_id:
            self._check_anonymous(anon_id)
        return Caller(
            principal=await self._principals.resolve("anonymous", anon_id),
            address=address,
            correlation=correlation,
            minted=not credentials.anon_id,
        )

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


def _limited_address(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: what one customer usually holds."""
    try:
        parsed = ip_address(address)
    except ValueError:
        # A Unix socket has no peer. All such callers share one allowance.
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(IPv6Network((int(parsed), 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


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
