"""The account of one principal: an anonymous allowance, or a balance with holds.

Amounts are integers of 10⁻⁹ of the currency ("nanos"). A hold is taken before the model is
called and always ends, settled or released; its id is the reply's.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate, event

from domain.personal import Personal
from domain.refusal import Refusal

Kind = Literal["anonymous", "user"]


class InsufficientBalance(Refusal):
    """The available balance does not cover the hold. Amounts in nanos."""

    def __init__(self, required: int, available: int, currency: str) -> None:
        super().__init__("The balance does not cover this request.")
        self.required = required
        self.available = available
        self.currency = currency


class AnonymousLimitReached(Refusal):
    """The allowance of this window is used up."""

    def __init__(self, limit: int, used: int, resets_at: datetime | None) -> None:
        super().__init__("The anonymous message limit is reached.")
        self.limit = limit
        self.used = used
        self.resets_at = resets_at


class HoldNotOpen(Refusal):
    """The hold has ended already, or was never taken."""


class HoldsOpen(Refusal):
    """Replies are under way that this account pays for; their ids are `hold_ids`."""

    def __init__(self, hold_ids: list[UUID]) -> None:
        super().__init__("Replies are under way that this account pays for.")
        self.hold_ids = hold_ids


class AccountErased(Refusal):
    """The account's principal was erased: nothing is taken or given any more."""

    def __init__(self) -> None:
        super().__init__("This account was erased.")


