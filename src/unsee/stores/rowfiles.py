"""Files of rows as a store: each file is an object, each row a member, named and read as `rows.RowShape` says.

What is special to a format (Parquet, Arrow) is behind `Format`: reading columns part by part (row group, record batch), and writing
a file without some rows. Nothing is decoded but the columns that are asked for.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from unsee.core.errors import PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, emptying, overwriting, rawfiles, shards
from unsee.stores.contract import (
    Capability,
    Erased,
    HeldVersion,
    Kept,
    Member,
    RawPart,
    Residue,
    Skipped,
    Target,
    same_stamp,
    unhinted,
)
from unsee.stores.names import ROOT
from unsee.stores.removal import why
from unsee.stores.rows import RowShape, stamp

Going: TypeAlias = "Mapping[int, np.ndarray[Any, Any]]"
"""Part to one bool a row: True for those that go. Parts that lose nothing are not in it."""
_HASHERS = 2
_WORTH_A_THREAD = 1 << 14
FAILURES = (StoreError, OSError, pa.ArrowException, ValueError, MemoryError)
"""What reading a file of whatever bytes may raise."""


class RowFile(Protocol):
    """An open file of rows, in parts."""

    schema: pa.Schema
    rows: Sequence[int]
    """How many rows each part has."""

    def columns(self, part: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns (dotted paths) of one part, in batches that together have all its rows."""

    def rewrite(self, new: int, going: Going) -> Sequence[int]:
        """Write the file without the rows that go to the descriptor `new`; which parts of the new file were encoded anew."""


class Format(Protocol):
    """A format whose files hold rows. Pickles."""

    @property
    def kind(self) -> str:
        """The kind of the store."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How names of its files end."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """How names of other files begin that may be of it: temporary ones of programs."""

    @property
    def infixes(self) -> tuple[str, ...]:
        """Pieces of names of such files: of those that are numbered after their ending."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What the store cannot do, in sentences."""

    @property
    def part(self) -> str:
        """What its parts are called: row group."""

    @property
    def method(self) -> str:
        """How rows are erased, in a few words for the certificate."""

    @property
    def timed(self) -> bool:
        """Whether whoever writes to a file of this kind changes its time at once: not through a writable mapping."""

    def open(self, file: int) -> AbstractContextManager[RowFile]:
        """The file behind a descriptor. Raises one of `FAILURES` where it is none of this format."""

    def renew_beside(self, location: str, object_name: str) -> None:
        """Bring up to date what other files tell of this one, after it lost rows or went: summaries, counts. Idempotent."""


