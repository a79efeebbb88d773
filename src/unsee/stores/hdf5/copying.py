"""Copies an HDF5 file without some of its datasets, or without some of their rows, by the library's low-level calls.

Chunks, filters, fill values, creation order, attributes, the user block stay. Links are copied as links and never followed. What a
copy would break or lead out of the file is refused by name: references, virtual datasets, storage in other files, committed types.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5fd, h5g, h5o, h5p, h5s, h5t

from unsee.core.errors import StoreError

LARGEST = 1 << 30
"""A dataset that is one member may be so large; it is held in memory."""


@dataclass(slots=True)
class Contents:
    """What is in a file: datasets by path, and what else has a name."""

    datasets: dict[str, h5py.Dataset] = field(default_factory=dict)
    names: dict[int, list[str]] = field(default_factory=dict)
    """Of each dataset, by its address."""
    links: dict[str, str] = field(default_factory=dict)
    """Soft and external links, and where they lead, in words."""


@contextmanager
def reading(file: int) -> Iterator[h5py.File]:
    """The file behind a descriptor.

    Raises:
        OSError: it is none, or somebody has it open for writing.
    """
    with h5py.File(f"/proc/self/fd/{file}", "r") as opened:
        yield opened


def contents(opened: h5py.File) -> Contents:
    """Everything in a file.

    Raises:
        StoreError: something in it cannot be copied; the error names it.
    """
    found, groups = Contents(), {address(opened)}
    pending = [("", opened)]
    while pending:
        path, group = pending.pop()
        _plain_attributes(path or "/", group)
        inner: list[tuple[str, Any]] = []
        for name in group:
            place, link = f"{path}/{name}", group.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                found.links[place] = f"a link to {link.path!r} in this file, whose own name counts"
            elif isinstance(link, h5py.ExternalLink):
                found.links[place] = f"a link into another file, {link.filename!r}, which is not followed"
            elif not isinstance(link, h5py.HardLink):
                raise StoreError(f"{place!r} is a link of an unknown type")
            else:
                _note(found, groups, inner, place, group[name])
        pending.extend(reversed(inner))
    return found


def _note(found: Contents, groups: set[int], inner: list[tuple[str, Any]], place: str, held: Any) -> None:
    if isinstance(held, h5py.Group):
        if address(held) in groups:
            raise StoreError(f"the group {place!r} has several names")
        groups.add(address(held))
        inner.append((place, held))
        return
    if not isinstance(held, h5py.Dataset):
        raise StoreError(f"{place!r} is a committed type, which a copy would make another")
    if held.is_virtual:
        raise StoreError(f"the dataset {place!r} is virtual: its bytes lie in other datasets")
    if held.external:
        raise StoreError(f"the dataset {place!r} keeps its bytes in another file")
    if held.id.get_type().committed():
        raise StoreError(f"the dataset {place!r} has a committed type, which a copy would make another")
    if held.id.get_type().detect_class(h5t.REFERENCE):
        raise StoreError(f"the dataset {place!r} holds references, which a copy would break")
    _plain_attributes(place, held)
    found.datasets[place.removeprefix("/")] = held
    found.names.setdefault(address(held), []).append(place.removeprefix("/"))


def _plain_attributes(place: str, held: Any) -> None:
    for n in range(h5a.get_num_attrs(held.id)):
        attribute = h5a.open(held.id, index=n)
        kind = attribute.get_type()
        if kind.detect_class(h5t.REFERENCE) or kind.committed():
            name = attribute.name.decode(errors="replace")
            raise StoreError(f"the attribute {name!r} of {place!r} holds references or has a committed type")


def address(held: Any) -> int:
    """Where an object lies in its file: one for all its names."""
    return int(h5o.get_info(held.id).addr)


Rows = Mapping[str, "np.ndarray[Any, Any]"]
"""By path of a dataset: one bool a row, True for those that stay."""


def without(opened: h5py.File, old: int, new: int, gone: frozenset[str], rows: Rows) -> None:
    """Write to `new` what `opened` holds, without the datasets `gone`, and of those in `rows` only the rows that stay."""
    plist = opened.id.get_create_plist()
    access, sink = h5p.create(h5p.FILE_ACCESS), Sink(new)
    access.set_fileobj_driver(h5fd.fileobj_driver, sink)
    try:
        with h5py.File(h5f.create(b"new", h5f.ACC_TRUNC, plist, access)) as target:
            _group(opened, target, "", _Act(gone, rows, {}))
    finally:
        sink.check()
    user_bytes = plist.get_userblock()
    if user_bytes:
        os.pwrite(new, os.pread(old, user_bytes, 0), 0)


@dataclass(slots=True)
class Sink:
    """A file for HDF5 to write to. A write that failed is told afterwards, by `check`: HDF5 does not survive one everywhere.

    Where the library closes objects that it could not write, it ends the process (seen with HDF5 2.0).
    """

    file: int
    at: int = 0
    failed: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of files."""
        self.at = offset + (os.fstat(self.file).st_size if whence == os.SEEK_END else 0)
        return self.at

    def tell(self) -> int:
        """As of files."""
        return self.at

    def readinto(self, into: Any) -> int:
        """As of files."""
        size = os.preadv(self.file, [into], self.at)
        self.at += size
        return size

    def write(self, data: Any) -> int:
        """As of files, and all of it."""
        view = memoryview(data).cast("B")
        try:
            done = 0
            while done < len(view) and self.failed is None:
                done += os.pwrite(self.file, view[done:], self.at + done)
        except OSError as error:
            self.failed = error
        self.at += len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        """As of files."""
        try:
            os.ftruncate(self.file, size)
        except OSError as error:
            self.failed = self.failed or error
        return size

    def flush(self) -> None:
        """Nothing is held back; who replaces the file flushes it."""

    def check(self) -> None:
        """Raises the first failure."""
        if self.failed is not None:
            raise self.failed


