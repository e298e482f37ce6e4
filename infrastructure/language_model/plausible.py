"""Whether a provider's count of tokens can be true. One that cannot is not charged by."""

from typing import NamedTuple, Self

from application.ports import Prompt, ProviderUsage

TEMPLATE_TOKENS = 4096
"""What a provider may add to a prompt: its template, its own system prompt."""
MESSAGE_TOKENS = 64
"""What it may add to each message."""
SLACK = 64
LONGEST_TOKEN = 256
"""Bytes; the longest known are runs of 128 spaces."""


class PromptSize(NamedTuple):
    """How much was sent, in bytes of text; remembered where the prompt itself is not."""

    messages: int
    sent: int

    @classmethod
    def of(cls, prompt: Prompt) -> Self:
        texts = [message.content.encode("utf-8", "replace") for message in prompt.messages]
        return cls(len(texts), sum(map(len, texts)))


def plausible_usage(
    told: tuple[object, object] | None, prompt: PromptSize, max_tokens: int, delivered: int
) -> ProviderUsage | None:
    """The usage, or None where it is absent or beyond belief.

    A token is at least a byte of what was sent or delivered (`delivered` in bytes), but reasoning
    may be hidden: that is bounded by `max_tokens`.
    """
    if told is None:
        return None
    prompt_tokens, completion_tokens = told
    if type(prompt_tokens) is not int or type(completion_tokens) is not int:
        return None
    sent = prompt.sent
    most_in = sent + MESSAGE_TOKENS * prompt.messages + TEMPLATE_TOKENS
    most_out = max(max_tokens, delivered) + SLACK
    least_in, least_out = -(-sent // LONGEST_TOKEN), -(-delivered // LONGEST_TOKEN)
    if not (least_in <= prompt_tokens <= most_in and least_out <= completion_tokens <= most_out):
        return None
    return ProviderUsage(prompt_tokens, completion_tokens)
