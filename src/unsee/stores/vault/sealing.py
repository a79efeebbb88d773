"""Writing members into a vault.

Order, so that a kill anywhere leaves nothing readable that nobody knows of: keys into the ring and flushed; the encrypted files
into `sealing/` and flushed; their rows into the index; then the files get their names. What a killed call leaves in `sealing/` the
next one removes. Plain text is never written.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from unsee.core.errors import InvalidValue, StoreError, WrongState
from unsee.stores import beneath
from unsee.stores.contract import Member
from unsee.stores.names import ROOT, component
from unsee.stores.vault import index, layout
from unsee.stores.vault.layout import Life
from unsee.stores.vault.ring import Kind, OpenRing
from unsee.stores.vault.sealed import (
    HEADER_BYTES,
    MAX_SELECTOR_BYTES,
    NO_KEY,
    NOBODY,
    Header,
    Unsound,
    cipher_of,
    encrypt,
    parse,
    plain_bytes,
)
from unsee.stores.vault.wrapping import KeyWrapper, WrapperUnder


@dataclass(frozen=True, slots=True)
class ToSeal:
    """A member to be: its plain text in pieces of any size, and whose it is.

    `person` is any bytes that stand for somebody; empty where nobody is known.
    """

    selector: str
    pieces: Iterable[bytes]
    person: bytes = b""


def seal(
    location: str, object_name: str, members: Sequence[ToSeal], keys: OpenRing, wrapper: KeyWrapper, *, now: int
) -> tuple[Member, ...]:
    """See `VaultStore.seal`; under the lock of the ring."""
    layout.require_object(object_name)
    for member in members:
        component(member.selector)
        if len(member.selector.encode()) > MAX_SELECTOR_BYTES:
            raise InvalidValue(f"{member.selector[:80]!r} is longer than {MAX_SELECTOR_BYTES} bytes.")
    if len({member.selector for member in members}) < len(members):
        raise InvalidValue(f"A member of {object_name!r} is named twice.")
    life, source_key = _life(location, object_name, keys, wrapper, now)
    sweep(life)
    with index.opened(life.path, create=True) as rows:
        for member in members:
            if life.holds(index.file_of(member.selector)):
                raise StoreError(
                    f"There is a member {member.selector!r} in {object_name!r} already.",
                    next_step="Members are sealed once; erase it first, or choose another name.",
                )
        people = _People(life, source_key, rows, keys, now)
        written = [_write(life, member, people, source_key) for member in members]
        _flush(life, written)
        keys.flush()
        rows.add(written, people.fresh)
    _name(life, written)
    return tuple(Member(object_name, row.selector, row.size_bytes, row.stamp.hex()) for row in written)


def adopt_all(life: Life, keys: OpenRing) -> int:
    """Take the sealed files of a living life that its index does not know into it; how many. Files that are none are left."""
    if not keys.live(life.slot, life.key_id):
        return 0
    with index.opened(life.path, create=True) as rows:
        known = {row.file.hex() for row in rows.rows()}
        unknown = ((directory, name) for directory, name in layout.each_file(life) if name not in known)
        fresh = [found for directory, name in unknown if (found := _judge(directory, name, life))]
        rows.adopt(fresh)
    return len(fresh)


def adopt(life: Life, selector: str) -> tuple[index.Row, bytes] | None:
    """The row of a sealed file, and the id of its person's key, from its header; None where there is no such file.

    Raises:
        Unsound, OSError: it cannot be looked into.
    """
    file = life.open(selector)
    if file is None:
        return None
    try:
        header = parse(os.pread(file, HEADER_BYTES, 0))
        size_bytes = plain_bytes(os.fstat(file).st_size, header.chunk_bytes)
    finally:
        os.close(file)
    name = index.file_of(header.selector)
    return index.Row(name, header.selector, header.stamp, size_bytes, header.person_slot), header.person_key


def sweep(life: Life) -> None:
    """Remove what a killed sealing left; under the lock nobody else is sealing."""
    sealing = f"{life.name}/{layout.SEALING}"
    if left := layout.names_in(life.location, sealing):
        with beneath.directory(life.location, sealing) as directory:
            for name in left:
                os.unlink(name, dir_fd=directory)
        layout.flush_directory(life.location, sealing)


def _judge(directory: str, name: str, life: Life) -> tuple[index.Row, bytes] | None:
    file = layout.open_file(life.location, directory, name)
    if file is None:
        return None
    try:
        header = parse(os.pread(file, HEADER_BYTES, 0))
    except Unsound:
        return None
    finally:
        os.close(file)
    if index.file_of(header.selector).hex() != name or (header.source_slot, header.source_key) != (
        life.slot,
        life.key_id,
    ):
        return None
    return adopt(life, header.selector)


def _life(location: str, object_name: str, keys: OpenRing, wrapper: KeyWrapper, now: int) -> tuple[Life, bytes]:
    """The living directory of an object and the key of its source; new ones where there is none."""
    if layout.returned(location, keys, object_name):
        raise WrongState(
            f"A key of {object_name!r} was destroyed and is in the key ring again: the ring is an old copy.",
            next_step="Carry the erasure out again, or restore the ring that was in use; then seal.",
        )
    for life in layout.lives(location, object_name):
        if keys.live(life.slot, life.key_id):
            return life, keys.key(life.slot, life.key_id, wrapper)
    slot, key = keys.add(Kind.SOURCE, wrapper, now=now)
    keys.flush()
    life = Life(location, object_name, slot.number, slot.key_id)
    (life.path / layout.SEALING).mkdir(mode=0o700, parents=True)
    for name in (life.name, object_name, ROOT):
        layout.flush_directory(location, name)
    return life, key


@dataclass(slots=True)
class _People:
    """The keys of the people of one source, made where they are new."""

    life: Life
    source_key: bytes
    rows: index.Index
    keys: OpenRing
    now: int
    fresh: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    """Digest, slot and id of the keys that were made, for the index."""
    known: dict[bytes, tuple[int, bytes, bytes]] = field(default_factory=lambda: {b"": (NOBODY, NO_KEY, b"")})

    def key(self, person: bytes) -> tuple[int, bytes, bytes]:
        """Slot, id and key."""
        if person not in self.known:
            self.known[person] = self._look_up(hmac.digest(self.source_key, b"unsee person" + person, "sha256"))
        return self.known[person]

    def _look_up(self, digest: bytes) -> tuple[int, bytes, bytes]:
        found = self.rows.person(digest)
        if found is not None and self.keys.live(*found):
            return (*found, self.keys.key(*found, WrapperUnder(self.source_key)))
        under = WrapperUnder(self.source_key)
        slot, key = self.keys.add(Kind.PERSON, under, now=self.now, parent=self.life.slot)
        self.fresh.append((digest, slot.number, slot.key_id))
        return slot.number, slot.key_id, key


def _write(life: Life, member: ToSeal, people: _People, source_key: bytes) -> index.Row:
    """Encrypt one member into `sealing/`; its row."""
    slot, key_id, person_key = people.key(member.person)
    header = Header(life.slot, life.key_id, slot, key_id, secrets.token_bytes(32), member.selector)
    cipher = cipher_of(header, life.object, source_key, person_key)
    name = index.file_of(member.selector)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with beneath.directory(life.location, f"{life.name}/{layout.SEALING}") as directory:
        file = os.open(name.hex(), flags, 0o600, dir_fd=directory)
    try:
        _write_all(file, header.pack())
        for chunk in encrypt(cipher, member.pieces, header.chunk_bytes):
            _write_all(file, chunk)
        size_bytes = plain_bytes(os.fstat(file).st_size, header.chunk_bytes)
    finally:
        os.close(file)
    return index.Row(name, member.selector, header.stamp, size_bytes, slot)


def _flush(life: Life, written: Sequence[index.Row]) -> None:
    with beneath.directory(life.location, f"{life.name}/{layout.SEALING}") as directory:
        for row in written:
            file = os.open(row.file.hex(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def _name(life: Life, written: Sequence[index.Row]) -> None:
    """Give the files their names, and wait until these are on the disk."""
    fans = sorted({life.fan(row.file) for row in written})
    with beneath.directory(life.location, life.name) as above:
        for fan in fans:
            with suppress(FileExistsError):
                os.mkdir(fan.rpartition("/")[2], 0o700, dir_fd=above)
        with beneath.directory(life.location, f"{life.name}/{layout.SEALING}") as sealing:
            for row in written:
                place = f"{row.file[:1].hex()}/{row.file.hex()}"
                os.rename(row.file.hex(), place, src_dir_fd=sealing, dst_dir_fd=above)
    for fan in (*fans, life.name):
        layout.flush_directory(life.location, fan)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
