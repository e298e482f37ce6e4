"""The operator's master key: what the keys of streams are wrapped under.

Its text becomes a wrapping key by HKDF (RFC 5869); keys are wrapped with AES-256-GCM, the stream's
id as associated data.
"""

import os
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class MasterKey:
    """Wraps and unwraps. `id` tells keys of one master from another's, and nothing of the key."""

    def __init__(self, text: str) -> None:
        self.id = _derived(text, b"dabir master id")[:8]
        self._wrapping = AESGCM(_derived(text, b"dabir stream keys"))

    def wrap(self, key: bytes, stream_id: UUID) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, stream_id.bytes)

    def unwrap(self, wrapped: bytes, stream_id: UUID) -> bytes:
        """Raises InvalidTag."""
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        return self._wrapping.decrypt(nonce, sealed, stream_id.bytes)


def _derived(text: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(text.encode())
