"""Where the bytes of an archive come from: the file itself, or a gzip or zstd stream unpacked on the way, with an upper bound."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, Protocol

from unsee.stores.tar.headers import Broken, Source

SUFFIXES: Final = {".tar": "", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}
"""What this store takes for shards, and how each is packed."""
MOST_RATIO: Final = 200
"""Unpacked bytes for each packed one; JPEGs have about one, text about ten, a bomb a thousand."""
ALWAYS_BYTES: Final = 64 << 20
"""So much is unpacked whatever the ratio."""
WINDOW_BYTES = 8192
"""Of a plain archive that are read at once: an entry's headers and the beginning of its data."""
_PIECE = 1 << 20
_GZIP_LEVEL = 6


def packing(object_name: str) -> str:
    """`gzip` or `zstd`, or nothing for a plain archive, by the name's end."""
    return next((how for suffix, how in SUFFIXES.items() if how and object_name.endswith(suffix)), "")


class FileSource:
    """A plain archive. Reads a small window at a time, so that a header and the beginning of its data are one call."""

    def __init__(self, file: int, position: int = 0) -> None:
        self._file, self.position = file, position
        self._size = os.fstat(file).st_size
        self._window, self._from = b"", 0

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end."""
        at = self.position - self._from
        if not (at >= 0 and at + length <= len(self._window)):
            self._window, self._from, at = (
                _exactly(self._file, self.position, max(length, WINDOW_BYTES)),
                self.position,
                0,
            )
        data = self._window[at : at + length]
        self.position += len(data)
        return data

    def skip(self, length: int) -> int:
        """Pass over bytes without reading them; how many there were."""
        passed = max(0, min(length, self._size - self.position))
        self.position += passed
        return passed


class StreamSource:
    """An unpacked stream. Gives up where it is a bomb, or cannot be unpacked."""

    def __init__(self, stream: _Readable, packed_bytes: int) -> None:
        self._stream, self.position = stream, 0
        self._most = max(ALWAYS_BYTES, MOST_RATIO * packed_bytes)

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end."""
        pieces: list[bytes] = []
        while length:
            try:
                piece = self._stream.read(min(length, _PIECE))
            except (OSError, EOFError, zlib.error) as error:
                raise Broken(self.position, f"it cannot be unpacked further: {error}") from None
            if not piece:
                break
            pieces.append(piece)
            self.position += len(piece)
            length -= len(piece)
            if self.position > self._most:
                raise Broken(
                    self.position, f"it unpacks to more than {MOST_RATIO} times its size, as a decompression bomb does"
                )
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, length: int) -> int:
        """Pass over bytes; how many there were."""
        left = length
        while left and (passed := len(self.read(min(left, _PIECE)))):
            left -= passed
        return length - left


@contextmanager
def source(file: int, how: str) -> Iterator[Source]:
    """The archive in an open file, from its beginning."""
    if not how:
        yield FileSource(file)
        return
    with os.fdopen(os.dup(file), "rb") as packed:
        packed.seek(0)
        with _unpacked(packed, how) as stream:
            yield StreamSource(stream, os.fstat(file).st_size)


@contextmanager
def packer(file: int, how: str) -> Iterator[_Writable]:
    """Packs what is written to it into an open, empty file. A gzip header made here names no file and no time."""
    with os.fdopen(os.dup(file), "wb") as raw:
        if how == "gzip":
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
                yield packed
        else:
            import pyarrow as pa  # imported here: plain shards need none of it

            with pa.CompressedOutputStream(raw, "zstd") as stream:
                yield stream


@contextmanager
def _unpacked(packed: IO[bytes], how: str) -> Iterator[_Readable]:
    if how == "gzip":
        with gzip.GzipFile(fileobj=packed, mode="rb") as stream:
            yield stream
        return
    import pyarrow as pa

    with pa.CompressedInputStream(packed, "zstd") as stream:
        yield stream


def _exactly(file: int, position: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length and (piece := os.pread(file, length, position)):
        pieces.append(piece)
        position += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Writable(Protocol):
    def write(self, data: Any, /) -> Any: ...
