"""Estimates of tokens, by one common encoding that lies in litellm's package: never by network."""

import os
from functools import cache
from typing import TYPE_CHECKING

from infrastructure.language_model.packages import package_folder

if TYPE_CHECKING:
    import tiktoken

ENCODING = "cl100k_base"
ENCODING_FILE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""tiktoken's name for it: the SHA-1 of the address it would else be fetched from."""
PIECE = 4096
"""Characters encoded at once: a long run without a space costs more than its length."""


def count_tokens(text: str) -> int:
    """About how many tokens a model sees in the text; blocks for about 0.1 ms per 1,000 characters.

    Names of special tokens in the text count as the plain text they are.
    """
    encoding = _encoding()
    return sum(
        len(encoding.encode(text[start : start + PIECE], disallowed_special=()))
        for start in range(0, len(text), PIECE)
    )


class TokenEstimate:
    """Implements `application.token_count.TokenCounter` where no model is at hand."""

    def count_tokens(self, text: str) -> int:
        return count_tokens(text)


@cache
def _encoding() -> "tiktoken.Encoding":
    litellm = package_folder("litellm")
    folder = litellm and litellm / "litellm_core_utils" / "tokenizers"
    if folder is None or not (folder / ENCODING_FILE).is_file():
        raise RuntimeError(f"litellm's package lacks the encoding {ENCODING} ({ENCODING_FILE})")
    # tiktoken looks here before it downloads; litellm sets the same when it is imported.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken

    return tiktoken.get_encoding(ENCODING)
