"""What leaves the gateway is text that UTF-8 can carry."""

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.language_model.surrogates import Pairs

HIGH, LOW = "\ud83d", "\ude00"


def test_a_pair_split_over_two_pieces_is_joined() -> None:
    pairs = Pairs()
    assert pairs.join("a" + HIGH) + pairs.join(LOW + "b") + pairs.end() == "a😀b"


def test_a_half_alone_is_replaced() -> None:
    assert _joined(["a" + HIGH + "b"]) == "a\ufffdb"
    assert _joined([LOW, HIGH]) == "\ufffd\ufffd"
    assert _joined([HIGH, "a"]) == "\ufffda"


@given(st.lists(st.text(st.sampled_from([HIGH, LOW, "a", "é", "😀"]))))
def test_pieces_make_the_same_text_as_the_whole(pieces: list[str]) -> None:
    joined = _joined(pieces)
    assert joined == _joined(["".join(pieces)])
    joined.encode()


def _joined(pieces: list[str]) -> str:
    pairs = Pairs()
    return "".join(map(pairs.join, pieces)) + pairs.end()