class Price(msgspec.Struct, frozen=True):
    """What a model costs, in nanos for a million tokens, and where that price comes from."""

    input_per_million: int
    output_per_million: int
    source: str

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """The cost in nanos, rounded up once."""
        millionths = (
            prompt_tokens * self.input_per_million + completion_tokens * self.output_per_million
        )
        return -(-millionths // 1_000_000)


class Quote(msgspec.Struct, frozen=True):
    """What a hold was reckoned from: the model asked for, its price, and the tokens at most.

    The amount held may be higher, where a fallback of the model is dearer.
    """

    model: str
    price: Price
    prompt_tokens: int
    max_tokens: int


class Consumption(msgspec.Struct, frozen=True):
    """What a reply consumed, at the price of the model that answered."""

    model: str
    price: Price
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    """True where the provider gave no usable figures and ours were taken."""

    @property
    def cost(self) -> int:
        return self.price.cost(self.prompt_tokens, self.completion_tokens)


class Hold(msgspec.Struct):
    amount: int
    quote: Quote
    resets_at: datetime | None
    """The end of the window whose allowance the hold took; None on a balance."""


class UsageState(msgspec.Struct):
    kind: Kind
    currency: str
    topped_up: int = 0
    spent: int = 0
    messages: int = 0
    allowance_used: int = 0
    resets_at: datetime | None = None
    holds: dict[UUID, Hold] = {}
    erased: bool = False


class Usage(Aggregate):
    TOPIC = "usage"

    class Created(Aggregate.Created):
        TOPIC = "usage.created"
        kind: Kind
        currency: str

    class ToppedUp(Aggregate.Event):
        TOPIC = "usage.topped-up"
        amount: int
        source: Literal["starting-balance", "operator"]
        reference: Personal[str | None]

    class AmountHeld(Aggregate.Event):
        TOPIC = "usage.amount-held"
        hold_id: UUID
        chat_id: UUID
        amount: int
        quote: Quote

    class AllowanceHeld(Aggregate.Event):
        """One message of the allowance is taken; `amount` only caps the recorded cost."""

        TOPIC = "usage.allowance-held"
        hold_id: UUID
        chat_id: UUID
        amount: int
        quote: Quote
        limit: int
        resets_at: datetime

    class HoldSettled(Aggregate.Event):
        """`cost` is by price and tokens, `charged` what left the balance, `absorbed` the rest."""

        TOPIC = "usage.hold-settled"
        hold_id: UUID
        chat_id: UUID
        cost: int
        charged: int
        absorbed: int
        consumption: Consumption

    class HoldReleased(Aggregate.Event):
        TOPIC = "usage.hold-released"
        hold_id: UUID
        chat_id: UUID
        reason: str

    class PrincipalErased(Aggregate.Event):
        """The last event of an account: who it was is known no more. `chats` were erased with it.

        The balance that was left is forfeited; the amounts stay, as what was paid was paid.
        """

        TOPIC = "usage.principal-erased"
        chats: int

    @classmethod
    def open(cls, account_id: UUID, kind: Kind, currency: str, at: datetime) -> "Usage":
        return cls._create(cls.Created, id=account_id, timestamp=at, kind=kind, currency=currency)

    @event(Created)
    def __init__(self, kind: Kind, currency: str) -> None:
        self.state = UsageState(kind=kind, currency=currency)

    @property
    def balance(self) -> int:
        return self.state.topped_up - self.state.spent

    @property
    def reserved(self) -> int:
        return sum(hold.amount for hold in self.state.holds.values() if hold.resets_at is None)

    @property
    def available(self) -> int:
        return self.balance - self.reserved

    def top_up(
        self,
        amount: int,
        source: Literal["starting-balance", "operator"],
        reference: str | None,
        at: datetime,
    ) -> None:
        if amount <= 0:
            raise ValueError("a top-up is a positive amount")
        self._require_existing()
        self._topped_up(amount=amount, source=source, reference=reference, timestamp=at)

    def hold_amount(
        self, hold_id: UUID, chat_id: UUID, amount: int, quote: Quote, at: datetime
    ) -> None:
        """Reserve an amount of the balance. Raises InsufficientBalance, AccountErased."""
        if hold_id in self.state.holds:
            return
        self._require_existing()
        if amount > self.available:
            raise InsufficientBalance(amount, self.available, self.state.currency)
        self._amount_held(
            hold_id=hold_id, chat_id=chat_id, amount=amount, quote=quote, timestamp=at
        )

    def hold_allowance(
        self,
        hold_id: UUID,
        chat_id: UUID,
        amount: int,
        quote: Quote,
        limit: int,
        window_ends: datetime,
        at: datetime,
    ) -> None:
        """Take one message of the allowance. Raises AnonymousLimitReached, AccountErased.

        `amount` caps the cost that is recorded; `window_ends` counts only where no window is open
        at `at`.
        """
        if hold_id in self.state.holds:
            return
        self._require_existing()
        resets_at = self.window_end(at)
        used = self.state.allowance_used if resets_at else 0
        if used >= limit:
            raise AnonymousLimitReached(limit, used, resets_at)
        self._allowance_held(
            hold_id=hold_id,
            chat_id=chat_id,
            amount=amount,
            quote=quote,
            limit=limit,
            resets_at=resets_at or window_ends,
            timestamp=at,
        )

    def window_end(self, at: datetime) -> datetime | None:
        """The end of the allowance's window that is open at `at`."""
        resets_at = self.state.resets_at
        return resets_at if resets_at and at < resets_at else None

    def quote_of(self, hold_id: UUID) -> Quote:
        """What an open hold was reckoned from. Raises HoldNotOpen."""
        return self._open_hold(hold_id).quote

    def settle(self, hold_id: UUID, chat_id: UUID, consumption: Consumption, at: datetime) -> int:
        """End a hold by what was consumed, at most by what was held.

        Returns the billed amount in nanos (for an anonymous account it is recorded, not charged).
        Raises HoldNotOpen.
        """
        hold = self._open_hold(hold_id)
        billed = min(consumption.cost, hold.amount)
        charged = billed if hold.resets_at is None else 0
        self._hold_settled(
            hold_id=hold_id,
            chat_id=chat_id,
            cost=consumption.cost,
            charged=charged,
            absorbed=consumption.cost - charged,
            consumption=consumption,
            timestamp=at,
        )
        return billed

    def release(self, hold_id: UUID, chat_id: UUID, reason: str, at: datetime) -> None:
        """End a hold with nothing charged and the allowance given back. Raises HoldNotOpen."""
        self._open_hold(hold_id)
        self._hold_released(hold_id=hold_id, chat_id=chat_id, reason=reason, timestamp=at)

    def erase(self, chats: int, at: datetime) -> None:
        """Close the account for good. Raises HoldsOpen."""
        if self.state.erased:
            return
        if self.state.holds:
            raise HoldsOpen(list(self.state.holds))
        self._principal_erased(chats=chats, timestamp=at)

    def _require_existing(self) -> None:
        if self.state.erased:
            raise AccountErased

    def _open_hold(self, hold_id: UUID) -> Hold:
        try:
            return self.state.holds[hold_id]
        except KeyError:
            raise HoldNotOpen(f"hold {hold_id} is not open") from None

    @event(ToppedUp)
    def _topped_up(
        self,
        amount: int,
        source: Literal["starting-balance", "operator"],
        reference: str | None,
        timestamp: datetime,
    ) -> None:
        self.state.topped_up += amount

    @event(AmountHeld)
    def _amount_held(
        self, hold_id: UUID, chat_id: UUID, amount: int, quote: Quote, timestamp: datetime
    ) -> None:
        self.state.holds[hold_id] = Hold(amount, quote, None)

    @event(AllowanceHeld)
    def _allowance_held(
        self,
        hold_id: UUID,
        chat_id: UUID,
        amount: int,
        quote: Quote,
        limit: int,
        resets_at: datetime,
        timestamp: datetime,
    ) -> None:
        if resets_at != self.state.resets_at:
            self.state.resets_at = resets_at
            self.state.allowance_used = 0
        self.state.allowance_used += 1
        self.state.holds[hold_id] = Hold(amount, quote, resets_at)

    @event(HoldSettled)
    def _hold_settled(
        self,
        hold_id: UUID,
        chat_id: UUID,
        cost: int,
        charged: int,
        absorbed: int,
        consumption: Consumption,
        timestamp: datetime,
    ) -> None:
        del self.state.holds[hold_id]
        self.state.spent += charged
        self.state.messages += 1

    @event(HoldReleased)
    def _hold_released(
        self, hold_id: UUID, chat_id: UUID, reason: str, timestamp: datetime
    ) -> None:
        hold = self.state.holds.pop(hold_id)
        if hold.resets_at and hold.resets_at == self.state.resets_at:
            self.state.allowance_used -= 1

    @event(PrincipalErased)
    def _principal_erased(self, chats: int, timestamp: datetime) -> None:
        self.state.erased = True
