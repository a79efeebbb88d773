"""What must hold for any bytes. Each target returns, or raises what it found."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from unsee.core.errors import MetadataError, StoreError
from unsee.intake.metadata import read_metadata
from unsee.intake.walk import escape_of
from unsee.stores.arrow import messages as arrow
from unsee.stores.lmdb import Keys
from unsee.stores.lmdb.pages import Environment
from unsee.stores.parquet import footer as parquet
from unsee.stores.parquet import thrift
from unsee.stores.rows import RowShape
from unsee.stores.tar.archive import DONE, is_void
from unsee.stores.tar.headers import BLOCK, Broken, Entry, entries, entry_at, void_header
from unsee.stores.tfrecord import RecordFormat, examples, framing
from unsee.stores.tfrecord.checksums import masked


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


def environment(data: bytes) -> None:
    """An LMDB environment of any bytes: every key and value read from within the file, or refused."""
    with _held(data) as file, suppress(StoreError):
        found = Keys(Environment(file))
        for part, sizes in enumerate(found.sizes):
            assert len(sizes) == found.rows[part]
            for (_key, value), (_wide, size) in zip(found.pairs(part), sizes, strict=True):
                assert value.size == size == len(found.environment.data(value)) <= len(data)


def records(data: bytes) -> None:
    """TFRecord, RecordIO or either of them packed, of any bytes: records that follow one another to the end, or refused."""
    with _held(_summed(data)) as file:
        try:
            with _RECORDS.open(file) as found:
                held = [record for part in range(len(found.rows)) for record in found.records(part)]
        except StoreError as error:
            assert str(error)
            return
        assert [start for start, _record in held] == list(found.bounds[:-1])
        assert all(start < end for start, end in pairwise(found.bounds))
        if isinstance(found.source, framing.Plain):
            assert found.bounds[-1] == len(data) and sum(len(record) for _start, record in held) <= len(data)
        for start, record in held:
            with suppress(ValueError):
                value = examples.feature(record, b"image/encoded")
                assert value is None or len(value) <= max(20, len(record))
            with suppress(StoreError):
                assert record.endswith(examples.unpacked(record, start)[1])


def messages(data: bytes) -> None:
    """An Arrow file or stream of any bytes: messages one behind another within it, or refused; and a footer of the same length."""
    with _held(data) as file:
        try:
            found = arrow.layout(file)
        except StoreError as error:
            assert str(error)
            return
        end = arrow.HEADER if found.footer else 0
        for message in found.messages:
            assert message.start == end and message.head > 0 <= min(message.body, message.rows)
            end += message.length
        assert end == found.end <= (found.footer[0] if found.footer else len(data))
        if found.footer:
            footer = data[slice(*found.footer)]
            assert len(arrow.renewed_footer(footer, [(m.start, m.head, m.body) for m in found.batches][1:])) == len(
                footer
            )


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "tar": tar,
    "metadata": metadata,
    "footer": footer,
    "environment": environment,
    "records": records,
    "messages": messages,
}
_RECORDS = RecordFormat(RowShape(None))


@contextmanager
def _held(data: bytes) -> Iterator[int]:
    file = os.memfd_create("fuzz")
    try:
        os.write(file, data)
        yield file
    finally:
        os.close(file)


def _summed(data: bytes) -> bytes:
    """The same with the right checksums where it can be read as TFRecord, so that fuzzing gets past them."""
    new, at = bytearray(data), 0
    if data[:4] == framing.JOINT or data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
        return data
    while at + 16 <= len(new):
        new[at + 2 : at + 8] = bytes(6)
        length = int.from_bytes(new[at : at + 2], "little") % (len(new) - at - 15)
        new[at : at + 12] = (head := length.to_bytes(8, "little")) + masked(head).to_bytes(4, "little")
        at += 16 + length
        new[at - 4 : at] = masked(bytes(new[at - 4 - length : at - 4])).to_bytes(4, "little")
    return bytes(new)


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
