"""Which tokens are good, and that no other ever is."""

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.errors import Unauthorized
from infrastructure.identity import TokenIdentity, token_verifier
from infrastructure.identity_keys import SecretKey
from infrastructure.identity_tokens import TokenVerifier, VerifiedToken
from infrastructure.settings import Settings
from tests.identity.parts import (
    NOON,
    SECRET,
    TurnedClock,
    caller_of,
    rsa,
    secret_key,
    token,
    with_identity,
)

AT_NOON = int(NOON.timestamp())


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_hand(header: Any, claims: Any, secret: str = SECRET) -> str:
    """A token as no library would make it, with a signature that is right."""
    signing_input = f"{part(header)}.{part(claims)}"
    digest = hmac.new(secret.encode(), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{part(digest)}"


def verified(given: str, **flags: Any) -> VerifiedToken:
    verifier = token_verifier(Settings(**{"jwt_secret": SECRET, **flags}), TurnedClock())
    assert verifier is not None
    return asyncio.run(verifier.verify(given))


def refusal_of(given: str, **flags: Any) -> str:
    with pytest.raises(Unauthorized) as refusal:
        verified(given, **flags)
    return str(refusal.value)


def test_a_good_token_names_its_user_scopes_and_end() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        caller = await caller_of(identity, token(scope="dabir:admin openid", scopes=["more"]))
        assert (caller.principal.kind, caller.principal.name) == ("user", "alice")
        assert caller.scopes == {"dabir:admin", "openid", "more"}
        assert caller.expires_at == datetime.fromtimestamp(AT_NOON + 3600, UTC)
        assert not caller.minted
        assert caller.claimable is None

    with_identity(test, jwt_secret=SECRET)


def test_the_same_subject_is_the_same_principal() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        first = await caller_of(identity, token(jti="1"))
        second = await caller_of(identity, token(jti="2"))
        other = await caller_of(identity, token(sub="bob"))
        assert first.principal == second.principal
        assert first.principal != other.principal

    with_identity(test, jwt_secret=SECRET)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": AT_NOON}, "expired"),
        ({"exp": AT_NOON - 1}, "expired"),
        ({"exp": -1e300}, "expired"),
        ({"exp": None}, "`exp`"),
        ({"exp": "tomorrow"}, "`exp`"),
        ({"exp": True}, "`exp`"),
        ({"sub": None}, "`sub`"),
        ({"sub": 7}, "`sub`"),
        ({"sub": ""}, "`sub`"),
        ({"sub": "a" * 256}, "`sub`"),
        ({"sub": "a\0b"}, "`sub`"),
        ({"nbf": AT_NOON + 11}, "not valid yet"),
        ({"scope": 7}, "odd claims"),
    ],
)
def test_claims_that_are_missing_wrong_or_out_of_time_are_refused(
    claims: dict[str, Any], words: str
) -> None:
    assert words in refusal_of(token(**claims))


def test_not_before_may_lie_a_few_seconds_ahead() -> None:
    assert verified(token(nbf=AT_NOON + 10)).subject == "alice"


def test_an_end_beyond_every_calendar_is_far_away() -> None:
    assert verified(token(exp=10**30)).expires_at.year == 9999


def test_a_token_without_signature_is_refused() -> None:
    claims = {"sub": "alice", "exp": AT_NOON + 60}
    assert "algorithm" in refusal_of(f"{part({'alg': 'none'})}.{part(claims)}.")
    assert "signature" in refusal_of(f"{part({'alg': 'HS256'})}.{part(claims)}.")


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    """The old confusion: the provider's published RSA key, used as an HMAC secret."""
    public = rsa("one").as_pem(private=False).decode()
    forged = signed_by_hand(
        {"alg": "HS256", "kid": "one"}, {"sub": "alice", "exp": AT_NOON + 60}, public
    )
    assert "signature" in refusal_of(forged)
    assert "algorithm" in refusal_of(token(rsa("one"), "RS256"))


def test_a_token_of_another_secret_or_a_stronger_algorithm_is_refused() -> None:
    assert "signature" in refusal_of(token(secret_key("another-secret-of-thirty-two-bytes!!")))
    assert "algorithm" in refusal_of(token(alg="HS512"))


def test_a_tampered_token_is_refused() -> None:
    header, _, signature = token().split(".")
    claims = part({"sub": "bob", "exp": AT_NOON + 60})
    assert "signature" in refusal_of(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    "given",
    [
        "nonsense",
        "a.b",
        "a.b.c",
        "....",
        ".",
        "توکن",
        "\ud800",
        "é" * 10,
        f"{part([1])}.{part({})}.x",
        f"{part('alg')}.{part({})}.x",
        f"{part(b'[' * 4000)}.{part({})}.x",
        f"{part({'alg': 5})}.{part({})}.x",
        f"{part({'alg': 'HS256', 'crit': None})}.{part({})}.x",
        f"{part({'alg': 'HS256', 'kid': 5})}.{part({})}.x",
        "x" * 8193,
    ],
)
def test_what_is_no_token_is_refused(given: str) -> None:
    assert "not a signed JWT" in refusal_of(given)


