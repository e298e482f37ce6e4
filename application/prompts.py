"""What the model is shown: a branch of the chat, trimmed to the model's context window."""

from collections import OrderedDict
from uuid import UUID

import msgspec

from application.ports import ModelSpec, PromptMessage
from application.queries import HistoryMessage, Views
from application.token_count import TokenCounter, token_count

FIRST_PAGE, PAGE = 16, 64
"""Messages read at a time, upwards from the newest; few windows hold less than the first few."""
MESSAGE_OVERHEAD = 6
"""Tokens that a chat template adds to a message, about."""
MARGIN = 8
"""One part in this many of the window is left free: other tokenizers count otherwise."""
CACHED_COUNTS = 20_000


class Assembled(msgspec.Struct, frozen=True):
    messages: tuple[PromptMessage, ...]
    tokens: int
    max_tokens: int
    """What is left for the answer, at most what was asked for."""


class Prompts:
    def __init__(self, views: Views, counter: TokenCounter) -> None:
        self._views = views
        self._counter = counter
        self._counts: OrderedDict[UUID, int] = OrderedDict()

    async def assemble(
        self,
        principal: UUID,
        chat_id: UUID,
        model: ModelSpec,
        max_tokens: int,
        parent_id: UUID | None,
        content: str | None,
    ) -> Assembled:
        """The branch that ends in `parent_id`, and after it `content` where it is given.

        Always holds the newest message; older ones as long as they fit. Raises ViewsBehind.
        """
        window = model.context_window - model.context_window // MARGIN
        budget = max(window - max_tokens, window // 2)
        newest_first: list[PromptMessage] = []
        tokens, limit = 0, FIRST_PAGE
        if content is not None:
            newest_first.append(PromptMessage("user", content))
            tokens = await token_count(self._counter, content) + MESSAGE_OVERHEAD
        while parent_id is not None:
            page = await self._views.history(principal, chat_id, parent_id, limit)
            for message in page:
                if not message.content:
                    continue
                count = await self._count_once(message)
                if newest_first and tokens + count > budget:
                    parent_id = None
                    break
                newest_first.append(PromptMessage(message.role, message.content))
                tokens += count
            else:
                parent_id = page[-1].parent_id if len(page) == limit else None
            limit = PAGE
        # A prompt that begins with an answer is refused by some providers.
        while len(newest_first) > 1 and newest_first[-1].role == "assistant":
            newest_first.pop()
        return Assembled(
            messages=tuple(reversed(newest_first)),
            tokens=tokens,
            max_tokens=min(max_tokens, max(1, model.context_window - tokens)),
        )

    async def _count_once(self, message: HistoryMessage) -> int:
        known = self._counts.get(message.id)
        if known is None:
            known = await token_count(self._counter, message.content) + MESSAGE_OVERHEAD
            self._counts[message.id] = known
            if len(self._counts) > CACHED_COUNTS:
                self._counts.popitem(last=False)
        return known
