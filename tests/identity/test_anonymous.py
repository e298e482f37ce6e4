"""Anonymous ids, chosen by clients or minted here."""

import re

import pytest

from application.errors import InvalidRequest, Unauthorized
from infrastructure.identity import TokenIdentity
from tests.identity.parts import SECRET, TurnedClock, caller_of, token, with_identity

WELL_FORMED = re.compile(r"[A-Za-z0-9._~-]{8,128}")


@pytest.mark.parametrize("anon_id", ["12345678", "anon-user-123", "~._-~._-", "x" * 128])
def test_a_client_may_choose_its_id(anon_id: str) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        caller = await caller_of(identity, None, anon_id)
        assert (caller.principal.kind, caller.principal.name) == ("anonymous", anon_id)
        assert (caller.minted, caller.expires_at, caller.scopes) == (False, None, frozenset())
        assert (await caller_of(identity, "", anon_id)).principal == caller.principal

    with_identity(test)


@pytest.mark.parametrize(
    "anon_id",
    ["short", "x" * 129, "with space", "new\nline1", "12345678\n", "نشانی-من-۱۲۳", "a/b/c/d/e"],
)
def test_an_id_that_is_not_well_formed_is_invalid(anon_id: str) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            await caller_of(identity, None, anon_id)
        assert refusal.value.path == "x-anon-id"
        assert not identity.is_signed(anon_id)

    for policy in ("open", "signed"):
        with_identity(test, anon_policy=policy)


@pytest.mark.parametrize("policy", ["open", "signed"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_who_gives_nothing_gets_an_id_that_works_from_then_on(
    policy: str, nothing: str | None
) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        first = await caller_of(identity, nothing, nothing)
        assert first.minted
        assert WELL_FORMED.fullmatch(first.principal.name)
        assert identity.is_signed(first.principal.name) == (policy == "signed")
        again = await caller_of(identity, None, first.principal.name)
        assert (again.principal, again.minted) == (first.principal, False)
        assert (await caller_of(identity)).principal != first.principal

    with_identity(test, anon_policy=policy)


def test_the_signed_policy_takes_only_what_was_minted_here() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        minted = identity.mint_anonymous()
        stem, _, signature = minted.partition(".")
        last = "0" if minted[-1] != "0" else "1"
        for forged in (
            "anon-user-123",
            stem,
            f"{stem}.",
            minted[:-1],
            minted[:-1] + last,
            minted + "0",
            f"{'0' * 32}.{signature}",
            f"{stem}..{signature}",
        ):
            assert not identity.is_signed(forged)
            with pytest.raises(Unauthorized):
                await caller_of(identity, None, forged)

    with_identity(test, anon_policy="signed")


def test_a_token_beside_an_anonymous_id_is_the_user_who_may_claim_it() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        caller = await caller_of(identity, token(), "anon-user-123")
        assert (caller.principal.kind, caller.claimable) == ("user", "anon-user-123")
        assert (await caller_of(identity, token(), "no good")).claimable is None
        assert (await caller_of(identity, token(), "")).claimable is None

    with_identity(test, jwt_secret=SECRET)


def test_an_id_that_could_not_act_cannot_be_claimed() -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        assert (await caller_of(identity, token(), "anon-user-123")).claimable is None
        minted = identity.mint_anonymous()
        assert (await caller_of(identity, token(), minted)).claimable == minted

    with_identity(test, jwt_secret=SECRET, anon_policy="signed")


@pytest.mark.parametrize(
    ("address", "limited"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("localhost", "unknown"),
    ],
)
def test_addresses_are_counted_as_one_customer_holds_them(address: str, limited: str) -> None:
    async def test(identity: TokenIdentity, clock: TurnedClock) -> None:
        assert (await caller_of(identity, None, None, address)).address == limited

    with_identity(test)
