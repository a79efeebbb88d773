"""A directory of index files as a store: each index is an object, each id in it a member.

An index is replaced by a new one without the erased vectors (`shards`): programs that open it see the old or the new. A side-car of
names by row is written first under a hidden name, then the index is replaced, then the side-car renamed: whichever of the two index
files is there, a side-car of its length is there too, and the next call finishes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from unsee.core.errors import InvalidValue, MissingExtra, StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, overwriting, rawfiles, shards
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.names import ROOT
from unsee.stores.options import know, truth
from unsee.stores.removal import why
from unsee.stores.vectors import sidecar
from unsee.stores.vectors.looking import Look, clear_stage, look, stage, take_stage
from unsee.stores.vectors.opened import Format, Labels, Rows, Unfit

_COMMON = (
    "Snapshots, backups and replicas of the file system, and copies of the index elsewhere, are not seen and not touched.",
    "A program that holds the index in memory can read the vectors until it ends, and brings them back if it saves it.",
    "The blocks of a replaced file hold its bytes until the file system reuses or trims them, unless they were overwritten.",
    "An index file with hard links elsewhere is left as it is: the other names would still hold the vectors.",
    "The file names of indexes stay, also of an index that holds no vector any more.",
)
_LIMITS: Mapping[str, tuple[str, ...]] = {
    "faiss": (
        "Coarse quantisers, codebooks, rotations and scales were trained on vectors that may be among the erased; they stay as "
        "they are unless retrain=true is given, which is possible where the index holds the vectors themselves (IVF,Flat).",
        "A graph (HNSW, NSG) is built anew from what remains; its links differ from the old ones.",
        "FastScan, Panorama, dedup and on-disk inverted lists and types not known here are refused by name.",
        "FAISS reads the file in this process; its reader is bounded by the size of the file, not isolated.",
        *_COMMON,
    ),
    "usearch": (
        "The graph is built anew from what remains; its links differ from the old ones.",
        "The file does not say the search width that it was built with: the option expansion_add sets it, 128 otherwise.",
        *_COMMON,
    ),
}
_METHODS = {
    "faiss": "index written anew without the vector",
    "usearch": "index built anew without the vector",
}
BATCH = 8192
"""Members of a listing whose stamps are made together."""


@dataclass(frozen=True, slots=True)
class VectorStore:
    """Index files of one library below a directory."""

    id: StoreId
    location: str
    kind: str
    format: Format = field(repr=False)
    suffixes: tuple[str, ...]
    ids: str = ""
    """What stands in place of the suffix in the name of the side-car, as `.ids.npy`; none without."""
    overwrite: bool = False

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        best = Gone.D2
        if self.overwrite:
            with beneath.directory(self.location, ROOT) as root:
                if root is not None and overwriting.in_place(os.fstat(root).st_dev):
                    best = Gone.D3
        method = _METHODS[self.kind] + (", the old one overwritten" if best is Gone.D3 else "")
        return Capability(kind=self.kind, best_gone=best, keeps_history=False, limits=_LIMITS[self.kind], method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every id of every index. Time: reading each index, and a digest of each code; memory: the largest index.

        An index that cannot be read is `Skipped`, with its reason.
        """
        for found in shards.find(self.location, self.suffixes):
            if isinstance(found, Skipped):
                yield found
                continue
            try:
                seen = self._look(found)
            except (Unfit, OSError, StoreError) as error:
                yield Skipped(found, "", f"the index cannot be listed: {_why(error)}")
                continue
            if seen is not None:
                names = seen.selectors()
                while batch := list(islice(names, BATCH)):
                    for name, size, stamp in zip(batch, seen.sizes(batch), seen.present(batch), strict=True):
                        yield Member(found, name, size, stamp or "")

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The vector as little-endian float32, decoded where the index holds codes; binary and int8 vectors as their bytes.

        Several vectors under one id come one after the other.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is larger than `limit_bytes`, or the index cannot be read.
        """
        found = self._vectors(self._must_look(object_name), object_name, selector, limit_bytes)
        if isinstance(found, StoreError):
            raise found
        return found

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The vectors of many ids, from one reading of the index."""
        seen = self._must_look(object_name)
        for selector in dict.fromkeys(selectors):
            yield selector, self._vectors(seen, object_name, selector, limit_bytes)

    def _vectors(
        self, seen: Look | None, object_name: str, selector: str, limit_bytes: int | None
    ) -> bytes | StoreError:
        data = seen.vectors(selector) if seen is not None else None
        if data is None:
            return StoreError(
                f"{self.id}: {object_name!r} holds no vector {selector!r}.",
                next_step="Scan the store again to see what is there.",
            )
        if limit_bytes is not None and len(data) > limit_bytes:
            return StoreError(f"{self.id}: {selector!r} in {object_name!r} is larger than {limit_bytes:,} bytes.")
        return data

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """A digest of each id's codes, None where the index has no such id."""
        seen = self._must_look(object_name)
        return seen.present(selectors) if seen else [None] * len(selectors)

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Replace the index by one without these ids, and its side-car with it.

        The new file is read back and compared with the old one, row by row, before it takes its place. Time and memory: those of
        the whole index, three times over; graphs are built anew.
        """
        shards.split(object_name)
        wanted = {target.selector: target for target in targets}
        kept: dict[str, str] = {}
        if len(wanted) < len(targets):
            for target in targets:
                if wanted[target.selector] != target:
                    kept[target.selector] = "it is listed twice, with different stamps"
        gone = Gone.D2
        try:
            self._sweep(object_name)  # before hard links are counted: a killed call leaves one
            seen = self._look(object_name)
            if seen is None:
                return Erased((), tuple(wanted), (), gone)
            aim = Aim(list(wanted), *seen.labels(list(wanted)))
            kept |= _refused(seen, wanted, aim, kept, self.format)
            going, labels = aim.without(kept)
            absent = tuple(name for name in aim.absent() if name not in kept)
            if self._replace(object_name, seen, labels):
                gone = Gone.D3
            self._settle_beside(object_name, seen, wanted.keys() - kept.keys() if kept else wanted, bool(going))
        except (Unfit, OSError) as error:
            reason = f"{object_name!r} was left as it is: {_why(error)}"
            return Erased((), (), tuple(Kept(name, kept.get(name, reason)) for name in wanted), Gone.D2)
        return Erased(tuple(going), absent, tuple(Kept(name, reason) for name, reason in kept.items()), gone)

    def _replace(self, object_name: str, seen: Look, labels: Labels) -> bool:
        """Whether zeros reached the bytes of the old index."""
        if not len(labels) and not seen.opened.removed:
            return False
        beside = self._beside(object_name)

        def write(old: int, new: int) -> None:
            if shards.stamp_of(old) != seen.stamp:
                raise Unfit("another program replaced it meanwhile")
            if beside is not None and isinstance(seen.beside, sidecar.ByRow):
                stage(self.location, beside, seen.beside.without_rows(labels.tolist()))
            self.format.write_without(seen.opened, labels, new)
            if shards.stamp_of(old) != seen.stamp:
                raise Unfit("another program wrote to it meanwhile")

        if beside is not None and seen.staged:
            take_stage(self.location, beside)
        return shards.replace(self.location, object_name, write, zero=self.overwrite)

    def _sweep(self, object_name: str) -> None:
        above, name = shards.split(object_name)
        with beneath.directory(self.location, above) as directory:
            if directory is not None:
                shards.sweep(directory, name)

    def _settle_beside(self, object_name: str, seen: Look, names: Collection[str], replaced: bool) -> None:
        """Bring the side-car after its index, and remove one that waits for nothing."""
        beside = self._beside(object_name)
        if beside is None:
            return
        if isinstance(seen.beside, sidecar.ById):
            if any(seen.noted(name) for name in names):
                data = seen.beside.without_ids(names)
                shards.replace(self.location, beside, lambda _, new: _write_all(new, data), zero=self.overwrite)
            return
        if replaced or seen.staged:
            take_stage(self.location, beside)
        else:
            clear_stage(self.location, beside)

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Read the index anew, its side-car, and what killed calls left beside it.

        An id is also reported where the file holds vectors that were removed and no longer have an id: they may be its own.
        """
        seen = self._must_look(object_name)
        left = []
        waiting = shards.left_over(self.location, object_name)
        names = list(dict.fromkeys(selectors))
        there = set(Aim(names, *seen.labels(names)).there()) if seen is not None else set()
        for name in names:
            if name in there:
                left.append(Residue(name, "current"))
            elif seen is not None and seen.noted(name):
                left.append(Residue(name, f"side-car {self._beside(object_name)}"))
            elif seen is not None and seen.opened.removed:
                left.append(Residue(name, f"{seen.opened.removed:,} removed vectors that the file still holds"))
            elif waiting:
                left.append(Residue(name, "a file that a killed call left beside the index"))
        return tuple(left)

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file below the root: indexes, side-cars, whatever a killed call left."""
        return rawfiles.parts(self.location)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Nothing: an index without vectors is still an index, and programs open it."""
        for name in object_names:
            shards.split(name)
        return ()

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Vectors that the index calls removed and its file still holds; any `erase` of this object takes them out."""
        seen = self._must_look(object_name)
        if seen is None or not seen.opened.removed:
            return ()
        return (HeldVersion(f"{seen.opened.removed:,} removed vectors that the file still holds", removable=True),)

    def _look(self, object_name: str) -> Look | None:
        return look(self.location, object_name, self.format, self._beside(object_name))

    def _must_look(self, object_name: str) -> Look | None:
        try:
            return self._look(object_name)
        except (Unfit, OSError) as error:
            raise StoreError(
                f"{self.id}: the index {object_name!r} cannot be read: {_why(error)}.",
                next_step="Restore it from a copy, or take it out of the store, and try again.",
            ) from error

    def _beside(self, object_name: str) -> str | None:
        if not self.ids:
            return None
        stem = next((object_name.removesuffix(s) for s in self.suffixes if object_name.endswith(s)), object_name)
        return stem + self.ids


@dataclass(frozen=True, slots=True)
class Aim:
    """What an erasure is aimed at: names, the ids in the index that they stand for, and the place of each id's name."""

    names: Sequence[str]
    labels: Labels
    owners: Rows

    def there(self) -> list[str]:
        """The names that the index holds, in their order."""
        if len(self.owners) == len(self.names) and bool((np.diff(self.owners) == 1).all()):
            return list(self.names)  # each name is one id: the usual case of an order on a source
        return [self.names[place] for place in dict.fromkeys(self.owners.tolist())]

    def absent(self) -> list[str]:
        """The names that the index does not hold, in their order."""
        missing = np.ones(len(self.names), np.bool_)
        missing[self.owners] = False
        return [self.names[place] for place in np.flatnonzero(missing).tolist()]

    def without(self, kept: Mapping[str, str]) -> tuple[list[str], Labels]:
        """The names that are there and not among these, and their ids."""
        if not kept:
            return self.there(), self.labels
        stays = np.fromiter((name not in kept for name in self.names), np.bool_, len(self.names))[self.owners]
        left = Aim(self.names, self.labels[stays], self.owners[stays])
        return left.there(), left.labels

    def owner(self, label: int) -> str:
        """Whose id this is."""
        return self.names[int(self.owners[self.labels == label][0])]


