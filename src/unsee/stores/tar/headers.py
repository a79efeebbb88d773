"""The headers of tar archives: V7, ustar, GNU and pax, read strictly and within bounds.

Formats: POSIX.1-2008 (pax), and "Basic Tar Format" in the manual of GNU tar. No size is trusted: each is held against the file's
end. Where GNU tar, libarchive and Python's `tarfile` would disagree about where a member ends or what it is called (two extended
headers in a row, data behind a link, a global header that renames), the archive is refused at that place: an eraser that takes one
side would cut into what another reader sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from unsee.stores.names import spell
from unsee.stores.tar import pax
from unsee.stores.tar.pax import Malformed, Overrides, Pieces

BLOCK = 512
VOID = b"D"
"""Type flag of a directory listing in GNU's incremental backups: a directory with data. GNU tar, libarchive, Python's `tarfile` and
`webdataset` all pass over that data. (A volume label, `V`, would not do: libarchive takes what lies behind it for headers.)"""
REGULAR = frozenset({b"0", b"\0", b"7", b"S"})
LINK = b"1"
WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6", b"V"})
MOST_EXTENDED_BYTES = 1 << 20
"""Bytes of one extended header or long name."""
MOST_NAME_BYTES = 1 << 16
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = (b"x", b"X"), b"g", b"L", b"K"
_ZERO = bytes(BLOCK)


class Broken(Exception):
    """The archive cannot be read on from here."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at byte {offset:,}: {reason}")
        self.offset = offset


class Source(Protocol):
    """Bytes of an archive, read forwards."""

    position: int

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end."""

    def skip(self, length: int) -> int:
        """Pass over bytes; how many there were."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry with the extended headers that belong to it. Offsets count from the beginning of the archive."""

    start: int
    """Where its first header begins, an extended one or its own."""
    data: int
    """Where its stored bytes begin; for a sparse member behind its map."""
    stored: int
    """How many bytes are stored."""
    end: int
    """Where the next entry begins."""
    name: bytes
    kind: bytes
    size: int
    """Bytes as a reader delivers them."""
    link: bytes = b""
    sparse: Pieces | None = None
    digest: bytes = field(default=b"", repr=False)
    """SHA-256 of its headers."""

    @property
    def regular(self) -> bool:
        """Whether it is a file with bytes of its own. A V7 name that ends in a slash is a directory."""
        return self.kind in REGULAR and not (self.kind == b"\0" and self.name.endswith(b"/"))


@dataclass(slots=True)
class _Pending:
    """Extended headers on the way to the entry that they describe."""

    start: int
    blocks: list[bytes] = field(default_factory=list)
    pax: Overrides | None = None
    name: bytes | None = None
    link: bytes | None = None


def entries(source: Source) -> Iterator[Entry]:
    """Every entry from the source's position to its end. The caller may read the entry's data before it asks for the next.

    Archives that follow the end mark of the first are read too (`cat a.tar b.tar`).

    Raises:
        Broken: the archive cannot be understood from some offset on; what came before was yielded.
    Cost: one or a few reads of 512 bytes an entry; memory of one entry, at most a few megabytes.
    """
    began = ended = False
    while True:
        at = source.position
        block = source.read(BLOCK)
        if not block or (ended and not block.strip(b"\0")):
            if not block:
                return
            continue
        if len(block) < BLOCK:
            raise Broken(at, f"the archive is cut off inside a header, {BLOCK - len(block)} bytes are missing")
        if block == _ZERO:
            ended = True
            continue
        if not _checksum_right(block):
            if not began:
                raise Broken(at, "it is no tar archive: the checksum of the first header is wrong")
            raise Broken(
                at,
                "bytes that are no tar header follow the end of the archive"
                if ended
                else "the checksum of a header is wrong",
            )
        began, ended = True, False
        try:
            entry = _entry(source, at, block)
        except Malformed as error:
            raise Broken(at, str(error)) from None
        if entry is None:
            continue
        yield entry
        left = entry.end - source.position
        if (passed := source.skip(left)) < left:
            raise _cut(entry.end, left - passed, spelled=entry.name)


