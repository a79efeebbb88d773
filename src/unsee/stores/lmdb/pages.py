"""Reads the pages of an LMDB environment (format version 1, 64-bit; mdb.c of LMDB 0.9, "Page Format"), each place checked.

liblmdb trusts its file: a page number or a length that lies makes the process read elsewhere, or die. Nothing here follows a number
that it has not compared with the file's size, and no page is visited twice. Pages are read by `pread`, so a file that becomes
shorter is an error and no signal.

A commit writes pages that the last commit does not need, and then one of the two meta pages. What was read is true as long as no
newer meta page is there (`Environment.unchanged`): no lock is needed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from unsee.core.errors import StoreError

HEADER = 16
META = struct.Struct("<IIQQ")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_DB = struct.Struct("<IHHQQQQQ")
"""pad, flags, depth, branch pages, leaf pages, overflow pages, entries, root."""
_TAIL = struct.Struct("<QQ")
_META_BYTES = META.size + 2 * _DB.size + _TAIL.size
_BRANCH, _LEAF, _OVERFLOW, _LEAF2, _SUBPAGE = 1, 2, 4, 0x20, 0x40
_BIG, _SUBDATA, _DUPDATA = 1, 2, 4
REVERSE_KEY, DUPSORT, INTEGER_KEY, DUP_FIXED, INTEGER_DUP, REVERSE_DUP = 2, 4, 8, 16, 32, 64
_NONE = (1 << 64) - 1
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Tree:
    """One database: its flags, and where its root is."""

    flags: int
    entries: int
    root: int

    @classmethod
    def of(cls, raw: bytes) -> Tree:
        """From an MDB_db record."""
        _, flags, _, _, _, _, entries, root = _DB.unpack(raw)
        return cls(flags & 0x7F, entries, root)


@dataclass(frozen=True, slots=True)
class Value:
    """A value: its bytes where they lie in a page that was read anyway, else their place in the file."""

    size: int
    held: bytes | None
    place: int = 0


@dataclass(slots=True)
class Environment:
    """An environment as its newest commit left it."""

    file: int
    size: int = field(init=False)
    page_bytes: int = field(init=False)
    map_bytes: int = field(init=False)
    commit: int = field(init=False)
    """The number of that commit."""
    main: Tree = field(init=False)
    free: bool = field(init=False)
    """Whether there are pages that no key needs: deleted keys and values may lie there."""

    def __post_init__(self) -> None:
        self.size = os.fstat(self.file).st_size
        self.page_bytes, self.map_bytes, unused, self.main, last, self.commit = newest(self.file)
        used = (last + 1) * self.page_bytes
        if used > self.size:
            raise StoreError(f"the environment is truncated: it has {self.size:,} bytes, and uses {used:,}")
        self.free = unused or used < self.size

    def unchanged(self) -> None:
        """Nothing, where what was read so far is of one commit.

        Raises:
            StoreError: another program committed meanwhile.
        """
        if newest(self.file)[-1] != self.commit:
            raise StoreError("another program wrote to the environment while it was read; try again when it is done")

    def leaves(self, tree: Tree) -> Iterator[int]:
        """The pages of a database that hold its keys, in the order of the keys."""
        if tree.root != _NONE:
            yield from self._leaves(tree.root, 0, set())

    def _leaves(self, number: int, depth: int, seen: set[int]) -> Iterator[int]:
        if number in seen or depth > _DEEPEST:
            raise StoreError(f"page {number} stands twice in one database")
        seen.add(number)
        page = self.page(number)
        flags = _flags(page)
        if flags & _LEAF:
            yield number
        elif flags & _BRANCH:
            for at in _places(page, number):
                low, high, top = struct.unpack_from("<HHH", page, at)
                yield from self._leaves(low | high << 16 | top << 32, depth + 1, seen)
        else:
            raise StoreError(f"page {number} is neither a branch nor a leaf")

    def entries(self, leaf: int) -> Iterator[tuple[bytes, Value | Tree]]:
        """Keys and values of one leaf; several values of one key one after another. A `Tree` is a database in the main one."""
        page = self.page(leaf)
        for at in _places(page, leaf):
            low, high, flags, wide = struct.unpack_from("<HHHH", page, at)
            key, size, start = page[at + 8 : at + 8 + wide], low | high << 16, at + 8 + wide
            if len(key) != wide:
                raise StoreError(f"a key in page {leaf} is longer than the page")
            if flags & _BIG:
                yield key, self._overflow(_part(page, start, 8, leaf), size, leaf)
                continue
            held = _part(page, start, size, leaf)
            if flags & _DUPDATA:
                yield from ((key, value) for value in self._values(held, leaf, inner=bool(flags & _SUBDATA)))
            elif flags & _SUBDATA:
                if size != _DB.size:
                    raise StoreError(f"a database in page {leaf} is described in {size} bytes")
                yield key, Tree.of(held)
            else:
                yield key, Value(size, held)

    def _values(self, held: bytes, leaf: int, *, inner: bool) -> Iterator[Value]:
        """The values of one key: in a page within the page, or in a tree of their own."""
        if not inner:
            yield from (Value(len(one), one) for one in _keys(held, leaf))
            return
        if len(held) != _DB.size:
            raise StoreError(f"values in page {leaf} are described in {len(held)} bytes")
        root = Tree.of(held).root
        if root != _NONE:
            for number in self._leaves(root, 0, set()):
                yield from (Value(len(one), one) for one in _keys(self.page(number), number))

    def _overflow(self, raw: bytes, size: int, leaf: int) -> Value:
        (number,) = struct.unpack("<Q", raw)
        place = number * self.page_bytes + HEADER
        if place + size > self.size:
            raise StoreError(f"a value in page {leaf} says that it lies beyond the end of the file")
        return Value(size, None, place)

    def data(self, value: Value) -> bytes:
        """The bytes of a value."""
        return value.held if value.held is not None else _exactly(self.file, value.size, value.place)

    def page(self, number: int) -> bytes:
        """One page."""
        if (number + 1) * self.page_bytes > self.size:
            raise StoreError(f"page {number} lies beyond the end of the file")
        return _exactly(self.file, self.page_bytes, number * self.page_bytes)


def newest(file: int) -> tuple[int, int, bool, Tree, int, int]:
    """Of the newest meta page: bytes of a page, bytes of the map, whether pages are free, the main
    database, the last page in use, the commit's number.

    Raises:
        StoreError: there is no meta page of version 1.
    """
    first = _meta(os.pread(file, HEADER + _META_BYTES, 0))
    if first is None:
        raise StoreError("it does not begin as an LMDB environment of format version 1 does")
    second = _meta(os.pread(file, HEADER + _META_BYTES, first[0]))
    return max(first, second, key=lambda meta: meta[-1]) if second is not None else first


def _meta(raw: bytes) -> tuple[int, int, bool, Tree, int, int] | None:
    if len(raw) < HEADER + _META_BYTES:
        return None
    magic, version, _, map_bytes = META.unpack_from(raw, HEADER)
    page_bytes = int.from_bytes(raw[HEADER + META.size :][:4], "little")
    if (magic, version) != (_MAGIC, _VERSION) or page_bytes not in {1 << n for n in range(9, 17)}:
        return None
    at = HEADER + META.size + _DB.size
    last, commit = _TAIL.unpack_from(raw, at + _DB.size)
    unused = Tree.of(raw[at - _DB.size : at]).entries > 0
    return page_bytes, map_bytes, unused, Tree.of(raw[at : at + _DB.size]), last, commit


def settle(file: int, *, commit: int, map_bytes: int) -> None:
    """Make both meta pages of a new environment say its newest state, as commits `commit - 1` and `commit`, and cut its file there.

    Lock files hold the number of the last commit, and readers choose a meta page by it: the number must be that of the old file.
    """
    page_bytes, _, _, _, last, _ = newest(file)
    metas = [os.pread(file, HEADER + _META_BYTES, place) for place in (0, page_bytes)]
    best = max(metas, key=lambda raw: int.from_bytes(raw[-8:], "little"))
    for number in {max(0, commit - 1), commit}:
        slot = number % 2
        body = bytearray(best)
        body[:8] = slot.to_bytes(8, "little")
        body[HEADER + 16 : HEADER + 24] = map_bytes.to_bytes(8, "little")
        body[-8:] = number.to_bytes(8, "little")
        os.pwrite(file, body, slot * page_bytes)
    os.ftruncate(file, (last + 1) * page_bytes)


def _flags(page: bytes) -> int:
    return int.from_bytes(page[10:12], "little")


def _places(page: bytes, number: int) -> tuple[int, ...]:
    """Where the nodes of a page begin."""
    lower = int.from_bytes(page[12:14], "little")
    if not HEADER <= lower <= len(page):
        raise StoreError(f"page {number} says that it has an impossible number of entries")
    places = struct.unpack_from(f"<{(lower - HEADER) // 2}H", page, HEADER)
    if any(not lower <= at <= len(page) - 8 for at in places):
        raise StoreError(f"an entry of page {number} lies outside the page")
    return places


def _keys(page: bytes, number: int) -> Iterator[bytes]:
    """The keys of a leaf; of one with keys of one length, which lie one after another."""
    if len(page) < HEADER:
        raise StoreError(f"values in page {number} are cut off")
    if _flags(page) & _LEAF2:
        wide = int.from_bytes(page[8:10], "little")
        count = (int.from_bytes(page[12:14], "little") - HEADER) // 2
        for n in range(count):
            yield _part(page, HEADER + n * wide, wide, number)
        return
    for at in _places(page, number):
        yield _part(page, at + 8, int.from_bytes(page[at + 6 : at + 8], "little"), number)


def _part(page: bytes, start: int, size: int, number: int) -> bytes:
    found = page[start : start + size]
    if len(found) != size:
        raise StoreError(f"an entry of page {number} is longer than the page")
    return found


def _exactly(file: int, size: int, start: int) -> bytes:
    pieces = []
    while size:
        piece = os.pread(file, size, start)
        if not piece:
            raise StoreError("the environment became shorter while it was read")
        pieces.append(piece)
        start, size = start + len(piece), size - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