def test_a_huge_token_is_refused_though_it_is_signed() -> None:
    assert "not a signed JWT" in refusal_of(token(padding="x" * 8192))


@pytest.mark.parametrize(
    "claims", [b"[]", b"null", b"{", b"\xff", b"[" * 3000, b'{"sub":"\\ud800","exp":9e9}']
)
def test_signed_nonsense_is_refused(claims: bytes) -> None:
    assert "`sub`" in refusal_of(signed_by_hand({"alg": "HS256"}, claims))


def test_unknown_extensions_are_refused_and_unknown_headers_are_not() -> None:
    claims = {"sub": "alice", "exp": AT_NOON + 60}
    for extension in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"b64": False}):
        assert "extension" in refusal_of(signed_by_hand({"alg": "HS256", **extension}, claims))
    odd = signed_by_hand({"alg": "HS256", "typ": "at+jwt", "x5c": 5, "x-own": [1]}, claims)
    assert verified(odd).subject == "alice"


def test_issuer_and_audience_are_checked_when_configured() -> None:
    flags = {"jwt_issuer": "https://id.example", "jwt_audience": "dabir"}
    ours: dict[str, Any] = {"iss": "https://id.example", "aud": "dabir"}
    assert "issuer" in refusal_of(token(aud="dabir"), **flags)
    assert "issuer" in refusal_of(token(aud="dabir", iss="https://id.example/"), **flags)
    assert "audience" in refusal_of(token(iss="https://id.example"), **flags)
    assert "audience" in refusal_of(token(**{**ours, "aud": ["other"]}), **flags)
    assert "audience" in refusal_of(token(**{**ours, "aud": "dabir2"}), **flags)
    assert verified(token(**ours), **flags).subject == "alice"
    assert verified(token(**{**ours, "aud": ["other", "dabir"]}), **flags).subject == "alice"


@pytest.mark.parametrize("given", [token(exp=AT_NOON), "nonsense", "توکن", " "])
@pytest.mark.parametrize("jwt_secret", [SECRET, None])
def test_a_bad_token_is_refused_and_never_downgraded(given: str, jwt_secret: str | None) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        for beside in ("anon-browser-1", None, ""):
            with pytest.raises(Unauthorized):
                await caller_of(identity, given, beside)

    with_identity(test, jwt_secret=jwt_secret)


def test_a_token_is_refused_where_none_is_configured() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        with pytest.raises(Unauthorized, match="no key"):
            await caller_of(identity, token())

    with_identity(test)


def test_a_token_that_was_good_ends_at_its_end() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        short = token(exp=AT_NOON + 5)
        await caller_of(identity, short)
        clock.turn(4.9)
        await caller_of(identity, short)
        clock.turn(0.1)
        with pytest.raises(Unauthorized, match="expired"):
            await caller_of(identity, short)

    with_identity(test, jwt_secret=SECRET)


def test_no_refusal_repeats_the_token_or_the_secret() -> None:
    given = token(sub="somebody-private", exp=AT_NOON - 1)
    words = refusal_of(given)
    assert "somebody-private" not in words
    assert given not in words
    assert SECRET not in words


VERIFIER = TokenVerifier(SecretKey(SECRET.encode()), TurnedClock())


@given(garbled=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: f"{part(raw)}.e30.x"))
@settings(max_examples=200, deadline=None)
def test_whatever_is_sent_the_answer_is_a_refusal(garbled: str) -> None:
    for sent in (garbled, f"{token()}{garbled or '.'}"):
        with pytest.raises(Unauthorized):
            asyncio.run(VERIFIER.verify(sent))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
HEADERS = ["alg", "kid", "typ", "cty", "jku", "jwk", "x5u", "x5c", "x5t", "crit", "b64", "zip"]
CLAIMS = ["sub", "exp", "nbf", "iat", "iss", "aud", "scope", "scopes"]


@given(
    headers=st.dictionaries(st.sampled_from(HEADERS), ODD, max_size=3),
    claims=st.dictionaries(st.sampled_from(CLAIMS), ODD, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_signed_it_is_a_user_or_a_refusal(
    headers: dict[str, Any], claims: dict[str, Any]
) -> None:
    odd = signed_by_hand(
        {"alg": "HS256", **headers}, {"sub": "alice", "exp": AT_NOON + 60, **claims}
    )
    with suppress(Unauthorized):
        assert asyncio.run(VERIFIER.verify(odd)).subject
