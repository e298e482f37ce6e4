"""Command Structs: also the schema of what clients send. Unknown fields are refused."""

from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from msgspec import Meta

Title = Annotated[str, Meta(min_length=1, max_length=200)]
ModelId = Annotated[str, Meta(min_length=1, max_length=200)]
Key = Annotated[str, Meta(min_length=1, max_length=255)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
MaxTokens = Annotated[int, Meta(ge=1, le=10_000_000)]
MinPosition = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Command(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The base of everything a client may send.

    `route` is storage, as the log keeps it with the command's key. Defaults are not encoded, so
    that a field added later changes no digest of an earlier request.
    """

    route: ClassVar[str]


class SendMessage(Command, frozen=True):
    route = "send"
    content: Annotated[str, Meta(min_length=1)]
    chat_id: UUID | None = None
    model: ModelId | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: MaxTokens | None = None
    parent_id: UUID | None = None
    edit_of: UUID | None = None
    client_message_id: Key | None = None


class Regenerate(Command, frozen=True):
    route = "regenerate"
    chat_id: UUID
    message_id: UUID | None = None
    model: ModelId | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: MaxTokens | None = None


class StopReply(Command, frozen=True):
    """Exactly one of the three is given."""

    route = "stop"
    reply_id: UUID | None = None
    chat_id: UUID | None = None
    client_message_id: Key | None = None


class CreateChat(Command, frozen=True):
    route = "create-chat"
    title: Title | None = None
    model: ModelId | None = None
    min_position: MinPosition = 0


class RenameChat(Command, frozen=True):
    route = "rename-chat"
    chat_id: UUID
    title: Title
    min_position: MinPosition = 0


class ArchiveChat(Command, frozen=True):
    route = "archive-chat"
    chat_id: UUID
    archived: bool
    min_position: MinPosition = 0


class DeleteChat(Command, frozen=True):
    route = "delete-chat"
    chat_id: UUID
    min_position: MinPosition = 0


class SelectBranch(Command, frozen=True):
    route = "select-branch"
    chat_id: UUID
    message_id: UUID
    min_position: MinPosition = 0


class ClaimAnonymous(Command, frozen=True):
    route = "claim-anonymous"
    anon_id: Annotated[str, Meta(min_length=8, max_length=128)]
    min_position: MinPosition = 0


class Authenticate(Command, frozen=True):
    token: str
    min_position: MinPosition = 0


class TopUp(Command, frozen=True):
    """`amount` is a positive decimal in the account's currency, at most nine places."""

    route = "top-up"
    amount: Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$")]
    reference: Key
