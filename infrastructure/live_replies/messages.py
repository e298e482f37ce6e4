"""What nodes say to each other about replies under way, as bytes.

A node is asked on its own channel; what a reply says is told on the reply's. The channels carry the
log's id, as several installations may share a server, and the version of this file's shapes, so
that nodes of two releases do not hear each other (they read the log's drafts instead).
"""

import struct
from uuid import UUID

import msgspec

from application.ports import Lease

VERSION = 1

_ASKED = struct.Struct(">c16sQQ")
_REAPED = struct.Struct(">cQ")
_TOLD = struct.Struct(">16sQBQQI")


class Asked(msgspec.Struct, frozen=True):
    """Somebody wants a reply's text from these offsets on, in bytes, and whatever comes after."""

    reply_id: UUID
    text: int
    reasoning: int


class Reaped(msgspec.Struct, frozen=True):
    """Replies of this node and epoch were ended by another node: its lease has run out."""

    epoch: int


class Told(msgspec.Struct, frozen=True):
    """What a reply says from these offsets on, by whom it was answered when it said so."""

    owner: Lease
    ended: bool
    text_offset: int
    reasoning_offset: int
    text: bytes
    reasoning: bytes


class ChannelNames:
    def __init__(self, log_id: str) -> None:
        self._prefix = f"dabir:{{{log_id}}}:{VERSION}"

    def of_node(self, node: UUID) -> bytes:
        return f"{self._prefix}:node:{node.hex}".encode()

    def of_reply(self, reply_id: UUID) -> bytes:
        return f"{self._prefix}:reply:{reply_id.hex}".encode()


def encode_to_node(message: Asked | Reaped) -> bytes:
    if isinstance(message, Reaped):
        return _REAPED.pack(b"r", message.epoch)
    return _ASKED.pack(b"a", message.reply_id.bytes, message.text, message.reasoning)


def decode_to_node(payload: bytes) -> Asked | Reaped:
    """Raises struct.error for what no node of this version says."""
    if payload[:1] == b"r":
        return Reaped(_REAPED.unpack(payload)[1])
    _, reply_id, text, reasoning = _ASKED.unpack(payload)
    return Asked(UUID(bytes=reply_id), text, reasoning)


def encode_told(told: Told) -> bytes:
    head = _TOLD.pack(
        told.owner.node.bytes,
        told.owner.epoch,
        told.ended,
        told.text_offset,
        told.reasoning_offset,
        len(told.text),
    )
    return head + told.text + told.reasoning


def decode_told(payload: bytes) -> Told:
    """Raises struct.error for what no node of this version says."""
    node, epoch, ended, text, reasoning, size = _TOLD.unpack_from(payload)
    middle = _TOLD.size + size
    return Told(
        Lease(UUID(bytes=node), epoch),
        bool(ended),
        text,
        reasoning,
        payload[_TOLD.size : middle],
        payload[middle:],
    )
