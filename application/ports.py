"""What the application needs from outside, as small Protocols, and the values they speak in."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate

from domain.chat import Chat
from domain.usage import Kind, Price, Usage

A = TypeVar("A", Chat, Usage)


# Who is calling


class Principal(msgspec.Struct, frozen=True):
    """`id` is random and internal; `name` is the token's `sub` or the anonymous id."""

    id: UUID
    kind: Kind
    name: str


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    principal: Principal
    address: str
    """The client's address, for limits: an IPv4 address, or an IPv6 /64."""
    correlation: UUID
    expires_at: datetime | None = None
    claimable: str | None = None
    """An anonymous id that came along with a user's token."""
    minted: bool = False
    """The anonymous id was made for this request and must be told to the client."""
    scopes: frozenset[str] = frozenset()


class Credentials(msgspec.Struct, frozen=True):
    """What a client gave: a bearer token, an anonymous id, and its address. Empty is absent."""

    token: str | None
    anon_id: str | None
    address: str


class Identity(Protocol):
    async def identify(self, credentials: Credentials, correlation: UUID) -> Caller:
        """Who calls; mints an anonymous id for who gave nothing.

        Raises Unauthorized (a bad token is never downgraded), InvalidRequest (a bad anonymous id),
        RateLimited.
        """
        ...

    def mint_anonymous(self) -> str:
        """A new anonymous id, signed where the policy says so."""
        ...

    def is_signed(self, anon_id: str) -> bool:
        """Whether this service minted the id."""
        ...


Deed = Literal["send", "request"]


class RateLimits(Protocol):
    """How often is too often. Each method raises RateLimited.

    An address is an IPv4 address or an IPv6 /64.
    """

    async def admit(self, address: str) -> None:
        """Count a request of an address, before it is known who makes it."""
        ...

    async def admit_stranger(self, address: str) -> None:
        """Count one who was never seen before, or whose credentials were refused."""
        ...

    async def spend(self, deed: Deed, caller: Caller) -> None:
        """Count what a caller does: a send or regeneration, or any other request."""
        ...


