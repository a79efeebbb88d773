"""How records follow one another in a file: TFRecord and RecordIO, plain or compressed as a whole.

TFRecord (tensorflow/core/lib/io/record_writer.h): length (u64), its masked CRC-32C, the record, its masked CRC-32C. RecordIO
(dmlc-core, include/dmlc/recordio.h): the magic number, then three bits that say which part of a record follows and 29 of its
length, the part, zeros up to a multiple of four; parts are joined by the magic number that stood between them. All numbers are
little-endian.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from dataclasses import dataclass, field
from typing import Protocol

from unsee.core.errors import StoreError
from unsee.stores.tfrecord.checksums import masked

LARGEST = 1 << 30
"""A longer record is refused: it would be held in memory."""
_PIECE = 1 << 20
_MAGIC = 0xCED7230A
JOINT = struct.pack("<I", _MAGIC)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class Source(Protocol):
    """The bytes that the records lie in."""

    def read(self, start: int, length: int) -> bytes:
        """So many bytes from there on; fewer at the end. Going forwards is cheap.

        Raises:
            StoreError: compressed bytes are damaged, or end before `start`.
        """


@dataclass(slots=True)
class Plain:
    """A file as it lies there."""

    file: int

    def read(self, start: int, length: int) -> bytes:
        """By `pread`; the length is never more than the file's."""
        size = os.fstat(self.file).st_size
        if start > size:
            raise StoreError(f"the file ends at byte {size:,}, in the middle of a record")
        pieces = []
        length = min(length, size - start)
        while length and (piece := os.pread(self.file, length, start)):
            pieces.append(piece)
            start, length = start + len(piece), length - len(piece)
        return b"".join(pieces)


@dataclass(slots=True)
class Inflated:
    """A file that is compressed as a whole, read from its start; going back begins anew. `bits` is zlib's: 31 gzip, 15 zlib."""

    file: int
    bits: int
    _decoder: zlib._Decompress = field(init=False)
    _at: int = field(init=False, default=0)
    _taken: int = field(init=False, default=0)
    _held: bytearray = field(init=False, default_factory=bytearray)
    _fed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._decoder, self._at, self._taken, self._held = zlib.decompressobj(self.bits), 0, 0, bytearray()

    def read(self, start: int, length: int) -> bytes:
        """Decodes up to there, a megabyte at a time."""
        if start < self._at:
            self._begin()
        while self._at < start:
            if not self._held and not self._more():
                raise StoreError(f"its data end at byte {self._at:,}, in the middle of a record")
            passed = min(len(self._held), start - self._at)
            del self._held[:passed]
            self._at += passed
        while len(self._held) < length and self._more():
            pass
        found = bytes(self._held[:length])
        del self._held[:length]
        self._at += len(found)
        return found

    def _more(self) -> bool:
        try:
            while True:
                if self._decoder.eof:
                    rest = self._decoder.unused_data
                    if not rest and not os.pread(self.file, 1, self._taken):
                        return False
                    self._taken -= len(rest)
                    self._decoder = zlib.decompressobj(self.bits)
                    self._fed = False
                data = self._decoder.unconsumed_tail
                if not data:
                    data = os.pread(self.file, _PIECE, self._taken)
                    self._taken += len(data)
                out = self._decoder.decompress(data, _PIECE)
                if out:
                    self._held += out
                    return True
                if not data and not self._decoder.eof:
                    raise StoreError("its compressed data end too early")
        except zlib.error as error:
            raise StoreError(f"its compressed data are damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class TfRecords:
    """The framing of TFRecord."""

    def end(self, source: Source, start: int) -> int:
        """Where the record that begins at `start` ends; `start` itself at the end of the data."""
        head = source.read(start, 12)
        if not head:
            return start
        if len(head) < 12:
            raise StoreError(f"the data end in the head of the record at byte {start:,}")
        length, mark = struct.unpack("<QI", head)
        if masked(head[:8]) != mark:
            raise StoreError(f"the length of the record at byte {start:,} does not match its checksum")
        _bounded(length, start)
        return start + 16 + int(length)

    def payload(self, raw: bytes, start: int) -> bytes:
        """The record of one frame."""
        record = raw[12:-4]
        if masked(record) != int.from_bytes(raw[-4:], "little"):
            raise StoreError(f"the record at byte {start:,} does not match its checksum")
        return record


@dataclass(frozen=True, slots=True)
class RecordIo:
    """The framing of MXNet."""

    def end(self, source: Source, start: int) -> int:
        """Where the record that begins at `start` ends; `start` itself at the end of the data."""
        at, total = start, 0
        while True:
            head = source.read(at, 8)
            if not head and at == start:
                return start
            part, length = _head(head, at)
            if (part in {_WHOLE, _FIRST}) is not (at == start):
                raise StoreError(f"the parts of the record at byte {start:,} do not follow one another")
            total += length
            _bounded(total, start)
            at += 8 + length + -length % 4
            if part in {_WHOLE, _LAST}:
                return at

    def payload(self, raw: bytes, start: int) -> bytes:
        """The record of one frame, its parts joined."""
        parts, at = [], 0
        while at < len(raw):
            _, length = _head(raw[at : at + 8], start + at)
            parts.append(raw[at + 8 : at + 8 + length])
            at += 8 + length + -length % 4
        return JOINT.join(parts)


def _head(head: bytes, at: int) -> tuple[int, int]:
    if len(head) < 8:
        raise StoreError(f"the data end in the head of a record, at byte {at:,}")
    magic, word = struct.unpack("<II", head)
    if magic != _MAGIC:
        raise StoreError(f"there is no record at byte {at:,}: its magic number is another")
    if word >> 29 > _LAST:
        raise StoreError(f"the record at byte {at:,} is of an unknown kind")
    return word >> 29, word & (1 << 29) - 1


def _bounded(length: int, start: int) -> None:
    if length > LARGEST:
        raise StoreError(
            f"the record at byte {start:,} says that it has {length:,} bytes; more than {LARGEST:,} are refused"
        )


Framing = TfRecords | RecordIo


def bounds(source: Source, framing: Framing) -> array[int]:
    """Where each record begins, and where the last one ends. Reads the heads of the records; compressed files as a whole.

    Raises:
        StoreError: a head is damaged, or the data end in a record; the error names the byte.
    """
    found = array("q", [0])
    while (end := framing.end(source, found[-1])) != found[-1]:
        found.append(end)
    return found


def source_of(file: int) -> Plain | Inflated:
    """The bytes of a file, decompressed where it is gzip or zlib as a whole."""
    head = os.pread(file, 12, 0)
    if head[:3] == b"\x1f\x8b\x08":
        return Inflated(file, 31)
    if len(head) >= 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2], "big") % 31 == 0:
        is_record = len(head) == 12 and masked(head[:8]) == int.from_bytes(head[8:], "little")
        if not is_record:
            return Inflated(file, 15)
    return Plain(file)