@dataclass(frozen=True, slots=True)
class RowFileStore:
    """A directory tree of files of rows as a store.

    With `zero`, the bytes of a file that was replaced are overwritten with zeros before it is removed, and D3 is claimed, on file
    systems that write in place, where nobody had the old file open.
    """

    id: StoreId
    location: str
    format: Format
    shape: RowShape = field(default_factory=RowShape)
    zero: bool = False

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        limits, best = self.format.limits, Gone.D2
        if self.zero:
            with beneath.directory(self.location, ROOT) as root:
                device = os.fstat(root).st_dev if root is not None else -1
            if overwriting.in_place(device):
                best = Gone.D3
            else:
                limits = ("Zeros were asked for, but this file system may write them elsewhere.", *limits)
        return Capability(self.format.kind, best, keeps_history=False, limits=limits, method=self.format.method)

    def _hint(self, file: int) -> str:
        """What follows a digest in a stamp: which file it was seen in; empty where times do not tell of writing."""
        return f"@{shards.stamp_of(file)}" if self.format.timed else ""

    def scan(self) -> Iterator[Member | Skipped]:
        """Every row of every file, files by name, rows in order; rows with equal selectors once. Reads and hashes the data column.

        The file that is being listed is open while the caller works. Memory: a digest a row of one file.
        """
        names = {"prefixes": self.format.prefixes, "infixes": self.format.infixes}
        for found in shards.find(self.location, self.format.suffixes, **names):
            if isinstance(found, Skipped):
                yield found
            else:
                yield from self._list(found)

    def _list(self, name: str) -> Iterator[Member | Skipped]:
        known: dict[bytes, str] = {}
        try:
            with shards.opened(self.location, name) as file:
                if file is None:
                    return
                with self.format.open(file) as rows:
                    shape, hint = self.shape.resolved(rows.schema), self._hint(file)
                    for part in range(len(rows.rows)):
                        try:
                            for found in self._list_part(name, rows, shape, part, known):
                                yield (
                                    replace(found, stamp=f"{found.stamp}{hint}") if isinstance(found, Member) else found
                                )
                        except FAILURES as error:
                            yield Skipped(name, "", f"its {self.format.part} {part} cannot be read: {reason(error)}")
        except StoreUnreachable:
            raise
        except FAILURES as error:
            yield Skipped(name, "", f"its rows cannot be listed: {reason(error)}")

    def _list_part(
        self, name: str, rows: RowFile, shape: RowShape, part: int, known: dict[bytes, str]
    ) -> Iterator[Member | Skipped]:
        nameless = 0
        for batch in rows.columns(part, shape.columns()):
            nameless += shape.nameless(batch)
            for selector, view in shape.views(batch):
                digest = hashlib.blake2b(selector.encode(), digest_size=16).digest()
                mark = _stamp(shape, selector, view)
                before = known.setdefault(digest, mark)
                if before is mark:
                    yield Member(name, selector, len(view), mark, self.sample(selector))
                elif before != mark:
                    other = f"another row has the key {selector!r} too, with other data; both go when it is erased"
                    yield Skipped(name, selector, other)
        if nameless:
            yield Skipped(name, "", shape.why_nameless(nameless))

    def sample(self, selector: str) -> str:
        """What readers hand out together with this member (`Member.sample`): nothing, for rows."""
        del selector
        return ""

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The data of one row; of several with this key, the first.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is larger than `limit_bytes`, or the file cannot be read.
        Cost: the key column, and the data of one part; without a key the data column up to the row.
        """
        for _, data in self.read_many(object_name, [selector], limit_bytes=limit_bytes):
            if isinstance(data, StoreError):
                raise data
            return data
        raise self._error(object_name, f"{selector!r} is not there")

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The data of many rows, in the order of the file, in one pass; then those that cannot be read, with the reason."""
        left = dict.fromkeys(selectors)
        error: StoreError | None = None
        try:
            for _, _, selector, view in self._find(object_name, left):
                if selector in left:
                    del left[selector]
                    if limit_bytes is not None and len(view) > limit_bytes:
                        what = f"{selector!r} is larger than {limit_bytes:,} bytes"
                        yield selector, self._error(object_name, what, "")
                    else:
                        yield selector, bytes(view)
        except (PathEscape, StoreUnreachable):
            raise
        except StoreError as failed:
            error = failed
        for selector in left:
            yield selector, error or self._error(object_name, f"{selector!r} is not there")

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """A digest of each row's data, None where there is no such row. Reads as `read_many` does."""
        found: dict[str, str] = {}
        for hint, shape, selector, view in self._find(object_name, selectors):
            if selector not in found:
                found[selector] = f"{_stamp(shape, selector, view)}{hint}"
        return [found.get(selector) for selector in selectors]

    def _find(self, object_name: str, selectors: Iterable[str]) -> Iterator[tuple[str, RowShape, str, memoryview]]:
        """The rows that are named so, and which file this is; ends early when each selector was seen."""
        wanted = frozenset(selectors)
        unseen = set(wanted)
        try:
            with shards.opened(self.location, object_name) as file:
                if file is None or not wanted:
                    return
                with self.format.open(file) as rows:
                    shape, hint = self.shape.resolved(rows.schema), self._hint(file)
                    for part in _parts_with(rows, shape, wanted):
                        for batch in rows.columns(part, shape.columns()):
                            for selector, view in shape.views(batch):
                                if selector in wanted:
                                    unseen.discard(selector)
                                    yield hint, shape, selector, view
                        if not unseen:
                            return
        except (PathEscape, StoreUnreachable):
            raise
        except FAILURES as error:
            raise self._error(object_name, f"it cannot be read: {reason(error)}") from error

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Replace the file by one without the rows, then bring up to date what other files tell of it.

        All rows of a selector go. A file with hard links is kept: the other names would still hold its bytes. Before the new file
        takes its place, it is read again and looked through for the rows.

        Cost: the key column (without a key: the data column, hashed in two threads), a copy of the parts that hold no targets, and
        of those that do what the format says. Data are read to compare stamps only where the file was written to since it was
        listed. Memory: a few parts that hold targets.
        """
        wanted: dict[str, Target] = {}
        doubtful: dict[str, str] = {}
        for target in targets:
            if not same_stamp(wanted.setdefault(target.selector, target).stamp, target.stamp):
                doubtful[target.selector] = "it is listed twice, with different stamps"
        outcome = _Outcome(wanted, doubtful)
        above, name = shards.split(object_name)
        beneath.require_root(self.location)
        if not wanted:
            return outcome.erased(Gone.D2)
        zeroed = False
        try:
            with beneath.directory(self.location, above) as directory:
                if directory is not None:
                    shards.sweep(directory, name)
            zeroed = self._erase(object_name, outcome)
            self.format.renew_beside(self.location, object_name)
        except (PathEscape, StoreUnreachable):
            raise
        except FAILURES as error:
            outcome.fail(reason(error))
        return outcome.erased(Gone.D3 if zeroed else Gone.D2)

    def _erase(self, object_name: str, outcome: _Outcome) -> bool:
        with shards.opened(self.location, object_name) as file:
            if file is None:
                return False
            seen = shards.stamp_of(file)
            with self.format.open(file) as rows:
                shape = self.shape.resolved(rows.schema)
                going = _going(rows, shape, outcome, self._hint(file))
                holds_more = self._holds_more(rows)
            if not going and not holds_more:
                return False
            if shards.other_names(file):
                raise StoreError("the file has hard links; its other names would still hold the bytes")

        def write(old: int, new: int) -> None:
            if shards.stamp_of(old) != seen:
                raise StoreError("the file was replaced in the meantime; nothing was erased")
            with self.format.open(old) as rows:
                anew = rows.rewrite(new, going)
                retained = sum(rows.rows) - sum(int(mask.sum()) for mask in going.values())
            with self.format.open(new) as rows:
                _look_again(rows, anew, shape, outcome, retained)

        return self._replace(object_name, write, going)

    def _holds_more(self, rows: RowFile) -> bool:
        """Whether the file keeps bytes of rows that it no longer has, so that it is written anew though none goes."""
        del rows
        return False

    def _replace(self, object_name: str, write: Callable[[int, int], None], going: Going) -> bool:
        """Put the new file in the place of the old one; whether zeros reached the old bytes. For stores that guard or add to it."""
        del going
        return shards.replace(self.location, object_name, write, zero=self.zero)

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Look for the rows in the file and in what a killed erasure left beside it, read anew.

        Raises:
            StoreError: the file cannot be read: the rows may be there.
        """
        asked = list(dict.fromkeys(selectors))
        found = {selector for _, _, selector, _ in self._find(object_name, asked)}
        left = [Residue(selector, "current") for selector in asked if selector in found]
        above, name = shards.split(object_name)
        with beneath.directory(self.location, above) as directory:
            if directory is not None:
                for beside in (shards.BESIDE + name, shards.OLD + name):
                    left.extend(self._probe_beside(directory, beside, asked))
        return tuple(left)

    def _probe_beside(self, directory: int, name: bytes, asked: Sequence[str]) -> Iterator[Residue]:
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return
        where = f"{os.fsdecode(name)}, left by a killed erasure"
        try:
            with self.format.open(file) as rows:
                shape = self.shape.resolved(rows.schema)
                wanted = frozenset(asked)
                found = {
                    selector
                    for part in _parts_with(rows, shape, wanted)
                    for batch in rows.columns(part, _names(shape))
                    for selector in shape.selectors(batch)
                }
            yield from (Residue(selector, where) for selector in asked if selector in found)
        except FAILURES:
            yield from (Residue(selector, f"{where}, which cannot be read") for selector in asked)
        finally:
            os.close(file)

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file below the root, whatever it is called."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Remove files that hold no row any more, and the directories that this empties, never the root."""
        gone: list[str] = []
        for name in dict.fromkeys(object_names):
            with suppress(*FAILURES):
                if self._remove_empty(name):
                    gone.append(name)
                    self.format.renew_beside(self.location, name)
        return (*gone, *emptying.remove_empty(self.location, [name.rpartition("/")[0] or ROOT for name in gone]))

    def _remove_empty(self, object_name: str) -> bool:
        above, name = shards.split(object_name)
        with shards.opened(self.location, object_name) as file:
            if file is None:
                return False
            with self.format.open(file) as rows:
                if sum(rows.rows):
                    return False
            inode = os.fstat(file).st_ino
        with beneath.directory(self.location, above) as directory:
            if directory is None or os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino != inode:
                return False
            os.unlink(name, dir_fd=directory)
            os.fsync(directory)
        return True

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """None: a file has no versions that this store can reach. The limits name what it cannot."""
        shards.split(object_name)
        return ()

    def _error(self, object_name: str, what: str, next_step: str | None = None) -> StoreError:
        step = "Scan the store again to see what is there." if next_step is None else next_step
        return StoreError(f"{self.id}: {object_name!r}: {what}.", next_step=step)


