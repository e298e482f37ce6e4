"""Tokens are counted here, of any text, without network."""

import subprocess
import sys

import pytest

from infrastructure.language_model.tokens import count_tokens


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("Hello, world!", 4), ("<|endoftext|>", 7), ("سلام", 3)]
)
def test_known_counts(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@pytest.mark.parametrize("text", ["a", " ", "漢", "\ud83d", "ab\n"])
def test_a_long_run_is_counted_in_its_length(text: str) -> None:
    assert 0 < count_tokens(text * 200_000) <= 200_000 * 4


def test_counting_needs_neither_network_nor_litellm() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from infrastructure.language_model.tokens import count_tokens\n"
        "assert count_tokens('Hello, world!') == 4\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"TIKTOKEN_CACHE_DIR": "/none"})
