"""The account that pays: opened on first use, and what it must hold for a reply."""

import hashlib
import hmac
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from application.errors import StreamNotFound
from application.ports import AddressUse, Caller, EventStore, Models, ModelSpec, Principal
from domain.usage import Quote, Usage


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator grants. Amounts in nanos, `window` in seconds.

    An `address_limit` of 0 is none.
    """

    currency: str
    starting_balance: int
    anonymous_limit: int
    address_limit: int
    window: float


class Accounts:
    def __init__(self, store: EventStore, models: Models, terms: Terms, secret: bytes) -> None:
        self._store = store
        self._models = models
        self._terms = terms
        self._secret = secret

    async def of(self, principal: Principal, at: datetime, fresh: bool) -> Usage:
        """The principal's account, opened with its starting balance where it has none yet."""
        try:
            return await self._store.load(Usage, principal.id, fresh=fresh)
        except StreamNotFound:
            usage = Usage.open(principal.id, principal.kind, self._terms.currency, at)
            if principal.kind == "user" and self._terms.starting_balance:
                usage.top_up(self._terms.starting_balance, "starting-balance", None, at)
            return usage

    async def paying(self, payer: UUID, fresh: bool) -> Usage:
        """The account that holds for a reply under way."""
        return await self._store.load(Usage, payer, fresh=fresh)

    def hold(
        self,
        usage: Usage,
        reply_id: UUID,
        chat_id: UUID,
        model: ModelSpec,
        prompt_tokens: int,
        max_tokens: int,
        at: datetime,
    ) -> None:
        """Hold what the dearest of the model and its fallbacks would cost.

        Raises InsufficientBalance, AnonymousLimitReached.
        """
        dearest = max(
            candidate.price.cost(prompt_tokens, max_tokens)
            for candidate in (model, *map(self._models.get, model.fallbacks))
        )
        quote = Quote(model.id, model.price, prompt_tokens, max_tokens)
        if usage.state.kind == "user":
            usage.hold_amount(reply_id, chat_id, dearest, quote, at)
            return
        usage.hold_allowance(
            reply_id,
            chat_id,
            dearest,
            quote,
            self._terms.anonymous_limit,
            at + timedelta(seconds=self._terms.window),
            at,
        )

    def address_use(self, caller: Caller, at: datetime) -> AddressUse | None:
        """What an anonymous send takes of its address's window.

        The address is stored as an HMAC of itself and the window, so that it says nothing once
        the window is over.
        """
        if caller.principal.kind == "user" or not self._terms.address_limit:
            return None
        window = int(at.timestamp() // self._terms.window)
        message = f"address\n{window}\n{caller.address}".encode()
        return AddressUse(
            address=hmac.new(self._secret, message, hashlib.sha256).digest(),
            limit=self._terms.address_limit,
            window_ends=(window + 1) * self._terms.window,
        )
