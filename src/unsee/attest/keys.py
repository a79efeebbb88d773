"""Ed25519 keys (RFC 8032): of the operator, the log, and the people who approve."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unsee.attest.durable import write_file
from unsee.core.errors import AlreadyExists, InvalidValue, NotFound

SEED_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The 32 raw bytes of an Ed25519 public key."""

    raw: bytes

    @classmethod
    def from_hex(cls, text: str) -> PublicKey:
        """The key of 64 hexadecimal digits.

        Raises:
            InvalidValue: the text is no such key.
        """
        try:
            raw = bytes.fromhex(text)
            Ed25519PublicKey.from_public_bytes(raw)
        except ValueError:
            raise InvalidValue(
                f"{text[:80]!r} is no Ed25519 public key.", next_step="Give 64 hexadecimal digits."
            ) from None
        return cls(raw)

    @property
    def hex(self) -> str:
        """64 hexadecimal digits."""
        return self.raw.hex()

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the raw key: what people compare over another channel, and the key id in an envelope."""
        return hashlib.sha256(self.raw).hexdigest()

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message`. Cost: about 0.1 ms."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM, as other tools read it."""
        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class SigningKey:
    """An Ed25519 private key. Its text form never shows the secret."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> SigningKey:
        """A new key from 32 bytes of `entropy` (`secrets.token_bytes` outside tests)."""
        return cls(Ed25519PrivateKey.from_private_bytes(entropy(SEED_BYTES)))

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """The key in a PKCS #8 PEM file.

        Raises:
            NotFound: there is no such file.
            InvalidValue: it holds no unencrypted Ed25519 private key.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise NotFound("key", path.name, next_step="Make it first, or name the directory that holds it.") from None
        try:
            private = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise InvalidValue(
                f"{path.name} holds no unencrypted Ed25519 private key.", next_step="Give the PKCS #8 PEM file."
            )
        return cls(private)

    def save(self, path: Path) -> None:
        """Write it as PKCS #8 PEM that only its owner can read. A key that is there already is never overwritten.

        Raises:
            AlreadyExists: there is a file of that name.
        """
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            write_file(path, pem, mode=0o600, replace=False)
        except FileExistsError:
            raise AlreadyExists("key", path.name) from None

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same message gives the same signature."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex})"