def _refused(
    seen: Look, wanted: Mapping[str, Target], aim: Aim, twice: Mapping[str, str], kind: Format
) -> dict[str, str]:
    """Targets that are there and must stay, and why."""
    if seen.other_names:
        return dict.fromkeys(
            aim.without(twice)[0], f"the index file has {seen.other_names} other hard links, which would still hold it"
        )
    stamped = {name: target.stamp for name, target in wanted.items() if target.stamp is not None and name not in twice}
    kept = {
        name: "its vector was replaced since it was listed"
        for name, listed, stamp in zip(stamped, stamped.values(), seen.present(list(stamped)), strict=True)
        if stamp is not None and stamp != listed
    }
    _, labels = aim.without({**twice, **kept})
    kept |= {aim.owner(label): reason for label, reason in kind.bound(seen.opened, labels).items()}
    if seen.opened.positional and not isinstance(seen.beside, sidecar.ByRow):
        names, labels = aim.without({**twice, **kept})
        last = len(seen.opened.labels) - 1
        leaving = dict(zip(labels.tolist(), names, strict=True))
        while leaving.pop(last, None) is not None:
            last -= 1
        kept |= dict.fromkeys(
            leaving.values(),
            "the index has no ids: taking it out would give those after it other numbers. Name the file that maps rows to "
            "photos (option ids), or keep the vectors in an IndexIDMap",
        )
    return kept


