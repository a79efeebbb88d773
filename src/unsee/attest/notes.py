"""Signed notes and checkpoints: C2SP signed-note 1.0.0 and tlog-checkpoint 1.0.0, with Ed25519 keys.

A checkpoint is three lines (origin, size, root in base64) without extension lines, because known witnesses cosign no others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from unsee.attest.keys import SIGNATURE_BYTES, PublicKey, SigningKey
from unsee.core.errors import InvalidValue, Tampered

_ED25519 = b"\x01"
_SIGNED_BY = "\u2014 "
_NAME = re.compile(r"[^\s+]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's promise: under `origin`, the first `size` entries have this 32-byte Merkle `root`."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, body: str) -> Checkpoint:
        """The checkpoint in the text of a note.

        Raises:
            Tampered: it is not three lines of origin, size and root in their one spelling.
        """
        lines = body.split("\n")
        if len(lines) == 4 and _NAME.fullmatch(lines[0]) and _SIZE.fullmatch(lines[1]) and lines[3] == "":
            try:
                found = cls(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
            except binascii.Error:
                found = None
            if found and len(found.root) == 32 and found.body() == body:
                return found
        raise Tampered("The text of a checkpoint is not origin, size and root.", next_step="Restore the log's files.")


def key_hash(name: str, key: PublicKey) -> bytes:
    """The four bytes that stand before a signature: SHA-256(name ‖ newline ‖ 0x01 ‖ key), cut (signed-note 1.0.0)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:4]


def verifier_key(name: str, key: PublicKey) -> str:
    """`name+hash+base64`: the spelling in which other tools take a note's public key."""
    return f"{name}+{key_hash(name, key).hex()}+{base64.b64encode(_ED25519 + key.raw).decode()}"


def sign_note(body: str, name: str, key: SigningKey) -> str:
    """`body` with one signature line of `name`.

    Raises:
        InvalidValue: the name holds white space or a plus sign, or the body does not end a line.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue(f"{name[:80]!r} cannot name a log.", next_step="Use no white space and no plus sign.")
    if not body.endswith("\n"):
        raise InvalidValue("The text of a note ends with a newline.")
    line = base64.b64encode(key_hash(name, key.public) + key.sign(body.encode())).decode()
    return f"{body}\n{_SIGNED_BY}{name} {line}\n"


def open_note(note: str, name: str, key: PublicKey) -> str:
    """The text of a note that `key` signed as `name`. Lines of other signers are passed over, as the format demands.

    Raises:
        Tampered: there is no good signature of that key.
    """
    body, blank, signatures = note.rpartition("\n\n")
    body += "\n"
    for line in signatures.split("\n") if blank else ():
        signer, _, text = line.removeprefix(_SIGNED_BY).partition(" ")
        if not line.startswith(_SIGNED_BY) or signer != name:
            continue
        try:
            blob = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
        if len(blob) == 4 + SIGNATURE_BYTES and blob[:4] == key_hash(name, key) and key.verify(blob[4:], body.encode()):
            return body
    raise Tampered(
        f"The note carries no good signature of {name}.", next_step="Compare the key, or restore the note from a copy."
    )


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The signed note of a checkpoint; the log signs under its origin."""
    return sign_note(checkpoint.body(), checkpoint.origin, key)


def open_checkpoint(note: str, origin: str, key: PublicKey) -> Checkpoint:
    """The checkpoint in a signed note.

    Raises:
        Tampered: the signature is not the log's, or the text is no checkpoint of `origin`.
    """
    found = Checkpoint.parse(open_note(note, origin, key))
    if found.origin != origin:
        raise Tampered(f"The checkpoint is of {found.origin}, not of {origin}.", next_step="Name the right log.")
    return found
