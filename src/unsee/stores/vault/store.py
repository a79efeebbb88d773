"""The vault as a store: an object is a source, a member one sealed file of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from unsee.core.errors import InvalidValue, PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import beneath, overwriting, rawfiles
from unsee.stores.contract import Capability, Erased, HeldVersion, Kept, Member, RawPart, Residue, Skipped, Target
from unsee.stores.names import ROOT, component
from unsee.stores.options import know, truth
from unsee.stores.removal import WAITING, why
from unsee.stores.vault import erasing, index, layout, ring, sealing
from unsee.stores.vault.layout import Life
from unsee.stores.vault.ring import OpenRing
from unsee.stores.vault.sealed import HEADER_BYTES, NOBODY, Header, Unsound, cipher_of, decrypt, parse, plain_bytes
from unsee.stores.vault.wrapping import KeyWrapper, WrapperUnder, open_wrapper

LIMITS: tuple[str, ...] = (
    "Copies of the photos in plain that lie or lay elsewhere are not reached by destroying a key: other stores of the books are, "
    "file systems that held them before they were sealed are not.",
    'A copy of the key ring that was made without "unsee vault backup-keys" (a backup or snapshot of its disk) is not known '
    "here, and would open every copy of the photos.",
    "A process that had unwrapped a key can use it until it ends; keys may have reached swap space or a memory dump.",
    "Where a person keeps other photos in the vault, single photos go by removing their ciphertext: copies of the vault keep "
    "it, and the key stays.",
    "A solid-state disk may keep an old block of the key ring that no program can address.",
    "Names of objects, sizes and the number of photos stand in the vault in plain.",
)


@dataclass(frozen=True, slots=True)
class VaultStore:
    """A directory of encrypted files, whose keys lie in a ring at `keys`, wrapped by the master key that `wrap` names.

    With `overwrite`, ciphertext that goes without its key is zeroed first, as in a store of kind `files`.
    """

    id: StoreId
    location: str
    keys: str
    wrap: str
    overwrite: bool = False

    def capability(self) -> Capability:
        """What it can do now: D4 only while nothing speaks against it (R8); each reason against it is a limit."""
        with ring.opened(self.keys) as keys, beneath.directory(self.location, ROOT) as root:
            against = keys.against(self.wrapper())
            in_place = root is not None and overwriting.in_place(os.fstat(root).st_dev)
        best = (Gone.D3 if self.overwrite and in_place else Gone.D2) if against else Gone.D4
        if Path(self.keys).resolve().parent == Path(self.location).resolve().parent:
            against.append(
                "The key ring lies beside the vault: a backup that takes both keeps the keys with the photos."
            )
        removed = "ciphertext overwritten and unlinked" if best is Gone.D3 else "ciphertext unlinked"
        method = "key overwritten in the ring" if best is Gone.D4 else f"key overwritten in the ring, {removed}"
        return Capability("vault", best, keeps_history=False, limits=(*against, *LIMITS), method=method)

    def wrapper(self) -> KeyWrapper:
        """The keeper of the master key."""
        return open_wrapper(self.wrap)

    def scan(self) -> Iterator[Member | Skipped]:
        """Every member that can be read, object by object, by the digest of its selector. Reads no file and needs no master key.

        Cost: one row of the index and one name of a directory a member; memory: 1/256 of an object.
        """
        beneath.require_root(self.location)
        with ring.opened(self.keys):
            pass
        for found in layout.objects(self.location):
            if isinstance(found, Skipped):
                yield found
                continue
            try:
                for life in layout.lives(self.location, found):
                    yield from self._members(life)
            except (OSError, StoreError) as error:
                yield Skipped(found, "", f"the object cannot be listed: {_reason(error)}")

    def _members(self, life: Life) -> Iterator[Member | Skipped]:
        with ring.opened(self.keys) as keys:
            if not keys.live(life.slot, life.key_id):
                yield Skipped(life.object, "", "its key is destroyed; the ciphertext goes when the store is tidied")
                return
            for left in layout.names_in(self.location, f"{life.name}/{layout.SEALING}"):
                yield Skipped(life.object, left, "ciphertext of a sealing that did not finish; the next one removes it")
            if not (life.path / index.NAME).exists() and not any(layout.each_file(life)):
                return
            with index.opened(life.path) as rows:
                dead = {slot for slot, key_id, _count in rows.people() if not keys.live(slot, key_id)}
        for first in range(256):
            present = set(life.files(first))
            if not present:
                continue
            with index.opened(life.path) as rows:
                known = [row for row in rows.rows(first, first) if row.file.hex() in present]
            for row in known:
                if row.person in dead:
                    yield Skipped(life.object, row.selector, "the key of its person is destroyed")
                else:
                    yield Member(life.object, row.selector, row.size_bytes, row.stamp.hex())
            for name in sorted(present - {row.file.hex() for row in known} - {WAITING}):
                reason = 'no file of the index; "unsee vault reindex" takes sealed files into it'
                yield Skipped(life.object, name, reason)

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The plain text of one member. Nothing is written anywhere.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is larger than `limit_bytes`, was changed, cut, swapped with another, or its key is
                destroyed or cannot be unwrapped.
        """
        _require_name(selector)
        try:
            for life, file, length in layout.members(self.location, object_name, selector):
                return self._open(life, selector, file, length, limit_bytes)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except (Unsound, OSError) as error:
            raise StoreError(
                f"{self.id}: {selector!r} in {object_name!r} cannot be read: {_reason(error)}.",
                next_step="Scan the store again to see what is there; restore what was damaged from a copy of the vault.",
            ) from error

    def _open(self, life: Life, selector: str, file: int, length: int, limit_bytes: int | None) -> bytes:
        # Only where all of it may be too much, its header is looked at first.
        doubtful = limit_bytes is not None and length > HEADER_BYTES + limit_bytes
        data = _whole(file, HEADER_BYTES if doubtful else length)
        header = parse(data)
        if header.selector != selector or (header.source_slot, header.source_key) != (life.slot, life.key_id):
            raise Unsound("it lies in the place of another file")
        size_bytes = plain_bytes(length, header.chunk_bytes)
        if size_bytes < 0:
            raise Unsound("it was cut within its first chunk")
        if limit_bytes is not None and size_bytes > limit_bytes:
            raise StoreError(f"{self.id}: {selector!r} in {life.object!r} is larger than {limit_bytes:,} bytes.")
        with ring.opened(self.keys) as keys:
            source_key, person_key = _unwrap(keys, header, self.wrapper())
        if doubtful:
            data = _whole(file, length)
        cipher = cipher_of(header, life.object, source_key, person_key, data[:HEADER_BYTES])
        return decrypt(cipher, memoryview(data)[HEADER_BYTES:], header.chunk_bytes)

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The salt of each member's sealing: it changes when the member is sealed again, and only then. From the headers."""
        for selector in selectors:
            _require_name(selector)
        beneath.require_root(self.location)
        with ring.opened(self.keys) as keys:
            return [self._stamp(keys, object_name, selector) for selector in selectors]

    def _stamp(self, keys: OpenRing, object_name: str, selector: str) -> str | None:
        for header in self._headers(object_name, selector):
            if _alive(keys, header):
                return header.stamp.hex()
        return None

    def _headers(self, object_name: str, selector: str) -> Iterator[Header]:
        """The headers of the sealed files of this selector, the newest life's first.

        Raises:
            StoreError: a file cannot be looked into.
        """
        try:
            for _life, file, _length in layout.members(self.location, object_name, selector):
                yield parse(os.pread(file, HEADER_BYTES, 0))
        except (Unsound, OSError) as error:
            raise StoreError(
                f"{self.id}: {selector!r} in {object_name!r} cannot be looked at: {_reason(error)}.",
                next_step="Restore it from a copy of the vault, or remove the damaged file.",
            ) from error

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Destroy keys where the targets are all that a source or a person has here, remove ciphertext where they are not.

        D4 is claimed when every erased member lost a key of which no copy is known. Then the ciphertext of a whole source is left
        to `tidy`. Otherwise the ciphertext is removed now, and D2 or D3 claimed. Keys of the object that an earlier erasure
        destroyed and that came back with an old ring are destroyed again (R7): nothing was sealed under them since.

        Cost: the index is asked for each target; the keys take one flush, whatever they sealed.
        """
        wanted: dict[str, Target] = {}
        doubtful: dict[str, Kept] = {}
        layout.require_object(object_name)
        for target in targets:
            _require_name(target.selector)
            if wanted.setdefault(target.selector, target) != target:
                doubtful[target.selector] = Kept(target.selector, "it is listed twice, with different stamps")
        beneath.require_root(self.location)
        with ring.opened(self.keys, change=True) as keys:
            work = erasing.Erasing(self.location, object_name, keys, self.wrapper(), self.overwrite, _now())
            done = work.run({s: target for s, target in wanted.items() if s not in doubtful} if doubtful else wanted)
        return replace(done, kept=(*done.kept, *doubtful.values())) if doubtful else done

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """What can be read again or still: a sealed file with its keys, or a key that came back with an old ring (R7).

        Looks at the files and the ring, not at the index.

        Raises:
            StoreError: a file or slot cannot be looked at; not seeing is not the same as not there.
        """
        layout.require_object(object_name)
        for selector in selectors:
            _require_name(selector)
        beneath.require_root(self.location)
        left: list[Residue] = []
        with ring.opened(self.keys) as keys:
            back = layout.returned(self.location, keys, object_name)
            half = self._half_written(object_name)
            for selector in selectors:
                where = self._where(keys, object_name, selector) or half.get(selector)
                if where is None and back:
                    where = f"key {back[0][1].hex()} of this object was destroyed and is in the key ring again: any copy opens"
                if where:
                    left.append(Residue(selector, where))
        return tuple(left)

    def _where(self, keys: OpenRing, object_name: str, selector: str) -> str | None:
        for header in self._headers(object_name, selector):
            if _alive(keys, header):
                return "current"
            lost = header.source_slot if not keys.live(header.source_slot, header.source_key) else header.person_slot
            if against := keys.against(self.wrapper(), lost):
                return f"its ciphertext: {against[0].rstrip('.')}"
        name = index.file_of(selector)
        for life in layout.lives(self.location, object_name):
            if name.hex() in layout.names_in(self.location, f"{life.fan(name)}/{WAITING}"):
                return f"{WAITING}: ciphertext that waits half overwritten"
        return None

    def _half_written(self, object_name: str) -> dict[str, str]:
        """Selectors of which a killed sealing left ciphertext."""
        found: dict[str, str] = {}
        for life in layout.lives(self.location, object_name):
            for name in layout.names_in(self.location, f"{life.name}/{layout.SEALING}"):
                file = layout.open_file(self.location, f"{life.name}/{layout.SEALING}", name)
                if file is None:
                    continue
                try:
                    found[parse(os.pread(file, HEADER_BYTES, 0)).selector] = (
                        "ciphertext of a sealing that did not finish"
                    )
                except Unsound:
                    continue  # killed before the header was written: it holds nothing
                finally:
                    os.close(file)
        return found

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Every file of the vault and the key ring, as they lie there: ciphertext, indexes, wrapped keys."""
        return chain(rawfiles.parts(self.location), rawfiles.parts(self.keys))

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Remove the ciphertext, index and people's keys of sources whose key is destroyed; never what can be read."""
        beneath.require_root(self.location)
        with ring.opened(self.keys, change=True) as keys:
            return tuple(
                name
                for name in sorted(set(object_names) - {ROOT})
                if erasing.tidy(self.location, name, keys, now=_now())
            )

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """The copies of the key ring that nobody has declared destroyed."""
        layout.require_object(object_name)
        with ring.opened(self.keys) as keys:
            return tuple(HeldVersion(copy_name(copy), removable=False) for copy in keys.copies() if copy.out)

    def seal(self, object_name: str, members: Sequence[sealing.ToSeal]) -> tuple[Member, ...]:
        """Encrypt members into the vault; on the disk when this returns, and readable. All or none get their names.

        Raises:
            PathEscape, InvalidValue: a name cannot be one.
            StoreError: a member of that name is there, the master key cannot be used, or an erasure of the object is not finished.
        """
        beneath.require_root(self.location)
        with ring.opened(self.keys, change=True) as keys:
            return sealing.seal(self.location, object_name, members, keys, self.wrapper(), now=_now())

    def reindex(self) -> int:
        """Take sealed files that no index knows into it; how many."""
        beneath.require_root(self.location)
        with ring.opened(self.keys, change=True) as keys:
            found = [name for name in layout.objects(self.location) if isinstance(name, str)]
            return sum(sealing.adopt_all(life, keys) for name in found for life in layout.lives(self.location, name))


