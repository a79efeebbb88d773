"""The mathematics: RFC 6962 trees, C2SP signed notes, DSSE, Ed25519. Written for the verifier alone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LIMIT_PROOF = 64
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


def unhex(text: str, length: int) -> bytes:
    """The bytes of lower-case hexadecimal of exactly that length; ValueError where it is not."""
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text):
        raise ValueError(f"not {length} bytes in lower-case hexadecimal")
    return bytes.fromhex(text)


def sha256(data: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(data).digest()


def signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is over `message` by the Ed25519 public key `key`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(key: bytes) -> str:
    """What people compare over another channel."""
    return sha256(key).hex()


def pae(payload: bytes) -> bytes:
    """The bytes that a DSSE signature covers."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def leaf(data: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(b"\x00" + data)


def node(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node."""
    return sha256(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes (RFC 6962 §2.1)."""
    if not leaves:
        return sha256(b"")
    row = list(leaves)
    while len(row) > 1:  # pairing neighbours and carrying an odd one up gives the tree of the RFC
        row = [node(*row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def included(leaf_hash: bytes, index: int, size: int, path: Sequence[str], expected: bytes) -> bool:
    """Whether `path` (hexadecimal) leads from leaf `index` to the root `expected` (RFC 9162 §2.1.3.2)."""
    if [type(v) for v in (index, size, path)] != [int, int, list] or not 0 <= index < size or len(path) > LIMIT_PROOF:
        return False
    found, last = leaf_hash, size - 1
    for sibling in (unhex(h, 32) for h in path):
        if last == 0:
            return False
        if index % 2 or index == last:
            found = node(sibling, found)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            found = node(found, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and found == expected


def consistent(old_size: int, old_root: bytes, size: int, new_root: bytes, path: Sequence[str]) -> bool:
    """Whether the tree of `old_size` is a prefix of the tree of `size` (RFC 9162 §2.1.4.2)."""
    if old_size == size:
        return old_root == new_root and path == []
    if not 0 < old_size < size or type(path) is not list or not 0 < len(path) <= LIMIT_PROOF:
        return False
    nodes = [unhex(h, 32) for h in path]
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    index, last = old_size - 1, size - 1
    while index % 2:
        index, last = index >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if index % 2 or index == last:
            old, new = node(sibling, old), node(sibling, new)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node(new, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def checkpoint(note: str, origin: str, key: bytes) -> tuple[int, bytes]:
    """Size and root in a note that carries just the log's signature and is spelled in the one way; else ValueError."""
    lines = note.split("\n")
    if len(lines) != 6 or lines[3] or lines[5] or lines[0] != origin or not _SIZE.fullmatch(lines[1]):
        raise ValueError("not a checkpoint of this log with one signature")
    digest = base64.b64decode(lines[2], validate=True)
    body = f"{origin}\n{lines[1]}\n{base64.b64encode(digest).decode()}\n"
    mark = f"\u2014 {origin} "
    blob = base64.b64decode(lines[4].removeprefix(mark), validate=True)
    hint = sha256(origin.encode() + b"\n\x01" + key)[:4]
    if len(digest) != 32 or note != f"{body}\n{mark}{base64.b64encode(blob).decode()}\n":
        raise ValueError("not spelled as a checkpoint is")
    if blob[:4] != hint or not signed(key, blob[4:], body.encode()):
        raise ValueError("the log's signature does not fit")
    return int(lines[1]), digest
