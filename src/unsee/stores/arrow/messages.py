"""The messages of an Arrow IPC file or stream: where each lies and what it holds, read from its metadata alone.

Source of the format: "Encapsulated message format" and "IPC File Format", Columnar.rst and `Message.fbs`, `File.fbs` of Apache
Arrow. Metadata are FlatBuffers; only the few fields that are needed are looked up, each within bounds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from unsee.core.errors import StoreError

MAGIC = b"ARROW1"
HEADER = 8
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
_CONTINUES = 0xFFFFFFFF
_LARGEST_METADATA = 64 << 20
_MOST_MESSAGES = 4_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `length` bytes from `start` on, its prefix and body included."""

    kind: int
    start: int
    head: int
    """Bytes of the prefix and the metadata."""
    body: int
    rows: int
    codec: int | None
    """0 for lz4, 1 for zstd, None where the body is not compressed."""

    @property
    def length(self) -> int:
        """All of it."""
        return self.head + self.body


@dataclass(frozen=True, slots=True)
class Layout:
    """The messages in the order in which they lie; of a file, where its footer is."""

    messages: Sequence[Message]
    footer: tuple[int, int] | None
    """Where the footer begins and ends; None for a stream."""
    end: int
    """Where the last message ends."""

    @property
    def batches(self) -> list[Message]:
        """The record batches."""
        return [message for message in self.messages if message.kind == BATCH]

    @property
    def has_dictionaries(self) -> bool:
        """Whether a column is dictionary-encoded."""
        return any(message.kind == DICTIONARY for message in self.messages)


class _Table:
    """A FlatBuffers table. Every look-up raises struct.error or StoreError where it leads out of the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        (back,) = struct.unpack_from("<i", data, at)
        self.fields = at - back
        if self.fields < 0:
            raise StoreError("its metadata are no FlatBuffers")
        (self.size,) = struct.unpack_from("<H", data, self.fields)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def place(self, field: int) -> int | None:
        """Where the field's value is; None where it has its default."""
        entry = 4 + 2 * field
        if entry + 2 > self.size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, self.fields + entry)
        return self.at + offset if offset else None

    def number(self, field: int, form: str, default: int = 0) -> int:
        place = self.place(field)
        return default if place is None else int(struct.unpack_from(form, self.data, place)[0])

    def table(self, field: int) -> _Table | None:
        place = self.place(field)
        return None if place is None else _Table(self.data, place + struct.unpack_from("<I", self.data, place)[0])


def layout(file: int) -> Layout:
    """Where the messages of an open Arrow file or stream lie.

    Raises:
        StoreError: it is neither, is truncated, or contradicts itself. The message completes "FILE: …".
        OSError: it cannot be read.
    """
    size = os.fstat(file).st_size
    is_file = os.pread(file, 6, 0) == MAGIC
    try:
        footer = _footer(file, size) if is_file else None
        messages, end = _messages(file, HEADER if is_file else 0, footer[0] if footer else size)
        if footer is not None:
            _agree(os.pread(file, footer[1] - footer[0], footer[0]), messages)
    except struct.error as error:
        raise StoreError("its metadata lead out of the file: it is no Arrow file, or damaged") from error
    if not messages or messages[0].kind != SCHEMA:
        raise StoreError("it is no Arrow file or stream: it does not begin with a schema")
    return Layout(messages, footer, end)


def _footer(file: int, size: int) -> tuple[int, int]:
    tail = os.pread(file, 10, max(0, size - 10))
    if tail[4:] != MAGIC:
        raise StoreError("it has no footer: it is truncated, or still being written")
    (length,) = struct.unpack_from("<i", tail, 0)
    if not 0 < length <= min(size - 18, _LARGEST_METADATA):
        raise StoreError(f"its footer says that it is {length:,} bytes long, which cannot be")
    return size - 10 - length, size - 10


def _messages(file: int, at: int, end: int) -> tuple[list[Message], int]:
    found: list[Message] = []
    while at + 4 <= end:
        prefix = os.pread(file, 8, at)
        (length,) = struct.unpack_from("<I", prefix, 0)
        width = 4
        if length == _CONTINUES:
            if len(prefix) < 8:
                raise StoreError("it is truncated in the middle of a message")
            (length,) = struct.unpack_from("<I", prefix, 4)
            width = 8
        if length == 0:
            break  # the end of the stream
        if length > _LARGEST_METADATA or at + width + length > end:
            raise StoreError("it is truncated in the middle of a message, or no Arrow file")
        message = _message(os.pread(file, length, at + width), at, width + length)
        if at + message.length > end:
            raise StoreError("it is truncated in the middle of a message")
        found.append(message)
        if len(found) > _MOST_MESSAGES:
            raise StoreError(f"it has more than {_MOST_MESSAGES:,} messages")
        at += message.length
    return found, at


def _message(data: bytes, start: int, head: int) -> Message:
    table = _Table.root(data)
    kind, body = table.number(1, "<B"), table.number(3, "<q")
    if body < 0:
        raise StoreError("a message has a negative length")
    rows, codec = 0, None
    if kind == BATCH and (batch := table.table(2)) is not None:
        rows = batch.number(0, "<q")
        if (compression := batch.table(3)) is not None:
            codec = compression.number(0, "<b")
    if rows < 0:
        raise StoreError("a record batch has a negative number of rows")
    return Message(kind, start, head, body, rows, codec)


_BLOCK = struct.Struct("<qi4xq")


def _blocks(data: bytes) -> tuple[int, int]:
    """Where the footer lists its record batches, and how many."""
    place = _Table.root(data).place(3)
    if place is None:
        return 0, 0
    place += struct.unpack_from("<I", data, place)[0]
    (count,) = struct.unpack_from("<I", data, place)
    if place + 4 + count * _BLOCK.size > len(data):
        raise StoreError("its footer lists more record batches than it has room for")
    return place, count


def _agree(footer: bytes, messages: Sequence[Message]) -> None:
    """A batch that only the footer, or only the walk from the start finds, would be seen by some readers and not by us."""
    place, count = _blocks(footer)
    listed = [_BLOCK.unpack_from(footer, place + 4 + n * _BLOCK.size) for n in range(count)]
    walked = [(message.start, message.head, message.body) for message in messages if message.kind == BATCH]
    if sorted(listed) != walked:
        raise StoreError("its footer lists other record batches than lie in the file")


def renewed_footer(footer: bytes, blocks: Sequence[tuple[int, int, int]]) -> bytes:
    """The footer with other record batches, at most as many as before: `(start, head, body)` of each."""
    place, count = _blocks(footer)
    if len(blocks) > count:
        raise ValueError("a footer cannot list more batches than before")
    new = bytearray(footer)
    if count:
        struct.pack_into("<I", new, place, len(blocks))
        new[place + 4 : place + 4 + count * _BLOCK.size] = bytes(count * _BLOCK.size)
        for n, block in enumerate(blocks):
            _BLOCK.pack_into(new, place + 4 + n * _BLOCK.size, *block)
    return bytes(new)