@dataclass(slots=True)
class _Outcome:
    wanted: Mapping[str, Target]
    kept: dict[str, str]
    going: set[str] = field(default_factory=set)
    sizes: set[int] = field(default_factory=set)
    """Without a key: of the data that go."""

    def fail(self, because: str) -> None:
        """Nothing was erased, or it is not known what was."""
        self.kept.update({selector: because for selector in self.wanted if selector not in self.kept})

    def erased(self, gone: Gone) -> Erased:
        kept = tuple(Kept(selector, self.kept[selector]) for selector in self.wanted if selector in self.kept)
        left = [selector for selector in self.wanted if selector not in self.kept]
        return Erased(
            tuple(selector for selector in left if selector in self.going),
            tuple(selector for selector in left if selector not in self.going),
            kept,
            gone,
        )


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, StoreError):
        return error.message.removesuffix(".")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full"
    if isinstance(error, OSError) and error.strerror:
        return why(error)
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _stamp(shape: RowShape, selector: str, view: memoryview) -> str:
    """Without a key the selector is itself a digest of the data."""
    return selector[:32] if shape.key is None else stamp(view)


def _names(shape: RowShape) -> list[str]:
    """The columns that name a row."""
    return shape.columns()[-1:]


def _parts_with(rows: RowFile, shape: RowShape, wanted: frozenset[str]) -> Iterator[int]:
    """The parts in which one of the rows is; without a key every part, since all their data must be read anyway."""
    for part in range(len(rows.rows)):
        names = () if shape.key is None else rows.columns(part, _names(shape))
        if shape.key is None or any(not wanted.isdisjoint(shape.selectors(batch)) for batch in names):
            yield part