@dataclass(frozen=True, slots=True)
class _Act:
    gone: frozenset[str]
    rows: Rows
    copied: dict[int, str]
    """Address in the old file to the first path in the new one."""


def _group(source: h5py.Group, target: h5py.Group, path: str, act: _Act) -> None:
    _attributes(source, target)
    for name in source:
        place, raw = f"{path}{name}", name.encode("utf-8", "surrogateescape")
        naming = h5p.create(h5p.LINK_CREATE)
        naming.set_char_encoding(h5t.CSET_ASCII if raw.isascii() else h5t.CSET_UTF8)
        link = source.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            _link(target, raw, link, naming)
        elif isinstance(source[name], h5py.Group):
            h5g.create(target.id, raw, naming, source[name].id.get_create_plist())
            _group(source[name], target[name], f"{place}/", act)
        elif place not in act.gone:
            _dataset(source, target, place, act, naming)


def _link(target: h5py.Group, raw: bytes, link: Any, naming: Any) -> None:
    if isinstance(link, h5py.SoftLink):
        target.id.links.create_soft(raw, link.path.encode("utf-8", "surrogateescape"), naming)
    else:
        target.id.links.create_external(
            raw, os.fsencode(link.filename), link.path.encode("utf-8", "surrogateescape"), naming
        )


def _dataset(source: h5py.Group, target: h5py.Group, place: str, act: _Act, naming: Any) -> None:
    raw = place.rpartition("/")[2].encode("utf-8", "surrogateescape")
    held = source[raw]
    first = act.copied.setdefault(address(held), place)
    if first != place:
        root = target.file["/"].id
        target.id.links.create_hard(raw, root, first.encode("utf-8", "surrogateescape"), naming)
    elif place in act.rows:
        _some_rows(held, target, raw, act.rows[place], naming)
    else:
        h5o.copy(source.id, raw, target.id, raw, lcpl=naming)


def _some_rows(held: h5py.Dataset, target: h5py.Group, raw: bytes, stays: np.ndarray[Any, Any], naming: Any) -> None:
    count = int(stays.sum())
    plist, limit = held.id.get_create_plist(), list(held.maxshape)
    if limit[0] is not None:  # a chunk is not larger than the dataset may become
        limit[0] = max(count, held.chunks[0]) if held.chunks else count
    space = h5s.create_simple(
        (count, *held.shape[1:]), tuple(h5s.UNLIMITED if side is None else side for side in limit)
    )
    made = h5py.Dataset(h5d.create(target.id, raw, held.id.get_type(), space, plist, naming))
    _attributes(held, made)
    at, step = 0, rows_at_once(held)
    for start in range(0, len(stays), step):
        mask = stays[start : start + step]
        if mask.any():
            some = held[start : start + step][mask]
            _write(made, at, np.ascontiguousarray(some, dtype=held.dtype))
            at += len(some)


def _write(made: h5py.Dataset, at: int, some: np.ndarray[Any, Any]) -> None:
    """By the low-level call: the other one takes rows of variable length that are equally long for a table."""
    space = made.id.get_space()
    space.select_hyperslab((at, *(0 for _ in some.shape[1:])), some.shape)
    made.id.write(h5s.create_simple(some.shape), space, some)


def rows_at_once(held: h5py.Dataset) -> int:
    """About 16 MB of rows, whole chunks."""
    width = max(
        1, int(np.prod(held.shape[1:], dtype=np.int64)) * (held.dtype.itemsize if held.dtype.kind != "O" else 1 << 16)
    )
    whole = held.chunks[0] if held.chunks else 1
    return max(whole, (16 << 20) // width // whole * whole)


def _attributes(source: Any, target: Any) -> None:
    for n in range(h5a.get_num_attrs(source.id)):
        old = h5a.open(source.id, index=n)
        new = h5a.create(target.id, old.name, old.get_type(), old.get_space())
        if old.get_space().get_simple_extent_type() != h5s.NULL:
            value = np.zeros(old.shape, dtype=old.dtype)
            old.read(value)
            new.write(value)


def raw_bytes(value: Any) -> bytes:
    """The bytes of what h5py reads: of arrays in C order as they lie in the file; elements of variable length one after another."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, h5py.Empty):
        return b""
    array = np.asarray(value)
    return b"".join(map(raw_bytes, array.ravel())) if array.dtype.kind == "O" else array.tobytes()


def same(old: h5py.Dataset, new: h5py.Dataset) -> bool:
    """Whether two datasets are alike, and their bytes equal."""
    if (old.shape, old.dtype, old.chunks, len(old.attrs)) != (new.shape, new.dtype, new.chunks, len(new.attrs)):
        return False
    if not old.shape:
        return raw_bytes(old[()]) == raw_bytes(new[()])
    step = rows_at_once(old)
    return all(
        raw_bytes(old[start : start + step]) == raw_bytes(new[start : start + step])
        for start in range(0, old.shape[0], step)
    )
