"""WebDataset shards: each tar file below the root is an object, each regular file in it a member."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from unsee.core.errors import InvalidValue, PathEscape, StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, overwriting, rawfiles, shards
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.names import ROOT, components, spell
from unsee.stores.options import know
from unsee.stores.removal import why
from unsee.stores.tar import archive, checking, erasing, sources
from unsee.stores.tar.archive import Held, Listing
from unsee.stores.tar.headers import Broken, Entry, Source, entries
from unsee.stores.tar.spelling import sample_of, selected

LIMITS: tuple[str, ...] = (
    "Snapshots, backups, replicas and copies of a shard elsewhere are not seen and not touched.",
    "A void of the same size stays in a shard that is erased in place: its size is known, its name and bytes are not.",
    "A shard that was rewritten leaves its old blocks to the file system where somebody still had it open.",
    "A program that reads a shard while it is rewritten reads the old one to its end.",
    "Shards compressed with gzip or zstd are rewritten as a whole; other compressions are not read.",
    "Shards with hard links are kept: the other names would still hold the bytes.",
    "Checksums of shards kept elsewhere, such as a list of SHA-256 or an ETag, no longer match.",
    "Tables beside shards, such as the Parquet files of img2dataset, are stores of their own.",
    "A solid-state disk may keep old blocks that no program can address.",
)
MODES = ("in-place", "compact")


@dataclass(frozen=True, slots=True)
class TarStore:
    """A directory tree of `.tar`, `.tar.gz`, `.tgz` and `.tar.zst` shards as a store.

    With mode `in-place`, plain shards that nobody has open are erased where they lie (`inplace`); every other shard is rewritten.
    With `compact`, every shard is rewritten, and voids that earlier calls left go with it.
    """

    id: StoreId
    location: str
    mode: str = "in-place"

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""
        with beneath.directory(self.location, ROOT) as root:
            best = Gone.D3 if root is not None and overwriting.in_place(os.fstat(root).st_dev) else Gone.D2
        method = (
            "shards written anew without the entries"
            if self.mode == "compact"
            else "headers made void and data zeroed in place; packed or open shards written anew without the entries"
        )
        return Capability(kind="tar", best_gone=best, keeps_history=False, limits=LIMITS, method=method)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every member of every shard, in the order of the shard; then what is none.

        A hard-link entry is a member with the bytes of its target. A shard that cannot be read to its end is `Skipped` after the
        members that come before that place.

        Cost: the headers and the first 4 KB of each member, packed shards as a whole; memory: one shard's names.
        """
        for found in shards.find(self.location, tuple(sources.SUFFIXES)):
            if isinstance(found, Skipped):
                yield found
                continue
            try:
                with self._listed(found) as (_file, listing):
                    if listing is None:
                        continue
                    linked = listing.linked()
                    members = [self._member(found, *one, linked) for one in listing.members()]
                    members += archive.skip_reasons(found, listing)
            except (OSError, PathEscape) as error:
                yield Skipped(found, "", f"it cannot be read: {why(error)}")
                continue
            yield from members

    def _member(self, object_name: str, selector: str, held: list[Held], linked: set[int]) -> Member | Skipped:
        last = held[-1]
        return Member(
            object_name,
            selector,
            last.holder.size,
            self._stamp(object_name, held, linked, selector),
            spell(sample_of(last.entry.name)),
        )

    def _stamp(self, object_name: str, held: list[Held], linked: set[int], selector: str) -> str:
        if (wanted := selected(selector)).digest is not None:
            return wanted.digest
        placed = not sources.packing(object_name) and self.mode == "in-place" and len(held) == 1
        return held[-1].stamp(linked=held[-1].entry.start in linked, placed=placed)

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of one member; of several entries with this name the last one's, which is what `tar -x` leaves.

        Cost: the headers up to it. `read_many` goes through the shard once for all.

        Raises:
            PathEscape: the name leads out of the store, or no entry is spelled so.
            StoreError: it is not there, is larger than `limit_bytes`, or the shard cannot be read that far.
        """
        for _selector, data in self.read_many(object_name, [selector], limit_bytes=limit_bytes):
            if isinstance(data, StoreError):
                raise data
            return data
        raise self._unreadable(object_name, selector, "there is no such member")

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The bytes of many members in the order of the shard, or why one cannot be read; those that are not there at the end.

        Raises:
            PathEscape: the name leads out of the store, or no entry is spelled so.
            StoreUnreachable: the root is not there.
        """
        asked = dict.fromkeys(selectors)
        wanted = {selector: selected(selector) for selector in asked}
        places: dict[int, list[str]] = {}
        broken = "there is no such member"
        with ExitStack() as stack:
            try:
                names = [one.name for one in wanted.values() if one.digest is not None]
                file, listing = stack.enter_context(self._listed(object_name, tell_apart=names))
                for selector, one in wanted.items() if listing is not None else ():
                    if listing is not None and (held := listing.find(one)):
                        places.setdefault(held[-1].holder.start, []).append(selector)
                        del asked[selector]
                if listing is not None and listing.broken is not None:
                    broken = f"it was not found, and the shard cannot be read to its end: {listing.broken}"
                source = stack.enter_context(sources.source(file, sources.packing(object_name))) if places else None
            except OSError as error:
                source, broken = None, f"the shard cannot be read: {why(error)}"
            if source is not None:
                yield from self._walk(object_name, entries(source), source, places, limit_bytes)
        for selector in asked:
            yield selector, self._unreadable(object_name, selector, broken)

    def _walk(
        self,
        object_name: str,
        walk: Iterator[Entry],
        source: Source,
        places: dict[int, list[str]],
        limit_bytes: int | None,
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        try:
            for entry in walk:
                for selector in places.get(entry.start, ())[:1]:
                    if limit_bytes is not None and entry.size > limit_bytes:
                        data: bytes | StoreError = self._unreadable(
                            object_name, selector, f"it is larger than {limit_bytes:,} bytes"
                        )
                    else:
                        data = archive.unfolded(entry, b"".join(archive.data_of(source, entry)))
                    for each in places.pop(entry.start):
                        yield each, data
                if not places:
                    return
        except (Broken, OSError) as error:
            for selector in (each for some in places.values() for each in some):
                yield selector, self._unreadable(object_name, selector, str(error))

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The present stamp of each member, None where it is absent.

        Raises:
            StoreError: the shard cannot be read to its end, and one of them was not found before that.
        """
        wanted = [selected(selector) for selector in selectors]
        names = [one.name for one in wanted if one.digest is not None]
        try:
            with self._listed(object_name, tell_apart=names) as (_file, listing):
                if listing is None:
                    return [None] * len(wanted)
        except OSError as error:
            raise self._unreadable(object_name, "", why(error)) from error
        linked = listing.linked()
        found: list[str | None] = []
        for selector, one in zip(selectors, wanted, strict=True):
            held = listing.find(one)
            if not held and listing.broken is not None:
                raise self._unreadable(object_name, selector, str(listing.broken))
            found.append(self._stamp(object_name, held, linked, selector) if held else None)
        return found

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Take the members out of the shard, and their names out of its indexes.

        In place: one write makes each a void, then its bytes are zeroed; D3 on file systems that write in place. A shard that is
        packed, or that somebody has open, is rewritten: D2, and D3 where the old one could be zeroed. An index that cannot be
        brought in line is a reason to call the members that it names kept, although their bytes are gone.

        Cost: in place the bytes that go, where stamps remember the places; a rewrite copies what stays.
        """
        wanted: dict[str, Target] = {}
        doubtful: dict[str, Kept] = {}
        for target in targets:
            selected(target.selector)
            if wanted.setdefault(target.selector, target) != target:
                doubtful[target.selector] = Kept(target.selector, "it is listed twice, with different stamps")
        for selector in doubtful:
            del wanted[selector]
        done = erasing.erase(self.location, object_name, wanted, compact=self.mode == "compact")
        return replace(done, kept=(*done.kept, *doubtful.values())) if doubtful else done

    def compact(self, object_name: str) -> int:
        """Rewrite a shard without the voids in it; how many bytes it became smaller.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: the shard is not there, has hard links, or cannot be read to its end or replaced. It is as it was.
        """
        try:
            return erasing.compact(self.location, object_name)
        except (OSError, Broken) as error:
            reason = why(error) if isinstance(error, OSError) else str(error)
            raise StoreError(
                f"{self.id}: {object_name!r} cannot be compacted: {reason}.",
                next_step="It is as it was; mend that and try again.",
            ) from error

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Which members are there again or still: by this store's own reader and by Python's `tarfile`, in indexes and left-overs.

        Raises:
            StoreError: the shard cannot be read to its end; not seeing is not the same as not there.
        """
        try:
            return checking.residue(self.location, object_name, selectors)
        except (OSError, Broken) as error:
            raise self._unreadable(object_name, "", why(error)) from error

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file below the root as it lies there, and packed shards a second time, unpacked."""
        yield from rawfiles.parts(self.location)
        for found in shards.find(self.location, tuple(s for s, how in sources.SUFFIXES.items() if how)):
            if isinstance(found, str):
                yield from checking.unpacked(self.location, found)

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Remove shards that hold no entry but voids, and the directories above that this empties, never the root."""
        return erasing.tidy(self.location, object_names)

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """None: voids hold zeros. The limits name what this store cannot reach."""
        components(object_name)
        return ()

    @contextmanager
    def _listed(self, object_name: str, *, tell_apart: Sequence[bytes] = ()) -> Iterator[tuple[int, Listing | None]]:
        """The open file of a shard, and what it holds; no listing where there is no such file."""
        with shards.opened(self.location, object_name) as file:
            if file is None:
                yield -1, None
            else:
                yield file, archive.listing(file, sources.packing(object_name), tell_apart=tell_apart)

    def _unreadable(self, object_name: str, selector: str, reason: str) -> StoreError:
        what = f"{selector!r} in {object_name!r}" if selector else repr(object_name)
        return StoreError(
            f"{self.id}: {what} cannot be read: {reason}.", next_step="Scan the store again to see what is there."
        )


def compact(store: TarStore, object_name: str) -> int:
    """Rewrite a shard without the voids in it; how many bytes it became smaller. See `TarStore.compact`."""
    return store.compact(object_name)


def open_tar(id: StoreId, location: str, options: Mapping[str, str]) -> TarStore:
    """Opens stores of kind `tar`.

    Raises:
        InvalidValue: an option is unknown or holds what it cannot hold.
    """
    know(options, kind="tar", known={"mode"})
    mode = options.get("mode", MODES[0])
    if mode not in MODES:
        raise InvalidValue(f"mode={mode[:40]!r} is no way to erase.", next_step="Modes: " + ", ".join(MODES) + ".")
    return TarStore(id, location, mode)
