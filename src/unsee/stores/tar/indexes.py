"""The files beside shards that name their samples or describe their bytes, brought in line with the shard.

* `STEM.idx`, `SHARD.idx`: DALI's `wds2idx`, versions v1.1 and v1.2: one line a sample, `ext offset size [name]` for each of its
  components. Written anew from the shard.
* `*.json` with a `shardlist`, in the shard's directory or above: wids; `nsamples`, `filesize`, `md5sum` of its entries.
* `STEM.json`, `.jsonl`, `.csv`, `.tsv`, and the same behind the whole name: listings of samples. Rows that name an erased member,
  or a sample of which nothing is left, are taken out; a count beside a list follows it.
* `SHARD.index`: a pickled cache of wids with all names. Never loaded; removed, for wids makes it anew.

All is worked out from what the shard holds and the names that went, so a call that was killed between shard and index finds the
same work again. Files are replaced as shards are: readers see the old one or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from unsee.core.errors import PathEscape
from unsee.stores import beneath, shards
from unsee.stores.names import ROOT
from unsee.stores.removal import why
from unsee.stores.tar import listings
from unsee.stores.tar.archive import Listing
from unsee.stores.tar.listings import Names
from unsee.stores.tar.sources import SUFFIXES
from unsee.stores.tar.spelling import sample_of

MOST_BYTES = 256 << 20
"""Of an index; larger ones are reported, not read."""
_DALI = re.compile(rb"v1\.([12]) \d+\n")
_ROWS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Problem:
    """An index that still names what went."""

    index: str
    reason: str
    names: frozenset[bytes]
    """The members that it names; those of the request where it cannot be told."""


def beside(location: str, object_name: str) -> list[str]:
    """The indexes that there are for a shard, as object names."""
    above, _, last = object_name.rpartition("/")
    stems = _stems(last)
    wanted = {f"{stem}.idx" for stem in (*stems, last)} | {f"{last}.index"}
    wanted |= {f"{stem}{end}" for stem in (*stems, last) for end in _ROWS}
    found: list[str] = []
    here: str | None = above
    while here is not None:
        names = _names(location, here or ROOT)
        others = {stem for name in names if name.endswith(tuple(SUFFIXES)) for stem in (*_stems(name), name)}
        for name in names:
            # the listing of another shard is not read for each one
            may_be_wids = name.endswith(".json") and name.removesuffix(".json") not in others
            if (here == above and name in wanted) or (may_be_wids and not name.startswith(".")):
                found.append(f"{here}/{name}" if here else name)
        here = None if not here else here.rpartition("/")[0]
    return found


def update(location: str, object_name: str, listing: Listing, gone: Collection[bytes]) -> list[Problem]:
    """Bring every index of a shard in line with it.

    Args:
        listing: the shard as it is now.
        gone: names of the members that the request took, or found absent.
    Returns:
        What could not be brought in line.
    """
    names = Names.of(gone, (one.entry.name for some in listing.by_name.values() for one in some))
    problems: list[Problem] = []
    for index in beside(location, object_name):
        try:
            if index == f"{object_name}.index":
                _remove(location, index)
                continue
            before = read(location, index)
            after = _renewed(location, object_name, index, before, listing=listing, names=names)
            if after is not None and after != before:
                shards.replace(location, index, _Writer(after), zero=True)
        except listings.NotUnderstood as error:
            if still := names.found_in(error.data):
                problems.append(Problem(index, f"it names erased samples and {error}", still))
        except (OSError, PathEscape) as error:
            problems.append(
                Problem(index, f"it could not be looked through or replaced: {why(error)}", frozenset(gone))
            )
    return problems


def dali(listing: Listing, version: int) -> bytes:
    """The index that `wds2idx` makes of a shard."""
    runs: list[tuple[bytes, list[bytes]]] = []
    for entry in listing.regular():
        base = entry.name.rpartition(b"/")[2]
        key = sample_of(entry.name) or (entry.name if b"." not in base else b"")
        if not key:
            continue  # a hidden file
        extension = base.partition(b".")[2]
        parts = [extension, b"%d" % entry.data, b"%d" % entry.stored, *([entry.name] if version == 2 else [])]
        if runs and runs[-1][0] == key:
            runs[-1][1].append(b" ".join(parts))
        else:
            runs.append((key, [b" ".join(parts)]))
    return b"v1.%d %d\n" % (version, len(runs)) + b"".join(b" ".join(run) + b"\n" for _key, run in runs)


def means(location: str, index: str, object_name: str) -> bool:
    """Whether an index is a shard list that names this shard."""
    data = read(location, index)
    try:
        return (
            b'"shardlist"' in data
            and listings.wids(data, lambda url: _means(index, url, object_name), dict) is not None
        )
    except listings.NotUnderstood:
        return True  # not knowing is not being unnamed


class _Writer:
    """For `shards.replace`."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __call__(self, old: int, new: int) -> None:
        del old
        left = memoryview(self.data)
        while left:
            left = left[os.write(new, left) :]