def _write_all(file: int, data: bytes) -> None:
    with os.fdopen(os.dup(file), "wb") as writing:
        writing.write(data)


def _why(error: Exception) -> str:
    return error.message.rstrip(".") if isinstance(error, StoreError) else why(error)


def open_faiss(id: StoreId, location: str, options: Mapping[str, str]) -> VectorStore:
    """Opens stores of kind `faiss`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: FAISS is not installed.
    """
    know(options, kind="faiss", known={"ids", "overwrite", "retrain", "suffix"})
    try:
        from unsee.stores.vectors.faissfile import Faiss
    except ImportError as error:
        raise MissingExtra("vectors", needed_for="Stores of kind 'faiss'") from error
    return _open(
        id, location, options, kind="faiss", format=Faiss(truth(options, "retrain")), suffixes=(".faiss", ".index")
    )


def open_usearch(id: StoreId, location: str, options: Mapping[str, str]) -> VectorStore:
    """Opens stores of kind `usearch`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
        MissingExtra: usearch is not installed.
    """
    know(options, kind="usearch", known={"expansion_add", "ids", "overwrite", "suffix"})
    try:
        from unsee.stores.vectors.usearchfile import Usearch
    except ImportError as error:
        raise MissingExtra("vectors", needed_for="Stores of kind 'usearch'") from error
    spelled = options.get("expansion_add", "128")
    if not (spelled.isascii() and spelled.isdigit() and 1 <= int(spelled) <= 1 << 16):
        raise InvalidValue(
            f"expansion_add={spelled[:40]!r} is no number from 1 to 65536.", next_step="Write one, as 128."
        )
    return _open(id, location, options, kind="usearch", format=Usearch(int(spelled)), suffixes=(".usearch",))


def _open(
    id: StoreId, location: str, options: Mapping[str, str], *, kind: str, format: Format, suffixes: tuple[str, ...]
) -> VectorStore:
    suffix, ids = options.get("suffix"), options.get("ids", "")
    for name, value in (("suffix", suffix), ("ids", ids)):
        if value and (not value.startswith(".") or "/" in value or "\0" in value):
            raise InvalidValue(
                f"{name}={value[:40]!r} is not how a file name ends.",
                next_step="Write it with its dot, as .bin or .ids.npy.",
            )
    if ids and not ids.endswith(sidecar.KNOWN):
        raise InvalidValue(
            f"ids={ids[:40]!r} is of no type that this store reads.",
            next_step="Types: " + ", ".join(sidecar.KNOWN) + ".",
        )
    taken = (suffix,) if suffix else suffixes
    return VectorStore(id, location, kind, format, taken, ids, truth(options, "overwrite"))
