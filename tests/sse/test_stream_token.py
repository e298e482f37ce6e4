"""Stream tokens open one reply, and event ids one place in it."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.sse.stream_token import Place, StreamTokens

TOKENS = StreamTokens(b"the secret of a node, shared by all nodes")
OTHERS = StreamTokens(b"the secret of somebody else's nodes")


@given(st.uuids())
def test_a_token_names_its_reply_on_every_node_of_the_secret(reply_id: UUID) -> None:
    token = TOKENS.mint(reply_id)
    assert TOKENS.reply_of(token) == reply_id
    assert OTHERS.reply_of(token) is None


@given(st.uuids(), st.integers(0, 42), st.sampled_from("AZaz09_-"))
def test_a_changed_token_names_nothing(reply_id: UUID, at: int, character: str) -> None:
    token = TOKENS.mint(reply_id)
    changed = token[:at] + character + token[at + 1 :]
    # The last character carries four bits of the token, and two that say nothing.
    found = TOKENS.reply_of(changed)
    assert found is None or (found == reply_id and changed[:42] == token[:42])


@pytest.mark.parametrize("token", ["", "x", "é" * 43, "A" * 43, "A" * 44, "A" * 43 + "\n"])
def test_what_is_no_token_names_nothing(token: str) -> None:
    assert TOKENS.reply_of(token) is None


def test_an_event_id_names_its_place() -> None:
    reply_id = uuid4()
    token = TOKENS.mint(reply_id)
    assert TOKENS.place_of(f"{token}.s") == Place(reply_id, "s")
    assert TOKENS.place_of(f"{token}.x.12.3") == Place(reply_id, "x", 12, 3)
    assert TOKENS.place_of(f"{token}.t") == Place(reply_id, "t")
    assert TOKENS.place_of(f"{token}.u") == Place(reply_id, "u")


@pytest.mark.parametrize(
    "rest", ["", ".", ".z", ".x", ".x.1", ".x.-1.0", ".x.1.1.1", ".s.1", ".x.1.1\n", ".x.١.0"]
)
def test_a_malformed_event_id_names_nothing(rest: str) -> None:
    assert TOKENS.place_of(TOKENS.mint(uuid4()) + rest) is None
