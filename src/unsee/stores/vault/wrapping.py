"""Who keeps the master key, under which the keys of the ring are wrapped.

`file:PATH` is built in: 32 bytes in a file that only its owner reads. Other packages add a scheme (`kms:…`) by the entry point
group `unsee.key_wrappers`: the entry point's name is the scheme, and it loads a callable that takes what follows the colon and
returns a `KeyWrapper`. There is no wrapper that starts a command: keys would pass through pipes and process lists.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unsee.core.errors import AlreadyExists, InvalidValue, StoreError
from unsee.stores.removal import why

GROUP = "unsee.key_wrappers"
MASTER_BYTES = 32
_NONCE = 12


class KeyWrapper(Protocol):
    """Wraps keys of 32 bytes. Cheap, holds nothing open, pickles.

    It is asked once at every read of a member: one that goes over a network should keep what it unwrapped for a while, and MUST
    say in `escrow` where keys outlive their slot by that.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The wrapped key, at most 400 bytes, bound to `context`.

        Raises:
            StoreError: the master key cannot be used.
        """

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key.

        Raises:
            StoreError: it was wrapped under another master key or for another context, or the master key cannot be used.
        """

    def escrow(self) -> str:
        """Where else a key or its wrapped form may be kept, as a clause ("the provider keeps … for 30 days"); else empty.

        While it says something, destroying a slot is never called the destruction of the key (R8).
        """


@dataclass(frozen=True, slots=True)
class WrapperUnder:
    """Wraps under a key that is at hand, with AES-256-GCM and a random nonce: people's keys under the key of their source."""

    key: bytes = field(repr=False)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Nonce, ciphertext, tag: 60 bytes."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key."""
        try:
            return AESGCM(self.key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (InvalidTag, ValueError):
            raise StoreError(
                "A key of the ring was wrapped under another key, or was changed.",
                next_step="Restore the ring from a registered copy.",
            ) from None

    def escrow(self) -> str:
        """Nothing: what keeps that key says where else it is."""
        return ""


@dataclass(frozen=True, slots=True)
class FileWrapper:
    """A master key in a file: 32 bytes as they are, in a file that only its owner may read."""

    path: str

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Nonce, ciphertext, tag: 60 bytes."""
        return WrapperUnder(self._master()).wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key."""
        master = WrapperUnder(self._master())
        try:
            return master.unwrap(wrapped, context)
        except StoreError:
            raise StoreError(
                f"The master key in {self.path} does not open this key of the ring.",
                next_step="Name the master key that the ring was made or last rotated with; or the slot was changed.",
            ) from None

    def escrow(self) -> str:
        """Nothing: a copy of the master key opens only slots that are there."""
        return ""

    def create(self) -> None:
        """Make a new master key.

        Raises:
            AlreadyExists: there is a file; it is untouched.
        """
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise AlreadyExists("file", self.path) from None
        with os.fdopen(file, "wb") as opened:
            opened.write(secrets.token_bytes(MASTER_BYTES))
            opened.flush()
            os.fsync(opened.fileno())

    def _master(self) -> bytes:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                mode = os.fstat(file).st_mode
                master = os.read(file, MASTER_BYTES + 1)
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(
                f"The master key {self.path} cannot be read: {why(error)}.",
                next_step="Restore it from where it is kept; without it nothing in the vault can be read.",
            ) from error
        if stat.S_IMODE(mode) & 0o077:
            raise StoreError(
                f"The master key {self.path} may be read by others than its owner.",
                next_step=f"chmod 600 {self.path}",
            )
        if len(master) != MASTER_BYTES:
            raise StoreError(f"{self.path} is no master key: it does not hold exactly {MASTER_BYTES} bytes.")
        return master


def open_wrapper(spelled: str) -> KeyWrapper:
    """The wrapper that an option `wrap=` names.

    Raises:
        InvalidValue: it names none, or no such scheme is installed; the error lists those that are.
        StoreError: another package offers the scheme, and it cannot be loaded.
    """
    scheme, colon, rest = spelled.partition(":")
    if not colon or not rest:
        raise InvalidValue(
            f"wrap={spelled[:80]!r} names no keeper of the master key.", next_step="Write wrap=file:PATH."
        )
    if scheme == "file":
        return FileWrapper(rest)
    for point in entry_points(group=GROUP, name=scheme):
        try:
            make: Callable[[str], KeyWrapper] = point.load()
        except Exception as error:
            raise StoreError(
                f"The key wrapper {scheme!r} of {point.value!r} cannot be loaded: {error}.",
                next_step=f"Reinstall it, or mend its entry point in the group {GROUP!r}.",
            ) from error
        return make(rest)
    known = sorted({"file", *(point.name for point in entry_points(group=GROUP))})
    raise InvalidValue(f"There is no key wrapper {scheme[:40]!r}.", next_step="Schemes: " + ", ".join(known) + ".")