# The log


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who and why, stored with each event; only random internal ids.

    `actor` is a principal, None the service itself; `causation` the command or reply that led here.
    """

    correlation: UUID
    causation: UUID | None = None
    actor: UUID | None = None


class CommandKey(msgspec.Struct, frozen=True):
    route: str
    principal: UUID
    key: str


class CommandRecord(msgspec.Struct, frozen=True):
    """What is remembered of a command that was carried out. `digest` is a keyed digest."""

    key: CommandKey
    digest: bytes
    result: bytes


class ReplyOpened(msgspec.Struct, frozen=True):
    """The row that lets a reaper find a reply whose owner died."""

    reply_id: UUID
    chat_id: UUID
    payer: UUID


class AddressUse(msgspec.Struct, frozen=True):
    """One message of an address's allowance. `address` is an HMAC that expires with the window.

    `window_ends` (Unix seconds) counts only where no window is open.
    """

    address: bytes
    limit: int
    window_ends: float


class Lease(msgspec.Struct, frozen=True):
    """A node's right to write for the replies it owns; `epoch` fences former holders."""

    node: UUID
    epoch: int


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic write: the pending events of some aggregates and what must hold with them."""

    aggregates: Sequence[Chat | Usage]
    meta: Meta
    command: CommandRecord | None = None
    lease: Lease | None = None
    opens: ReplyOpened | None = None
    closes: UUID | None = None
    """The reply whose row goes."""
    address_use: AddressUse | None = None
    address_refund: bytes | None = None
    """The address whose message is given back."""

    @property
    def changes_nothing(self) -> bool:
        return (
            not any(aggregate.pending_events for aggregate in self.aggregates)
            and self.command is None
            and self.opens is None
            and self.closes is None
            and self.address_use is None
            and self.address_refund is None
        )


class Draft(msgspec.Struct, frozen=True):
    """What a reply under way has said so far (UTF-8)."""

    reply_id: UUID
    chat_id: UUID
    text: bytes
    reasoning: bytes


class OpenReplyRow(msgspec.Struct):
    """A reply that has not ended, with its last checkpoint (UTF-8)."""

    reply_id: UUID
    chat_id: UUID
    payer: UUID
    node: UUID
    epoch: int
    text: bytes
    reasoning: bytes
    address: bytes | None
    """The address whose allowance was used for it."""


class Recorded(msgspec.Struct, frozen=True):
    """An event as the log holds it, decoded and upcast."""

    position: int
    stream_id: UUID
    version: int
    event: "Aggregate.Event"
    meta: Meta
    recorded_at: datetime


class EventStore(Protocol):
    async def load(self, kind: type[A], stream_id: UUID, *, fresh: bool = False) -> A:
        """The aggregate as of its last event; `fresh` bypasses what this process remembers.

        The caller owns the returned object until it appends it. Raises StreamNotFound.
        """
        ...

    async def append(self, append: Append) -> int:
        """Write it all or nothing; returns the last event's position, the head if there is none.

        Raises VersionConflict, CommandRepeated, LeaseLost, AddressLimitReached. Cancelling the
        caller does not cancel the write.
        """
        ...

    async def recall(self, key: CommandKey) -> CommandRecord | None: ...

    async def checkpoint(self, lease: Lease, drafts: Sequence[Draft]) -> list[UUID]:
        """Keep what replies have said, all in one write.

        Returns those that are under way no more: somebody else has ended them. Raises LeaseLost.
        """
        ...

    async def open_replies(self, node: UUID | None = None) -> list[OpenReplyRow]:
        """Replies whose node holds no valid lease any more.

        Also those of `node` on which nothing was written for a while: it knows which of them it is
        still making, and which it never came to make.
        """
        ...

    async def find_open_reply(self, reply_id: UUID) -> OpenReplyRow | None:
        """A reply under way, whoever makes it; its text is that of the last checkpoint."""
        ...

    async def head(self) -> int: ...

    async def read_all(self, after: int, limit: int) -> list[Recorded]:
        """Events of all streams in order, from position `after` + 1."""
        ...

    async def read_on(self, after: int, limit: int) -> list[Recorded]:
        """The same for who follows the log: maybe fewer, none only where there are none."""
        ...

    async def wait(self, after: int, timeout: float) -> int:
        """The head, as soon as it is beyond `after`, or after `timeout` seconds."""
        ...


class Principals(Protocol):
    async def resolve(self, kind: Kind, name: str) -> Principal:
        """The principal of that name, made known on first sight."""
        ...

    async def find(self, kind: Kind, name: str) -> Principal | None: ...

    async def name_of(self, principal_id: UUID) -> Principal | None:
        """The principal of that internal id; None once it is erased."""
        ...

    async def owner_of(self, stream_id: UUID) -> UUID | None: ...


# The model


class ModelSpec(msgspec.Struct, frozen=True):
    """A model that clients may name. Sizes in tokens."""

    id: str
    name: str
    context_window: int
    max_output_tokens: int
    price: Price
    fallbacks: tuple[str, ...] = ()


class Models(Protocol):
    @property
    def default(self) -> str: ...

    def get(self, model_id: str) -> ModelSpec:
        """Raises ModelNotFound."""
        ...

    def all(self) -> Sequence[ModelSpec]: ...


class PromptMessage(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(msgspec.Struct, frozen=True):
    model: str
    messages: tuple[PromptMessage, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None


class ProviderUsage(msgspec.Struct, frozen=True):
    """Tokens as the provider counted them, checked to be plausible."""

    prompt_tokens: int
    completion_tokens: int


class Delta(msgspec.Struct, frozen=True):
    """What arrived in one piece: text, reasoning, or how it ended.

    `model` is the id of the model that answers (a fallback, perhaps), on the first and last one.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: ProviderUsage | None = None
    model: str | None = None


class Taker(Protocol):
    """Who takes an answer's pieces at the moment they arrive, which is cheaper than to wait."""

    @property
    def ready(self) -> bool: ...

    def take(self, delta: Delta) -> None:
        """Only while it is ready."""
        ...


class LanguageModel(Protocol):
    def reply(self, prompt: Prompt, taker: Taker | None = None) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives. Raises ModelFailure.

        Pieces that come while the iterator is waited for may go to `taker` instead: text and
        reasoning, never the first of them, nor how it ends.

        Closing the iterator closes the connection upstream.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """An estimate of the tokens in a text; blocks for about 1 ms per 4 KB."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC."""
        ...


class Ids(Protocol):
    def new(self) -> UUID:
        """A UUIDv7."""
        ...