def open_vault(id: StoreId, location: str, options: Mapping[str, str]) -> VaultStore:
    """Opens stores of kind `vault`.

    Raises:
        InvalidValue: an option is unknown or missing, or the key ring would lie in the vault itself.
    """
    know(options, kind="vault", known={"keys", "wrap", "overwrite"})
    if not options.get("wrap"):
        raise InvalidValue("A vault needs the option 'wrap'.", next_step="Name the master key: wrap=file:PATH.")
    keys = options.get("keys") or location.rstrip("/") + ".keys"
    inside, root = Path(os.path.abspath(keys)), Path(os.path.abspath(location))  # noqa: PTH100  links are not asked yet
    if inside == root or root in inside.parents:
        raise InvalidValue(
            f"The key ring {keys} would lie in the vault: whoever copies one copies the other.",
            next_step="Name a place outside of the vault with keys=PATH.",
        )
    return VaultStore(id, location, keys, options["wrap"], overwrite=truth(options, "overwrite"))


def create(store: VaultStore) -> None:
    """Make the directory and the key ring of a vault.

    Raises:
        AlreadyExists: there is a key ring; it is untouched.
        StoreUnreachable: a directory cannot be made.
    """
    ring.create(store.keys, now=_now())
    try:
        Path(store.location).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnreachable(f"{store.location} cannot be made: {why(error)}.") from error