def _going(rows: RowFile, shape: RowShape, outcome: _Outcome, hint: str) -> dict[int, np.ndarray[Any, Any]]:
    """Which rows go. Selectors of which a row changed since they were listed are put among the kept ones.

    Rows that were listed in this very file, which nobody wrote to since (`hint`), are not read for that; but those of which
    there are several are: a stamp is that of the first.
    """
    wanted = frozenset(outcome.wanted.keys() - outcome.kept.keys())
    found: dict[int, list[str]] = {}
    with ThreadPoolExecutor(_HASHERS) as pool:
        for part in range(len(rows.rows)):
            selectors: list[str] = []
            for names, sizes in _named(rows, shape, part, pool):
                selectors.extend(selector if selector in wanted else "" for selector in names)
                outcome.sizes.update(size for name, size in zip(names, sizes, strict=False) if name in wanted)
            if any(selectors):
                found[part] = selectors
    stamps = {s: mark for s in wanted if (mark := outcome.wanted[s].stamp) is not None}
    times = Counter(selector for selectors in found.values() for selector in selectors)
    stamped = {s for s, mark in stamps.items() if not hint or not mark.endswith(hint) or times[s] > 1}
    with ThreadPoolExecutor(_HASHERS) as pool:
        for part, selectors in found.items():
            if shape.key is None:
                changed = {s for s in selectors if s in stamped and unhinted(stamps[s]) != s[:32]}
            elif stamped.isdisjoint(selectors):
                continue
            else:
                seen = _stamps_of(rows, shape, part, stamped, pool)
                changed = {selector for selector, mark in seen if mark != unhinted(stamps[selector])}
            outcome.kept.update(dict.fromkeys(changed, "it changed after it was listed"))
    going: dict[int, np.ndarray[Any, Any]] = {}
    for part, selectors in found.items():
        mask = np.array([selector != "" and selector not in outcome.kept for selector in selectors], dtype=bool)
        if mask.any():
            going[part] = mask
            outcome.going.update(s for s, goes in zip(selectors, mask.tolist(), strict=True) if goes)
    return going