def _renewed(
    location: str, object_name: str, index: str, before: bytes, *, listing: Listing, names: Names
) -> bytes | None:
    """The index as it must be; None where it is no index of this shard.

    Raises:
        NotUnderstood: it is one, and not understood.
    """
    if index.endswith(".idx"):
        if not (version := _DALI.match(before)):
            raise listings.NotUnderstood("is no index of DALI in version v1.1 or v1.2", before)
        return dali(listing, int(version[1]))
    if index.endswith(".json") and b'"shardlist"' in before:
        return listings.wids(
            before, lambda url: _means(index, url, object_name), lambda: _facts(location, object_name, listing)
        )
    last = object_name.rpartition("/")[2]
    if index not in {_beside(object_name, f"{stem}{end}") for stem in (*_stems(last), last) for end in _ROWS}:
        return None  # some other JSON file
    return listings.without(index, before, names)


def _means(index: str, url: str, object_name: str) -> bool:
    """Whether a shard list means this shard: a path relative to it. What lies elsewhere is another copy."""
    path = url.removeprefix("file:")
    if "://" in path or path.startswith("/"):
        return False
    steps: list[str] = index.split("/")[:-1]
    for step in path.split("/"):
        if step == "..":
            if not steps:
                return False
            steps.pop()
        elif step not in {"", "."}:
            steps.append(step)
    return "/".join(steps) == object_name


def _facts(location: str, object_name: str, listing: Listing) -> dict[str, int | str]:
    with shards.opened(location, object_name) as file:
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        md5 = hashlib.md5(usedforsecurity=False)
        at = 0
        while piece := os.pread(file, 1 << 20, at):
            md5.update(piece)
            at += len(piece)
    return {"nsamples": listing.samples(), "filesize": at, "md5sum": md5.hexdigest()}


def _stems(last: str) -> tuple[str, ...]:
    """`a.b` and `a` for `a.b.tar`: DALI cuts at the first dot, people at the last."""
    whole = next(
        (last.removesuffix(end) for end in sorted(SUFFIXES, key=len, reverse=True) if last.endswith(end)), last
    )
    first = last[:1] + last[1:].partition(".")[0]
    return (whole,) if whole == first else (whole, first)


def _beside(object_name: str, name: str) -> str:
    above = object_name.rpartition("/")[0]
    return f"{above}/{name}" if above else name


def _names(location: str, directory_name: str) -> list[str]:
    """Regular files of a directory, by name, as far as they are spelled plainly."""
    found: list[str] = []
    with suppress(PathEscape), beneath.directory(location, directory_name) as directory:
        if directory is not None:
            with os.scandir(directory) as entries:
                found = sorted(e.name for e in entries if e.is_file(follow_symlinks=False) and "\\" not in e.name)
    return found


def read(location: str, index: str) -> bytes:
    """The whole of an index; empty where it is gone.

    Raises:
        OSError: it is too large (EFBIG), or cannot be read.
    """
    with shards.opened(location, index) as file:
        if file is None:
            return b""
        if (size := os.fstat(file).st_size) > MOST_BYTES:
            raise OSError(errno.EFBIG, f"{size:,} bytes are too many")
        return b"".join(_pieces(file))


def _pieces(file: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(file, 1 << 20, at):
        yield piece
        at += len(piece)


def _remove(location: str, index: str) -> None:
    above, name = shards.split(index)
    with beneath.directory(location, above) as directory:
        if directory is not None:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            os.fsync(directory)
