"""The key ring: one file of slots of a fixed size, so that a key can be overwritten where it lies.

A slot is a sector of 512 bytes with a checksum, and is written by one call: what tears a write tears at sectors, so no write to one
slot can harm another. The first sector says whose ring it is, the next 127 are the register of copies that were made of the ring,
the rest are keys, numbered from 0. A key's sector holds it wrapped; a destroyed key's sector holds zeros in that place.

Every change is made under a lock of the file (flock(2)). Readers take none: a slot is read by one call too.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from unsee.core.errors import AlreadyExists, Conflict, NotFound, StoreError, StoreUnreachable
from unsee.stores import overwriting
from unsee.stores.removal import why
from unsee.stores.vault.sealed import KEY_BYTES
from unsee.stores.vault.wrapping import KeyWrapper

SECTOR = 512
COPIES = 127
MAX_PLACE = 240
MAX_NAME = 80
MAX_WRAPPED = 400
_FIRST_KEY = 1 + COPIES
_HEAD = struct.Struct("<16s16sQ")
_HEAD_MAGIC = b"unsee key ring 1"
_SLOT = struct.Struct(f"<4sBBHIIQ8s{MAX_WRAPPED}s")
_SLOT_MAGIC = b"SLOT"
_COPY = struct.Struct(f"<4sBxxxIQ{MAX_PLACE}s{MAX_NAME}sQ")
_COPY_MAGIC = b"COPY"
NO_PARENT = 0xFFFFFFFF


class Kind(IntEnum):
    """Whose key a slot holds."""

    SOURCE = 1
    PERSON = 2


class State(IntEnum):
    """What became of a key."""

    LIVE = 1
    DESTROYED = 2


_KINDS = {int(kind): kind for kind in Kind}
_STATES = {int(state): state for state in State}


@dataclass(frozen=True, slots=True)
class Slot:
    """One key. `parent` is the slot of the source that a person belongs to."""

    number: int
    kind: Kind
    state: State
    key_id: bytes
    parent: int
    changed_at: int
    wrapped: bytes = b""

    def pack(self) -> bytes:
        """Its sector."""
        head = (_SLOT_MAGIC, self.kind, self.state, len(self.wrapped), self.number, self.parent, self.changed_at)
        return _sector(_SLOT.pack(*head, self.key_id, self.wrapped))


@dataclass(frozen=True, slots=True)
class RingCopy:
    """A copy of the ring that somebody made: it holds the keys of all slots below `holds`."""

    number: int
    place: str
    holds: int
    made_at: int
    destroyed_by: str = ""
    destroyed_at: int = 0

    @property
    def out(self) -> bool:
        """Whether nobody has declared it destroyed."""
        return not self.destroyed_at

    def pack(self) -> bytes:
        """Its sector."""
        words = (self.place.encode(), self.destroyed_by.encode()[:MAX_NAME])
        state = 1 if self.out else 2
        return _sector(_COPY.pack(_COPY_MAGIC, state, self.holds, self.made_at, *words, self.destroyed_at))


def create(path: str, *, now: int) -> None:
    """Make an empty ring.

    Raises:
        AlreadyExists: there is a file at `path`; it is untouched.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise AlreadyExists("key ring", path) from None
    try:
        os.write(file, bytes(SECTOR * _FIRST_KEY))
        os.pwrite(file, _sector(_HEAD.pack(_HEAD_MAGIC, secrets.token_bytes(16), now)), 0)
        os.fsync(file)
    finally:
        os.close(file)
    _flush_directory(path)