def _named(
    rows: RowFile, shape: RowShape, part: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[list[str], list[int]]]:
    """Selectors of the rows of one part; without a key, hashed in other threads while the next rows are decoded, the sizes too."""
    if shape.key is not None:
        yield from ((shape.selectors(batch), []) for batch in rows.columns(part, _names(shape)))
        return
    waiting: deque[Future[tuple[list[str], list[int]]]] = deque()
    for batch in rows.columns(part, _names(shape)):
        waiting.append(pool.submit(_digests, shape, batch))
        if len(waiting) > _HASHERS:
            yield waiting.popleft().result()
    yield from (one.result() for one in waiting)


def _digests(shape: RowShape, batch: pa.RecordBatch) -> tuple[list[str], list[int]]:
    return shape.selectors(batch), [0 if view is None else len(view) for view in shape.data_views(batch)]


def _stamps_of(
    rows: RowFile, shape: RowShape, part: int, stamped: set[str], pool: ThreadPoolExecutor
) -> Iterator[tuple[str, str]]:
    """Stamps of these rows of one part. Pictures are hashed in other threads while the next batch is decoded."""
    waiting: list[tuple[str, Future[str]]] = []
    for batch in rows.columns(part, shape.columns()):
        begun: list[tuple[str, Future[str]]] = []
        for selector, view in shape.views(batch):
            if selector not in stamped:
                continue
            if len(view) < _WORTH_A_THREAD:
                yield selector, stamp(view)
            else:
                begun.append((selector, pool.submit(stamp, view)))
        yield from ((selector, mark.result()) for selector, mark in waiting)
        waiting = begun
    yield from ((selector, mark.result()) for selector, mark in waiting)


def _look_again(rows: RowFile, anew: Sequence[int], shape: RowShape, outcome: _Outcome, retained: int) -> None:
    """Read the names in the new file's new parts; the others are bytes of parts that were looked through before.

    Without a key, data of another size than any that goes are none of those, whatever they are, and are not hashed.

    Raises:
        StoreError: one of the rows is still there, or the file has not as many rows as it should.
    """
    if sum(rows.rows) != retained:
        raise StoreError(f"the new file has {sum(rows.rows):,} rows instead of {retained:,}; it was thrown away")
    for part in anew:
        for batch in rows.columns(part, _names(shape)):
            if shape.key is not None:
                names = shape.selectors(batch)
            else:
                views = shape.data_views(batch)
                names = [
                    hashlib.sha256(view).hexdigest()
                    for view in views
                    if view is not None and len(view) in outcome.sizes
                ]
            if not outcome.going.isdisjoint(names):
                raise StoreError("the new file still holds a row that goes; it was thrown away")
