"""Sealing what is personal: contents under their stream's key, names under one of their own.

Sealed bytes are 0x01, a nonce of 12 bytes, and AES-256-GCM's output, with stream, version and topic
as associated data: moved to another place in the log they no longer open. Names are sealed by
AES-SIV (RFC 5297), which gives one name the same bytes each time, so that they can be looked up.
"""

import asyncio
import base64
import binascii
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from application.errors import PrincipalErased
from domain.refusal import Refusal
from infrastructure.event_store.keyring import Keyring
from infrastructure.event_store.master_key import NONCE_BYTES
from infrastructure.event_store.personal import (
    PersonalForm,
    PlainForm,
    UnreadablePersonal,
    fresh_salt,
)

SEALED = b"\x01"
SEALED_NAME = "siv1:"

_plain = PlainForm()


class SealedForm:
    """Implements `personal.PersonalForm`; opens what was written before there was a master key."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, content: bytes, stream_id: UUID, version: int, topic: str) -> bytes:
        """The stream's key is there already. Raises PrincipalErased."""
        key = self._keyring.key_of(stream_id)
        if key is None:
            raise PrincipalErased
        nonce = fresh_salt()[:NONCE_BYTES]
        return SEALED + nonce + key.encrypt(nonce, content, _place(stream_id, version, topic))

    def open(self, stored: bytes, stream_id: UUID, version: int, topic: str) -> bytes | None:
        if stored[:1] != SEALED:
            return _plain.open(stored, stream_id, version, topic)
        try:
            key = self._keyring.key_of(stream_id)
            if key is None:
                return None
            nonce, sealed = stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
            return key.decrypt(nonce, sealed, _place(stream_id, version, topic))
        except KeyError:
            raise UnreadablePersonal(f"stream {stream_id} has no key") from None
        except (InvalidTag, ValueError):
            raise UnreadablePersonal(f"{topic} {version} of {stream_id} does not open") from None


class NamesLocked(Refusal):
    """It takes the master key to say who somebody is."""


class LockedForm:
    """For who has no master key: what is sealed reads as if it were erased. Writes nothing."""

    def seal(self, content: bytes, stream_id: UUID, version: int, topic: str) -> bytes:
        raise UnreadablePersonal("without the master key nothing is written")

    def open(self, stored: bytes, stream_id: UUID, version: int, topic: str) -> bytes | None:
        return None if stored[:1] == SEALED else _plain.open(stored, stream_id, version, topic)


class KeyMaking:
    """Makes keys beside the event loop: all that are wanted meanwhile, in one transaction."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._wanted: SimpleQueue[Collection[UUID]] = SimpleQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")

    async def make(self, stream_ids: Collection[UUID]) -> None:
        self._wanted.put(stream_ids)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._make)

    async def fetch(self, stream_ids: Collection[UUID]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._keyring.fetch, stream_ids)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    def _make(self) -> None:
        wanted: set[UUID] = set()
        with suppress(Empty):
            while True:
                wanted.update(self._wanted.get_nowait())
        if wanted:
            self._keyring.ensure(wanted)


class PlainNames:
    """How names of principals are stored without a master key: as they are."""

    def stored(self, kind: str, name: str) -> str:
        return name

    def spellings(self, kind: str, name: str) -> list[str]:
        """All the ways in which the name may have been stored."""
        return [name]

    def name_of(self, kind: str, stored: str) -> str:
        return stored


class SealedNames(PlainNames):
    def __init__(self, key: bytes) -> None:
        self._siv = AESSIV(key)

    def stored(self, kind: str, name: str) -> str:
        sealed = self._siv.encrypt(name.encode(), [kind.encode()])
        return SEALED_NAME + base64.b64encode(sealed).decode()

    def spellings(self, kind: str, name: str) -> list[str]:
        return [self.stored(kind, name), name]

    def name_of(self, kind: str, stored: str) -> str:
        if not stored.startswith(SEALED_NAME):
            return stored
        try:
            sealed = base64.b64decode(stored.removeprefix(SEALED_NAME), validate=True)
            return self._siv.decrypt(sealed, [kind.encode()]).decode()
        except (InvalidTag, ValueError, binascii.Error):
            # Somebody may be called so, from before there was a master key.
            return stored


class LockedNames(PlainNames):
    """For who has no master key: a sealed name cannot be told."""

    def name_of(self, kind: str, stored: str) -> str:
        """Raises NamesLocked."""
        if stored.startswith(SEALED_NAME):
            raise NamesLocked(
                "The names are sealed: set DABIR_MASTER_KEY or DABIR_MASTER_KEY_FILE."
            )
        return stored


class Vault:
    """What a store seals with: nothing, unless there is a master key."""

    keyring_id: str | None = None
    form: PersonalForm = _plain
    names = PlainNames()

    async def ensure(self, stream_ids: Collection[UUID]) -> None:
        """Return when each of the streams has its key. Raises PrincipalErased."""

    async def fetch(self, stream_ids: Collection[UUID]) -> None:
        """Bring the streams' keys to where opening does not wait for them."""

    def forget(self, stream_id: UUID) -> None:
        """Another process may have dropped the stream's key."""

    def seal_result(self, result: bytes, principal: UUID, route: str) -> bytes:
        """What a command came to, as its row holds it: JSON, or sealed for its principal."""
        return result

    def open_result(self, stored: bytes, principal: UUID, route: str) -> bytes | None:
        """None where the principal was erased."""
        return stored if stored[:1] != SEALED else self.form.open(stored, principal, 0, route)

    async def close(self) -> None:
        """Finish what was begun."""


class KeyringVault(Vault):
    def __init__(self, keyring: Keyring) -> None:
        """The keyring has a master key. Blocks."""
        self.keyring_id = keyring.id
        self.form = SealedForm(keyring)
        self.names = SealedNames(keyring.names_key())
        self._keyring = keyring
        self._making = KeyMaking(keyring)

    async def ensure(self, stream_ids: Collection[UUID]) -> None:
        if not self._keyring.knows(stream_ids):
            await self._making.make(stream_ids)
            if any(self._keyring.key_of(stream_id) is None for stream_id in stream_ids):
                raise PrincipalErased

    async def fetch(self, stream_ids: Collection[UUID]) -> None:
        if not self._keyring.knows(stream_ids):
            await self._making.fetch(stream_ids)

    def forget(self, stream_id: UUID) -> None:
        self._keyring.forget(stream_id)

    def seal_result(self, result: bytes, principal: UUID, route: str) -> bytes:
        return self.form.seal(result, principal, 0, route)

    async def close(self) -> None:
        await self._making.close()


def vault_of(keyring: Keyring) -> Vault:
    """Seals under the keyring's master key, where it has one."""
    return KeyringVault(keyring) if keyring.seals else Vault()


def _place(stream_id: UUID, version: int, topic: str) -> bytes:
    return b"%b%d %b" % (stream_id.bytes, version, topic.encode())
