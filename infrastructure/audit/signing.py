"""Checkpoints as signed notes (C2SP signed-note, tlog-checkpoint), and the key that signs them."""

from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from application.errors import ConfigurationError
from infrastructure.whole_files import make_once

KEY_FILE = "audit.key"
ED25519 = b"\x01"
"""The type of a signature, as signed notes number them."""
DASH = "\u2014"
SEED_BYTES = 32
SIGNATURE_BYTES = 4 + 64
"""The key's id, and what Ed25519 makes."""


class Signer:
    """Signs for one log, whose origin is also the name of the key."""

    def __init__(self, log_id: str, private: Ed25519PrivateKey) -> None:
        typed = ED25519 + private.public_key().public_bytes_raw()
        self.origin = f"dabir/{log_id}"
        self._private = private
        self._id = sha256(self.origin.encode() + b"\n" + typed).digest()[:4]
        self.verifier_key = f"{self.origin}+{self._id.hex()}+{b64encode(typed).decode()}"

    def checkpoint(self, size: int, root: bytes) -> str:
        """The signed note that the first `size` events have this root."""
        text = f"{self.origin}\n{size}\n{b64encode(root).decode()}\n"
        signature = self._id + self._private.sign(text.encode())
        return f"{text}\n{DASH} {self.origin} {b64encode(signature).decode()}\n"

    def own(self, note: str) -> tuple[int, bytes] | None:
        """Size and root of a checkpoint that this key has signed; None for any other text."""
        try:
            _, size, root, *_ = note.split("\n")
            claimed = int(size), b64decode(root)
        except ValueError:
            return None
        return claimed if note == self.checkpoint(*claimed) else None

    def contradicts(self, note: str, size: int, root: bytes) -> bool:
        """Whether `note` says something else, or says this in the key's name without its signature.

        Ed25519 has one signature for a key and a text, so it is made anew and compared. What an
        earlier key has signed is not held against it: a lost key must not end the sealing.
        """
        text, _, line = note.partition("\n\n")
        own_text, _, own_line = self.checkpoint(size, root).partition("\n\n")
        if text != own_text or line == own_line:
            return text != own_text
        try:
            dash, name, encoded = line.removesuffix("\n").split(" ")
            signature = b64decode(encoded, validate=True)
        except ValueError:
            return True
        by_another_key = len(signature) == SIGNATURE_BYTES and signature[:4] != self._id
        return (dash, name) != (DASH, self.origin) or not by_another_key


def load_signer(data_dir: Path, log_id: str) -> Signer:
    """The log's signer; its key is made once in the data folder (PEM, unencrypted PKCS #8).

    Raises ConfigurationError.
    """
    path = data_dir / KEY_FILE
    try:
        if not path.exists():
            make_once(path, _pem(Ed25519PrivateKey.generate()))
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made or read: {error.strerror}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} must hold an unencrypted Ed25519 key in PEM.")
    return Signer(log_id, private)


def derived_signer(secret: bytes, log_id: str) -> Signer:
    """The signer of nodes that share a database, and `secret` with it: the same on all."""
    seed = HKDF(SHA256(), SEED_BYTES, salt=None, info=b"dabir audit key").derive(secret)
    return Signer(log_id, Ed25519PrivateKey.from_private_bytes(seed))


def _pem(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