def copy_name(copy: ring.RingCopy) -> str:
    """A copy of the ring in words."""
    made = datetime.fromtimestamp(copy.made_at, UTC).date().isoformat()
    return f"copy {copy.number} of the key ring, at {copy.place}, made {made}"


def _require_name(selector: str) -> None:
    """Raises PathEscape where a selector is no file's name. Random names need no closer look."""
    if not (selector.isascii() and selector.isalnum()):
        component(selector)


def _alive(keys: OpenRing, header: Header) -> bool:
    return keys.live(header.source_slot, header.source_key) and (
        header.person_slot == NOBODY or keys.live(header.person_slot, header.person_key)
    )


def _unwrap(keys: OpenRing, header: Header, wrapper: KeyWrapper) -> tuple[bytes, bytes]:
    source = keys.key(header.source_slot, header.source_key, wrapper)
    if header.person_slot == NOBODY:
        return source, b""
    return source, keys.key(header.person_slot, header.person_key, WrapperUnder(source))


def _whole(file: int, length: int) -> bytes:
    """The first so many bytes of a file, or all that it has."""
    data = os.pread(file, length, 0)
    if len(data) == length:
        return data
    whole = bytearray(data)  # one call reads 2 GB at most
    while len(whole) < length and (piece := os.pread(file, min(1 << 30, length - len(whole)), len(whole))):
        whole += piece
    return bytes(whole)


def _reason(error: Exception) -> str:
    if isinstance(error, StoreError | PathEscape):
        return error.message.rstrip(".")
    return why(error)


def _now() -> int:
    return int(datetime.now(UTC).timestamp())
