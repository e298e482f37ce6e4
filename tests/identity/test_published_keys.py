"""Keys that a provider publishes, in a file or by HTTP, and their rotation."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, RSAKey

from application.errors import ConfigurationError, Unauthorized
from infrastructure.identity import TokenIdentity, token_verifier
from infrastructure.identity_keys import KeysUnavailable
from infrastructure.settings import Settings
from tests.identity.parts import (
    TurnedClock,
    caller_of,
    ec,
    key_document,
    okp,
    publisher,
    rsa,
    secret_key,
    token,
    with_identity,
)

KINDS: list[tuple[Key, str]] = [
    (rsa("r"), "RS256"),
    (ec("e"), "ES256"),
    (okp("o"), "EdDSA"),
    (okp("o"), "Ed25519"),
]


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(("key", "alg"), KINDS)
@pytest.mark.parametrize("by_url", [False, True])
def test_each_kind_of_published_key_checks_its_own_tokens(
    key: Key, alg: str, by_url: bool, tmp_path: Path
) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        assert (await caller_of(identity, token(key, alg))).principal.name == "alice"

    document = key_document(rsa("r"), ec("e"), okp("o"))
    file = tmp_path / "keys.json"
    file.write_text(document)
    with publisher() as published:
        published.document = document
        with_identity(test, jwks=published.url if by_url else str(file))
        assert published.asked == int(by_url)


def refusal_of(given: str, document: str, tmp_path: Path, **flags: Any) -> str:
    file = tmp_path / "keys.json"
    file.write_text(document)

    verifier = token_verifier(Settings(jwks=str(file), **flags), TurnedClock())
    assert verifier is not None
    with pytest.raises(Unauthorized) as refusal:
        asyncio.run(verifier.verify(given))
    return str(refusal.value)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_key_is_used_with_its_own_algorithm_only(tmp_path: Path) -> None:
    document = key_document(rsa("r"), ec("e"), okp("o"))
    for forged in (
        token(rsa("r"), "RS512"),
        token(rsa("r"), "PS256"),
        token(secret_key(), "HS256"),
        token(okp("r"), "EdDSA"),
    ):
        assert "algorithm" in refusal_of(forged, document, tmp_path)


def test_a_public_key_or_a_published_secret_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DABIR_JWT_SECRET must be a secret"):
        token_verifier(Settings(jwt_secret=rsa("r").as_pem(private=False).decode()), TurnedClock())
    keys = [{**secret_key().as_dict(), "kid": "s"}, rsa("r").as_dict(private=False)]
    assert "algorithm" in refusal_of(token(), json.dumps({"keys": keys}), tmp_path)


def test_the_configured_algorithm_shuts_out_the_others(tmp_path: Path) -> None:
    document = key_document(rsa("r"), ec("e"))
    assert "algorithm" in refusal_of(
        token(rsa("r"), "RS256"), document, tmp_path, jwt_algorithm="ES256"
    )


def test_a_token_signed_by_another_key_of_that_name_is_refused(tmp_path: Path) -> None:
    other = RSAKey.generate_key(2048, {"kid": "r"})
    assert "signature" in refusal_of(token(other, "RS256"), key_document(rsa("r")), tmp_path)


def test_a_token_that_names_no_key_must_leave_no_choice(tmp_path: Path) -> None:
    nameless = ECKey.import_key(
        {k: v for k, v in ec("e").as_dict(private=True).items() if k != "kid"}
    )
    given = token(nameless, "ES256")
    assert "key" in refusal_of(given, key_document(ec("e"), ec("e2")), tmp_path)

    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        assert (await caller_of(identity, given)).principal.name == "alice"

    (tmp_path / "keys.json").write_text(key_document(ec("e"), rsa("r")))
    with_identity(test, jwks=str(tmp_path / "keys.json"))


@pytest.mark.filterwarnings("ignore:Key size should be")
@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": 7}, {"kty": 5}, {}]}',
        json.dumps({"keys": [secret_key().as_dict()]}),
        json.dumps({"keys": [{**ec("e").as_dict(private=False), "use": "enc"}]}),
        json.dumps({"keys": [{**ec("e").as_dict(private=False), "alg": "ES384"}]}),
        key_document(rsa("weak", 1024)),
        " " * (256 * 1024 + 1),
    ],
)
def test_a_file_without_a_usable_key_stops_the_start(document: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(document)
    with pytest.raises(ConfigurationError, match=r"DABIR_JWKS: .*keys\.json must be"):
        token_verifier(Settings(jwks=str(file)), TurnedClock())
    with pytest.raises(ConfigurationError, match="DABIR_JWKS"):
        token_verifier(Settings(jwks=str(tmp_path / "missing.json")), TurnedClock())


def test_an_unknown_key_makes_the_set_be_read_again_but_not_at_every_call() -> None:
    with publisher() as published:
        published.document = key_document(rsa("old"))

        async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
            await caller_of(identity, token(rsa("old"), "RS256"))
            published.document = key_document(rsa("new"))
            for _ in range(3):
                with pytest.raises(Unauthorized):
                    await caller_of(identity, token(rsa("new"), "RS256"))
            assert published.asked == 1
            clock.turn(10)
            assert (await caller_of(identity, token(rsa("new"), "RS256"))).principal.name == "alice"
            assert published.asked == 2
            # Neither the old key nor what was remembered of it outlives its publication.
            with pytest.raises(Unauthorized):
                await caller_of(identity, token(rsa("old"), "RS256"))

        with_identity(test, jwks=published.url)


def test_many_callers_with_an_unknown_key_cause_one_reading() -> None:
    with publisher() as published:
        published.document = key_document(rsa("old"))

        async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
            callers = [
                caller_of(identity, token(rsa("old"), "RS256", jti=str(n))) for n in range(9)
            ]
            assert {caller.principal.name for caller in await asyncio.gather(*callers)} == {"alice"}
            assert published.asked == 1

        with_identity(test, jwks=published.url)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 302},
        {"document": "<html>"},
        {"document": '{"keys": []}'},
        {"document": "x" * (256 * 1024 + 1)},
    ],
)
def test_a_reading_that_fails_keeps_the_old_keys(fault: dict[str, Any]) -> None:
    with publisher() as published:
        published.document = key_document(rsa("old"))

        async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
            await caller_of(identity, token(rsa("old"), "RS256"))
            vars(published).update(fault)
            clock.turn(60)
            with pytest.raises(Unauthorized):
                await caller_of(identity, token(rsa("new"), "RS256"))
            assert published.asked == 2
            assert (await caller_of(identity, token(rsa("old"), "RS256"))).principal.name == "alice"

        with_identity(test, jwks=published.url)


def test_old_keys_serve_while_the_set_is_read_anew() -> None:
    with publisher() as published:
        published.document = key_document(rsa("old"))

        async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
            await caller_of(identity, token(rsa("old"), "RS256"))
            published.document = key_document(rsa("new"))
            clock.turn(600)
            late = {"exp": int(clock.now().timestamp()) + 60}
            await caller_of(identity, token(rsa("old"), "RS256", **late))
            # The unknown key joins the reading that the old one has set off.
            assert (await caller_of(identity, token(rsa("new"), "RS256"))).principal.name == "alice"
            assert published.asked == 2

        with_identity(test, jwks=published.url)


def test_while_no_key_could_be_read_no_token_is_judged_and_soon_it_is_tried_again() -> None:
    with publisher() as published:
        published.document = key_document(rsa("old"))
        published.status = 503

        async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
            for _ in range(3):
                with pytest.raises(KeysUnavailable):
                    await caller_of(identity, token(rsa("old"), "RS256"))
            assert published.asked == 1
            published.status = 200
            clock.turn(10)
            assert (await caller_of(identity, token(rsa("old"), "RS256"))).principal.name == "alice"

        with_identity(test, jwks=published.url)


def test_a_file_that_changed_is_read_when_a_new_key_is_met(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(key_document(rsa("old")))

    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        await caller_of(identity, token(rsa("old"), "RS256"))
        file.write_text(key_document(rsa("old"), ec("e")))
        clock.turn(10)
        assert (await caller_of(identity, token(ec("e"), "ES256"))).principal.name == "alice"

    with_identity(test, jwks=str(file))