def entry_at(source: Source) -> Entry | None:
    """The one entry whose first header lies at the source's position; None where none lies there.

    Raises:
        Broken: the headers there cannot be understood.
    """
    at = source.position
    block = source.read(BLOCK)
    if len(block) < BLOCK or not _checksum_right(block):
        return None
    try:
        return _entry(source, at, block)
    except Malformed as error:
        raise Broken(at, str(error)) from None


def void_header(size: int, name: bytes) -> bytes:
    """A header that readers pass over, together with `size` bytes behind it: no owner, no time."""
    length = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    block = bytearray(BLOCK)
    for at, field_ in (
        (0, name),
        (100, b"0000755\0" + b"0000000\0" * 2),
        (124, length),
        (136, b"00000000000\0"),
        (148, b" " * 8),
        (156, VOID),
        (257, b"ustar\x0000"),
    ):
        block[at : at + len(field_)] = field_
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(size: int) -> int:
    """The bytes that so many take in whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _entry(source: Source, start: int, block: bytes) -> Entry | None:
    """The entry that begins with this block; None where it is a global header, which belongs to none."""
    pending = _Pending(start)
    while True:
        kind, size = block[156:157], _number(block[124:136])
        at = source.position - BLOCK
        if kind == _GLOBAL:
            if pending.blocks:
                raise Malformed("a global header stands between a member and its own extended header")
            _check_global(_extended(source, at, size))
            return None
        pending.blocks.append(block)
        if kind in _PAX:
            if pending.pax is not None:
                raise Malformed("a member has two extended headers")
            pending.pax = pax.overrides(pax.records(_kept(source, at, size, pending)))
        elif kind == _LONG_NAME:
            if pending.name is not None:
                raise Malformed("a member has two long names")
            pending.name = _long(_kept(source, at, size, pending))
        elif kind == _LONG_LINK:
            if pending.link is not None:
                raise Malformed("a member has two long link names")
            pending.link = _long(_kept(source, at, size, pending))
        else:
            return _finish(source, block, size, pending)
        at = source.position
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            raise Broken(at, "the archive is cut off between an extended header and its member")
        if not _checksum_right(block):
            raise Broken(at, "an extended header is followed by no header")


def _finish(source: Source, block: bytes, size: int, pending: _Pending) -> Entry:
    said = pending.pax or Overrides()
    for one, other in ((said.path, pending.name), (said.link, pending.link)):
        if one is not None and other is not None:
            raise Malformed("a member has a long name and one in its extended header")
    name = said.path or pending.name or _short_name(block)
    link = said.link or pending.link or _until_nul(block[157:257])
    if max(len(name), len(link)) > MOST_NAME_BYTES:
        raise Malformed(f"a name is longer than {MOST_NAME_BYTES:,} bytes")
    kind = block[156:157]
    size = size if said.size is None else said.size
    entry = Entry(pending.start, 0, size, 0, name, kind, size, link, said.sparse)
    if size and (kind in WITHOUT_DATA or not (entry.regular or kind not in REGULAR)):
        raise Malformed("an entry without data gives a size, and readers disagree whether bytes follow it")
    if kind == b"S":
        if said.real_size is not None:
            raise Malformed("a member is sparse in two ways")
        sparse, real = _old_sparse(source, block, pending)
        entry = replace(entry, sparse=sparse, size=real)
    elif said.real_size is not None:
        if not entry.regular:
            raise Malformed("an entry without data is called sparse")
        entry = replace(entry, size=said.real_size)
    body = source.position
    data = body
    if said.map_in_data and said.real_size is not None:
        found, taken = pax.map_in_data(_blocks(source, size), said.real_size)
        entry = replace(entry, sparse=found)
        data = body + taken * BLOCK
    stored = size - (data - body)
    if stored < 0 or (entry.sparse is not None and sum(length for _at, length in entry.sparse) > stored):
        raise Malformed("a sparse member stores fewer bytes than its map says")
    digest = hashlib.sha256(b"".join(pending.blocks)).digest()
    return replace(entry, data=data, stored=stored, end=body + padded(size), digest=digest)


def _old_sparse(source: Source, block: bytes, pending: _Pending) -> tuple[Pieces, int]:
    """The map of an old GNU sparse member: four stretches in the header, 21 in each block that follows."""
    real = _number(block[483:495])
    numbers: list[int] = []
    part, count, more = block[386:482], 4, block[482]
    while True:
        for at in range(0, 24 * count, 24):
            if part[at : at + 24].strip(b"\0 "):
                numbers += [_number(part[at : at + 12]), _number(part[at + 12 : at + 24])]
        if not more:
            return pax.pieces(numbers, real), real
        if len(numbers) > 2 * pax.MOST_PIECES:
            raise Malformed("the map of a sparse member is too long")
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            raise Malformed("the archive is cut off inside the map of a sparse member")
        pending.blocks.append(block)
        part, count, more = block[:504], 21, block[504]


def _blocks(source: Source, size: int) -> Iterator[bytes]:
    for _ in range(padded(size) // BLOCK):
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            return
        yield block


def _extended(source: Source, at: int, size: int) -> bytes:
    if size > MOST_EXTENDED_BYTES:
        raise Malformed(f"an extended header of {size:,} bytes is longer than {MOST_EXTENDED_BYTES:,}")
    data = source.read(padded(size))
    if len(data) < padded(size):
        raise _cut(at + BLOCK + padded(size), padded(size) - len(data), spelled=b"an extended header")
    return data


def _kept(source: Source, at: int, size: int, pending: _Pending) -> bytes:
    data = _extended(source, at, size)
    pending.blocks.append(data)
    return data[:size]


def _check_global(data: bytes) -> None:
    for key, _value in pax.records(data):
        if key in {b"path", b"linkpath", b"size"} or key.startswith(b"GNU.sparse."):
            raise Malformed(f"a global header sets {key.decode(errors='replace')!r} for all members")


def _cut(end: int, missing: int, *, spelled: bytes) -> Broken:
    return Broken(
        end, f"the archive is cut off, or a size lies: {missing:,} bytes of {spell(spelled)[:200]!r} are missing"
    )


def _short_name(block: bytes) -> bytes:
    name, prefix = _until_nul(block[:100]), _until_nul(block[345:500])
    if block[257:263] == b"ustar\0" and prefix:
        return prefix + b"/" + name
    return name


def _long(data: bytes) -> bytes:
    name = _until_nul(data)
    if not name:
        raise Malformed("a long name is empty, which readers take differently")
    return name


def _until_nul(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _number(data: bytes) -> int:
    """A field as octal digits between spaces and NULs, or in base 256 where its first bit is set.

    Raises:
        Malformed: it is neither, negative, or too large for a file.
    """
    if data[0] == 0x80:
        value = int.from_bytes(data[1:], "big")
        if value >= 1 << 62:
            raise Malformed("a size is larger than any file")
        return value
    digits = _until_nul(data).strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise Malformed(f"{bytes(data)!r} is no number")
    return int(digits, 8)


def _checksum_right(block: bytes) -> bool:
    """The sum of all bytes, its own field as spaces; some old writers summed signed bytes."""
    try:
        said = _number(block[148:156])
    except Malformed:
        return False
    unsigned = sum(block) - sum(block[148:156]) + 8 * 32
    if said == unsigned:
        return True
    high = sum(1 for at, byte in enumerate(block) if byte >= 128 and not 148 <= at < 156)
    return said == unsigned - 256 * high
