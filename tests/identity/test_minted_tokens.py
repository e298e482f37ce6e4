"""Tokens made for development."""

from datetime import UTC, datetime
from typing import Any

import pytest

from application.errors import ConfigurationError
from infrastructure.identity import TokenIdentity, mint_token
from infrastructure.settings import Settings
from tests.identity.parts import SECRET, TurnedClock, caller_of, with_identity


def test_a_minted_token_signs_in_with_the_same_settings() -> None:
    flags: dict[str, Any] = {
        "jwt_secret": SECRET,
        "jwt_issuer": "https://id.example",
        "jwt_audience": "dabir",
    }

    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        clock.time = datetime.now(UTC)
        minted = mint_token(Settings(**flags), "آلیس", ["dabir:admin"], "24h")
        caller = await caller_of(identity, minted)
        assert caller.principal.name == "آلیس"
        assert caller.scopes == {"dabir:admin"}
        assert caller.expires_at is not None
        assert 86390 < (caller.expires_at - clock.time).total_seconds() <= 86400

    with_identity(test, **flags)


@pytest.mark.parametrize(
    ("flags", "sub", "expires", "words"),
    [
        ({}, "alice", "24h", "Set DABIR_JWT_SECRET first"),
        ({"jwks": "keys.json"}, "alice", "24h", "only who holds their private halves"),
        ({"jwt_secret": SECRET}, "alice", "30", "--expires must be a duration"),
        ({"jwt_secret": SECRET}, "alice", "999ms", "--expires must be a duration"),
        ({"jwt_secret": SECRET}, "", "24h", "--sub must be"),
        ({"jwt_secret": SECRET}, "a" * 256, "24h", "--sub must be"),
    ],
)
def test_what_cannot_be_minted_says_why(
    flags: dict[str, Any], sub: str, expires: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        mint_token(Settings(**flags), sub, [], expires)