@dataclass(frozen=True, slots=True)
class OpenRing:
    """A ring that is open, by its descriptor; `id` is bound into every wrapped key."""

    path: str
    file: int
    id: bytes

    def __len__(self) -> int:
        """How many slots there are."""
        return max(0, os.fstat(self.file).st_size // SECTOR - _FIRST_KEY)

    def slot(self, number: int) -> Slot | None:
        """One slot; None where this ring has none of that number.

        Raises:
            StoreError: what lies there is damaged.
        """
        data = os.pread(self.file, SECTOR, (_FIRST_KEY + number) * SECTOR)
        if len(data) < SECTOR:
            return None
        try:
            found = _slot(data)
        except ValueError:
            found = None
        if found is None or found.number != number:
            raise StoreError(
                f"Slot {number} of the key ring {self.path} is damaged.",
                next_step="Restore the ring from a registered copy; keys that were destroyed since must be destroyed again.",
            )
        return found

    def slots(self) -> Iterator[Slot | None]:
        """Every slot in order; None in the place of a damaged one. Cost: the ring is read once."""
        for number in range(len(self)):
            try:
                yield self.slot(number)
            except StoreError:
                yield None

    def live(self, number: int, key_id: bytes) -> bool:
        """Whether this ring holds this key.

        Raises:
            StoreError: the slot is damaged, or holds another key: then it cannot be said.
        """
        return self._of(number, key_id).state is State.LIVE

    def known(self, number: int, key_id: bytes) -> str:
        """`live`, `destroyed`, or why it cannot be said."""
        try:
            return "live" if self.live(number, key_id) else "destroyed"
        except StoreError as error:
            return error.message

    def key(self, number: int, key_id: bytes, wrapper: KeyWrapper) -> bytes:
        """A key, unwrapped.

        Raises:
            StoreError: it was destroyed, is not there, or the master key does not open it.
        """
        found = self._of(number, key_id)
        if found.state is not State.LIVE:
            raise StoreError(f"Key {key_id.hex()} of slot {number} was destroyed.")
        return wrapper.unwrap(found.wrapped, self._context(number, key_id))

    def add(self, kind: Kind, wrapper: KeyWrapper, *, now: int, parent: int = NO_PARENT) -> tuple[Slot, bytes]:
        """A new key in a new slot, on the disk after `flush`; under the lock."""
        number, key_id, key = len(self), secrets.token_bytes(8), secrets.token_bytes(KEY_BYTES)
        wrapped = wrapper.wrap(key, self._context(number, key_id))
        if len(wrapped) > MAX_WRAPPED:
            raise StoreError(f"The key wrapper returned {len(wrapped)} bytes; a slot holds {MAX_WRAPPED}.")
        made = Slot(number, kind, State.LIVE, key_id, parent, now, wrapped)
        self._put(_FIRST_KEY + number, made.pack())
        return made, key

    def flush(self) -> None:
        """Wait until new keys are on the disk: before anything that was sealed with them gets its name."""
        os.fsync(self.file)

    def destroy(self, wanted: list[tuple[int, bytes]], *, now: int) -> None:
        """Overwrite these keys where they lie, wait for the disk, and read every slot again; under the lock.

        Cost: one write of 512 bytes a key and one flush, whatever was sealed with it.

        Raises:
            StoreError: a slot still holds its key, or is another key's.
            OSError: the disk does not confirm.
        """
        if not wanted:
            return
        for number, key_id in wanted:
            if number >= len(self):
                raise StoreError(
                    f"The key ring {self.path} has no slot {number}: it is another ring, or an older copy."
                )
            found = self._any(number)
            if found is not None and found.key_id != key_id:
                raise StoreError(f"Slot {number} of the key ring {self.path} holds another key.")
            if found is None or found.state is not State.DESTROYED:
                before = found or Slot(number, Kind.SOURCE, State.LIVE, key_id, NO_PARENT, now)
                gone = replace(before, state=State.DESTROYED, changed_at=now, wrapped=b"")
                self._put(_FIRST_KEY + number, gone.pack())
        os.fsync(self.file)
        for number, _key_id in wanted:
            found = self.slot(number)
            if found is None or found.state is not State.DESTROYED or found.wrapped:
                raise StoreError(f"Slot {number} of the key ring {self.path} was overwritten and still holds a key.")

    def rewrap(self, old: KeyWrapper, new: KeyWrapper) -> int:
        """Wrap the key of every source under another master key, in its slot; how many were not yet. Resumes; under the lock.

        People's keys are wrapped under the key of their source and stay as they are.

        Raises:
            StoreError: neither master key opens a slot; those before it are done.
        """
        changed = 0
        for slot in self.slots():
            if slot is None or slot.state is not State.LIVE or slot.kind is not Kind.SOURCE:
                continue
            context = self._context(slot.number, slot.key_id)
            try:
                new.unwrap(slot.wrapped, context)
            except StoreError:
                again = new.wrap(old.unwrap(slot.wrapped, context), context)
                self._put(_FIRST_KEY + slot.number, replace(slot, wrapped=again).pack())
                changed += 1
        os.fsync(self.file)
        return changed

    def copies(self) -> list[RingCopy]:
        """The register of copies.

        Raises:
            StoreError: an entry is damaged: what it said is unknown.
        """
        data = os.pread(self.file, SECTOR * COPIES, SECTOR)
        found = []
        for number in range(COPIES):
            sector = data[number * SECTOR : (number + 1) * SECTOR]
            if not any(sector):
                continue
            try:
                found.append(_copy(number, sector))
            except ValueError:
                raise StoreError(
                    f"Entry {number} of the register of copies in {self.path} is damaged.",
                    next_step="No key can be called destroyed while it is unknown which copies there are.",
                ) from None
        return found

    def register(self, place: str, *, now: int) -> RingCopy:
        """Note that a copy is being made; on the disk when this returns, before the copy is; under the lock."""
        known = {copy.number: copy for copy in self.copies()}
        free = [number for number in range(COPIES) if number not in known]
        free += sorted((n for n, copy in known.items() if not copy.out), key=lambda n: known[n].destroyed_at)
        if not free:
            raise Conflict(
                f"{COPIES} copies of the key ring {self.path} are out.",
                next_step='Destroy old ones and say so: "unsee vault destroyed-copy".',
            )
        made = RingCopy(free[0], place, len(self), now)
        self._put(1 + made.number, made.pack())
        os.fsync(self.file)
        return made

    def declare_destroyed(self, number: int, by: str, *, now: int) -> RingCopy:
        """Note that somebody says that a copy is destroyed; under the lock.

        Raises:
            NotFound: there is no such copy.
        """
        for copy in self.copies():
            if copy.number == number:
                gone = replace(copy, destroyed_by=by, destroyed_at=now) if copy.out else copy
                self._put(1 + number, gone.pack())
                os.fsync(self.file)
                return gone
        raise NotFound("copy of the key ring", str(number), where="", next_step='"unsee vault keys STORE" lists them.')

    def against(self, wrapper: KeyWrapper, number: int | None = None) -> list[str]:
        """Why destroying a key (of that slot; of any) is no proof that no copy of it is left (R8): sentences; none where it is."""
        reasons = []
        with _directory_of(self.path) as directory:
            if not overwriting.in_place(os.fstat(directory).st_dev):
                reasons.append("The file system of the key ring may write elsewhere than where a key lay.")
        if links := os.fstat(self.file).st_nlink - 1:
            reasons.append(f"The key ring has {links} other hard link{'s' * (links > 1)}.")
        if escrow := wrapper.escrow():
            reasons.append(f"The keeper of the master key may keep keys: {escrow.rstrip('.')}.")
        reasons.extend(
            f"Copy {copy.number} of the key ring, {copy.place}, is not declared destroyed."
            for copy in self.copies()
            if copy.out and (number is None or number < copy.holds)
        )
        return reasons

    def _of(self, number: int, key_id: bytes) -> Slot:
        found = self.slot(number)
        if found is None or found.key_id != key_id:
            raise StoreError(
                f"The key ring {self.path} does not know key {key_id.hex()} of slot {number}.",
                next_step="It is another ring, or an older copy of it: name the right one with the option keys=PATH.",
            )
        return found

    def _any(self, number: int) -> Slot | None:
        """A slot as `slot`, but None for a damaged one: it is to be overwritten all the same."""
        try:
            return self.slot(number)
        except StoreError:
            return None

    def _put(self, sector: int, data: bytes) -> None:
        if os.pwrite(self.file, data, sector * SECTOR) != SECTOR:
            raise StoreError(f"The key ring {self.path} could not be written to whole.")

    def _context(self, number: int, key_id: bytes) -> bytes:
        return b"unsee ring key 1" + self.id + struct.pack("<I", number) + key_id


@contextmanager
def opened(path: str, *, change: bool = False) -> Iterator[OpenRing]:
    """The ring at `path`; with `change` under its lock, which waits until nobody else changes it.

    Raises:
        StoreUnreachable: it is not there, or cannot be opened.
        StoreError: it is no key ring.
    """
    flags = (os.O_RDWR if change else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags)
    except OSError as error:
        raise StoreUnreachable(
            f"The key ring {path} cannot be opened: {why(error)}.",
            next_step="Mount or restore it; without it nothing in the vault can be read, and nothing be called erased.",
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StoreError(f"The key ring {path} is no regular file.")
        if change:
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            magic, ring_id, _made = _HEAD.unpack_from(_checked(os.pread(file, SECTOR, 0)))
        except (ValueError, struct.error):
            magic, ring_id = b"", b""
        if magic != _HEAD_MAGIC:
            raise StoreError(f"{path} is no key ring, or its first sector is damaged.")
        yield OpenRing(path, file, ring_id)
    finally:
        os.close(file)


def copy_to(ring: OpenRing, place: str) -> None:
    """Write a copy of the ring, which is registered already, to a new file.

    Raises:
        AlreadyExists: there is a file.
    """
    try:
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise AlreadyExists("file", place) from None
    try:
        position = 0
        while piece := os.pread(ring.file, 1 << 20, position):
            position += os.write(file, piece)
        os.fsync(file)
    finally:
        os.close(file)
    _flush_directory(place)


def _sector(body: bytes) -> bytes:
    body = body.ljust(SECTOR - 4, b"\0")
    return body + zlib.crc32(body).to_bytes(4, "little")


def _checked(sector: bytes) -> bytes:
    if len(sector) != SECTOR or zlib.crc32(sector[:-4]) != int.from_bytes(sector[-4:], "little"):
        raise ValueError("its checksum does not fit")
    return sector


def _slot(sector: bytes) -> Slot:
    magic, kind, state, length, number, parent, at, key_id, wrapped = _SLOT.unpack_from(_checked(sector))
    if magic != _SLOT_MAGIC or length > MAX_WRAPPED or kind not in _KINDS or state not in _STATES:
        raise ValueError("no slot")
    return Slot(number, _KINDS[kind], _STATES[state], key_id, parent, at, wrapped[:length])


def _copy(number: int, sector: bytes) -> RingCopy:
    magic, state, holds, made_at, place, by, gone_at = _COPY.unpack_from(_checked(sector))
    if magic != _COPY_MAGIC or state not in {1, 2}:
        raise ValueError("no entry")
    return RingCopy(
        number, place.rstrip(b"\0").decode(), holds, made_at, by.rstrip(b"\0").decode(errors="ignore"), gone_at
    )


@contextmanager
def _directory_of(path: str) -> Iterator[int]:
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield directory
    finally:
        os.close(directory)


def _flush_directory(path: str) -> None:
    with _directory_of(path) as directory:
        os.fsync(directory)
