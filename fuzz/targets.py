"""What must hold for any bytes. Each target returns, or raises what it found."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from unsee.core.errors import MetadataError, StoreError
from unsee.intake.metadata import read_metadata
from unsee.intake.walk import escape_of
from unsee.stores.parquet import footer as parquet
from unsee.stores.parquet import thrift
from unsee.stores.tar.archive import DONE, is_void
from unsee.stores.tar.headers import BLOCK, Broken, Entry, entries, entry_at, void_header


class Bytes:
    """An archive in memory."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def read(self, length: int) -> bytes:
        """The next bytes."""
        piece = self.data[self.position : self.position + length]
        self.position += len(piece)
        return piece

    def skip(self, length: int) -> int:
        """Pass over bytes."""
        return len(self.read(length))


def tar(data: bytes) -> None:
    """Headers of any bytes: entries lie in order within them, each is found again at its place, one can be made a void, and
    Python's `tarfile` sees the same files as far as it reads.
    """
    data = _repaired(data)
    found, whole = _entries(data)
    end = 0
    for entry in found:
        assert end <= entry.start < entry.data <= entry.data + entry.stored <= entry.end, entry
        assert entry.start % BLOCK == entry.data % BLOCK == entry.end % BLOCK == 0, entry
        assert entry.sparse is None or sum(length for _at, length in entry.sparse) <= entry.stored, entry
        again = entry_at(Bytes(data, entry.start))
        assert again == entry, (again, entry)
        end = entry.end
    if whole:
        assert end <= len(data)
        _agrees(data, found)
        for gone in [entry for entry in found if entry.regular][:3]:
            inside = gone.end - gone.start - BLOCK
            voided = data[: gone.start] + void_header(inside, DONE) + bytes(inside) + data[gone.end :]
            left, still_whole = _entries(voided)
            assert still_whole
            assert [e for e in left if e.start != gone.start] == [e for e in found if e.start != gone.start]
            assert [is_void(e) for e in left if e.start == gone.start] == [True]


def metadata(data: bytes) -> None:
    """Rows of any bytes, as CSV and as JSON Lines: read, or refused by name; and no row points out of the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photos.csv" if data[:1] < b"a" else "photos.jsonl")
        path.write_bytes(data[1:])
        for keep_good in (False, True):
            try:
                found = read_metadata(path, keep_good=keep_good)
            except MetadataError as error:
                assert str(error)
                continue
            assert all(escape_of(file) is None and row.file == file for file, row in found.rows.items())
            assert keep_good or not found.bad


def footer(data: bytes) -> None:
    """Parquet metadata of any bytes: a tree that is written as it was read, or refused; and a footer whose column chunks lie within
    the file and not upon each other, whose end, made anew, is a footer again.
    """
    with suppress(thrift.ThriftError):
        tree, end = thrift.read(data)
        assert 0 < end <= len(data)
        assert thrift.read(thrift.write(tree))[0] == tree
    file = os.memfd_create("footer")
    try:
        room = bytes(_ROOM - len(parquet.MAGIC))
        os.write(file, parquet.MAGIC + room + data + len(data).to_bytes(4, "little") + parquet.MAGIC)
        try:
            found = parquet.read(file)
            leaves = parquet.leaves(found.schema)
        except StoreError as error:
            assert str(error)
            return
        spans = sorted(parquet.span(chunk) for group in found.groups for chunk in parquet.chunks(group))
        assert all(len(parquet.chunks(group)) == len(leaves) for group in found.groups)
        assert all(0 <= start <= end <= _ROOM for start, end in spans if end > start)
        os.ftruncate(file, 0)
        os.pwrite(file, parquet.MAGIC + room + parquet.ending(found.tree, found.groups), 0)
        again = parquet.read(file)
        assert (again.tree, again.end) == (found.tree, _ROOM)
    finally:
        os.close(file)


_ROOM = 4096
"""Where the footer begins: column chunks lie before."""

TARGETS: Mapping[str, Callable[[bytes], None]] = {"tar": tar, "metadata": metadata, "footer": footer}


def _entries(data: bytes) -> tuple[list[Entry], bool]:
    """What was read before the end, or before the place where the archive breaks."""
    found: list[Entry] = []
    try:
        found.extend(entries(Bytes(data)))  # what came before an error stays
    except Broken as error:
        assert error.offset >= 0
        if found and found[-1].end > len(data):
            found.pop()
        return found, False
    return found, True


def _agrees(data: bytes, found: list[Entry]) -> None:
    ended = _end_mark(data, found)
    ours = [(e.name, e.data, e.size) for e in found if e.regular and e.start < ended]
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as reader:
            theirs = [
                (member.name.encode("utf-8", "surrogateescape"), member.offset_data, member.size)
                for member in reader
                if member.isreg()
            ]
    except (tarfile.TarError, ValueError, RecursionError, OverflowError):
        return  # it refuses what we read: nobody is misled
    # It ends without a word at a header that it does not like, and takes the times in old GNU headers for a prefix of the name.
    for our, their in zip(ours, theirs, strict=False):
        assert our == their or (our[1:] == their[1:] and their[0].endswith(b"/" + our[0])), (our, their)
    assert len(theirs) <= len(ours), (ours, theirs)


def _end_mark(data: bytes, found: list[Entry]) -> int:
    """Where the first archive ends for a reader that stops at an empty block."""
    at = 0
    for entry in found:
        while at < entry.start:
            if not data[at : at + BLOCK].strip(b"\0"):
                return at
            at += BLOCK
        at = entry.end
    return len(data)


def _repaired(data: bytes) -> bytes:
    """The same with the right checksum in each block that calls itself a header, so that fuzzing gets past the checksum."""
    blocks = [bytearray(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
    for block in blocks:
        if len(block) == BLOCK and block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)
