"""One encrypted file: a header in plain, then AES-256-GCM in chunks.

The key of a file is HKDF-SHA256 (RFC 5869) over the key of its source and the key of its person, with a random salt of its own;
`info` binds the object and the whole header, the selector included. So a file opens in its own place only, and a changed header
gives another key. The chunks follow the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce is the chunk's
number and whether it is the last, so chunks cannot be cut off, left out, doubled or put in another order. As no two files share a
key, no nonce is used twice.

::

    8  magic and version          32  salt
    4  slot of the source's key    4  bytes of plain text in a chunk
    8  id of that key              2  bytes of the selector
    4  slot of the person's key  130  selector in UTF-8, then zeros
    8  id of that key                 in all 200 bytes; numbers are little-endian
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"UNSEEVL1"
CHUNK_BYTES = 256 << 10
"""Most photos are one chunk; of larger files only so much has to be in memory."""
MAX_CHUNK_BYTES = 16 << 20
TAG_BYTES = 16
KEY_BYTES = 32
NOBODY = 0xFFFFFFFF
"""The slot of the person where nobody is known."""
NO_KEY = bytes(8)
MAX_SELECTOR_BYTES = 130
_LAYOUT = struct.Struct(f"<8sI8sI8s32sIH{MAX_SELECTOR_BYTES}s")
HEADER_BYTES = _LAYOUT.size


class Unsound(ValueError):
    """What lies there is no sealed file, or was changed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the chunks. Nothing of it is secret; all of it is bound to the key."""

    source_slot: int
    source_key: bytes
    person_slot: int
    person_key: bytes
    salt: bytes
    selector: str
    chunk_bytes: int = CHUNK_BYTES

    @property
    def stamp(self) -> bytes:
        """Sixteen bytes that no other sealing has."""
        return self.salt[:16]

    def pack(self) -> bytes:
        """As it lies in the file."""
        name = self.selector.encode()
        slots = (self.source_slot, self.source_key, self.person_slot, self.person_key)
        return _LAYOUT.pack(MAGIC, *slots, self.salt, self.chunk_bytes, len(name), name)


def parse(data: bytes) -> Header:
    """The header at the beginning of `data`.

    Raises:
        Unsound: there is none.
    """
    if len(data) < HEADER_BYTES:
        raise Unsound("it ends within its header")
    magic, source, source_key, person, person_key, salt, chunk, length, name = _LAYOUT.unpack_from(data)
    if magic != MAGIC:
        raise Unsound("it does not begin as a sealed file of this version does")
    if not 0 < chunk <= MAX_CHUNK_BYTES or length > MAX_SELECTOR_BYTES or name[length:].strip(b"\0"):
        raise Unsound("its header holds what no header holds")
    try:
        selector = name[:length].decode()
    except UnicodeDecodeError:
        raise Unsound("its header holds no name") from None
    return Header(source, source_key, person, person_key, salt, selector, chunk)


def cipher_of(header: Header, object_name: str, source_key: bytes, person_key: bytes, packed: bytes = b"") -> AESGCM:
    """What seals and opens the chunks of one file; `person_key` is empty where nobody is known.

    `packed` is the header as it lies in the file, for who has it at hand.
    """
    place = object_name.encode()
    info = b"unsee vault file 1" + struct.pack("<I", len(place)) + place + (packed or header.pack())
    key = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=header.salt, info=info).derive(source_key + person_key)
    return AESGCM(key)


def encrypt(cipher: AESGCM, pieces: Iterable[bytes], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The chunks for plain text that comes in pieces of any size. Memory: two chunks and one piece."""
    waiting = bytearray()
    number = 0
    for piece in pieces:
        waiting += piece
        while len(waiting) > chunk_bytes:  # what fills a chunk exactly may be the last
            yield cipher.encrypt(_nonce(number, last=False), bytes(waiting[:chunk_bytes]), None)
            del waiting[:chunk_bytes]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(waiting), None)


def decrypt(cipher: AESGCM, body: memoryview, chunk_bytes: int) -> bytes:
    """The plain text of all chunks.

    Raises:
        Unsound: a chunk is missing, cut, out of its order, or changed, or the key is another one.
    """
    whole = chunk_bytes + TAG_BYTES
    last = max(0, len(body) - 1) // whole
    try:
        plain = [
            cipher.decrypt(_nonce(number, last=number == last), body[number * whole : (number + 1) * whole], None)
            for number in range(last + 1)
        ]
    except InvalidTag:
        raise Unsound("it was changed, cut, or put in the place of another file") from None
    return plain[0] if len(plain) == 1 else b"".join(plain)


def plain_bytes(file_bytes: int, chunk_bytes: int) -> int:
    """How much plain text a sealed file of so many bytes holds; below 0 where it holds not one whole chunk."""
    body = file_bytes - HEADER_BYTES
    return body - TAG_BYTES * (max(0, body - 1) // (chunk_bytes + TAG_BYTES) + 1)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")
