"""Counting tokens without holding up the event loop."""

import asyncio
from typing import Protocol

COUNTED_INLINE = 2_000
"""Characters up to which counting is quicker than a hop to a thread."""


class TokenCounter(Protocol):
    def count_tokens(self, text: str) -> int: ...


async def token_count(counter: TokenCounter, text: str) -> int:
    """An estimate of the tokens in a text."""
    if len(text) <= COUNTED_INLINE:
        return counter.count_tokens(text)
    return await asyncio.to_thread(counter.count_tokens, text)
