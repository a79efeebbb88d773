"""Where things lie in a vault.

::

    LOCATION/destroyed-keys                      ids of keys that were destroyed: a ring that knows them again is an old one
    LOCATION/<object>/<slot>-<key id>/           one life of a source's key
        index.sqlite
        sealing/                                 what is being written, and what a killed call left
        <two hex digits>/<32 hex digits>         one sealed file, named by a digest of its selector

An object is one source, so that one key is all it takes. When the key is destroyed the directory is dead, whatever lies in it; a
source that comes back gets a new key and a new directory.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from unsee.core.errors import PathEscape
from unsee.stores import beneath
from unsee.stores.contract import Skipped
from unsee.stores.names import ROOT, component, spell
from unsee.stores.removal import kind
from unsee.stores.vault.index import file_of
from unsee.stores.vault.ring import OpenRing, State

LEDGER = "destroyed-keys"
SEALING = "sealing"
_LIFE = re.compile("([0-9a-f]{8})-([0-9a-f]{16})")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ENTRY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Life:
    """One directory of an object: what was sealed under one key of its source."""

    location: str
    object: str
    slot: int
    key_id: bytes

    @property
    def name(self) -> str:
        """As `beneath.directory` takes it."""
        return f"{self.object}/{self.slot:08x}-{self.key_id.hex()}"

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location, *map(os.fsdecode, map(component, self.name.split("/"))))

    def fan(self, file: bytes) -> str:
        """The directory that a file lies in."""
        return f"{self.name}/{file[:1].hex()}"

    def open(self, selector: str) -> int | None:
        """A descriptor of the sealed file of this selector; None where there is none.

        Raises:
            PathEscape: a link stands on the way or in its place.
            OSError: it cannot be opened, or is no regular file.
        """
        file = file_of(selector)
        return open_file(self.location, self.fan(file), file.hex())

    def files(self, first_byte: int) -> list[str]:
        """What lies in one of the 256 directories, by name."""
        return names_in(self.location, f"{self.name}/{first_byte:02x}")

    def holds(self, file: bytes) -> bool:
        """Whether a file of this name is there."""
        with beneath.directory(self.location, self.fan(file)) as directory:
            if directory is None:
                return False
            try:
                os.stat(file.hex(), dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return False
            return True


def require_object(object_name: str) -> str:
    """The object, where its name can be one.

    Raises:
        PathEscape: it leads out of the store.
    """
    component(object_name)
    return object_name


def objects(location: str) -> list[str | Skipped]:
    """The objects of a vault by name, and what else lies there.

    Raises:
        StoreUnreachable: the root is not there.
    """
    found: list[str | Skipped] = []
    with beneath.directory(location, ROOT) as root, os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = spell(os.fsencode(entry.name))
            if entry.is_dir(follow_symlinks=False):
                found.append(name)
            elif entry.name != LEDGER:
                found.append(Skipped(ROOT, name, f"{_what(entry)}, no object of the vault"))
    return found


def members(location: str, object_name: str, selector: str) -> Iterator[tuple[Life, int, int]]:
    """The sealed files of a selector in the lives of an object, the newest first: descriptor, open while the caller looks at it,
    and size.

    Raises:
        PathEscape: a link stands in the place of one.
        OSError: it cannot be opened, or is something else.
    """
    file = file_of(selector)
    with beneath.directory(location, require_object(object_name)) as above:
        if above is None:
            return
        with os.scandir(above) as entries:
            found = [(life, entry.is_symlink()) for entry in entries if (life := _LIFE.fullmatch(entry.name))]
        if len(found) > 1:
            found.sort(key=lambda life: life[0][0], reverse=True)
        for name, link in found:
            if link:
                raise _through_a_link(name[0])
            opened = _open_below(above, f"{name[0]}/{file[:1].hex()}", file.hex())
            if opened is not None:
                try:
                    yield Life(location, object_name, int(name[1], 16), bytes.fromhex(name[2])), *opened
                finally:
                    os.close(opened[0])


def lives(location: str, object_name: str) -> list[Life]:
    """The directories of one object, the oldest first; none where there is no such object.

    Raises:
        PathEscape, StoreUnreachable, OSError: as `beneath.directory`.
    """
    found = (_LIFE.fullmatch(name) for name in names_in(location, require_object(object_name)))
    return [Life(location, object_name, int(life[1], 16), bytes.fromhex(life[2])) for life in found if life]


def names_in(location: str, directory_name: str) -> list[str]:
    """The entries of a directory by name; none where it is not there."""
    with beneath.directory(location, directory_name) as directory:
        if directory is None:
            return []
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries)


def open_file(location: str, directory_name: str, name: str) -> int | None:
    """A descriptor of a regular file; None where it is not there.

    Raises:
        PathEscape: it is a link.
        OSError: it cannot be opened, or is something else.
    """
    with beneath.directory(location, directory_name) as directory:
        if directory is None:
            return None
        try:
            file = os.open(name, _FLAGS, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise PathEscape(
                f"{name!r} in {directory_name!r} is a symbolic link.", next_step="Links are never followed."
            ) from None
    return _regular(file)[0]


def _open_below(above: int, fan: str, name: str) -> tuple[int, int] | None:
    """A descriptor of a regular file and its size; None where there is none.

    The directory is looked at and not held: who could put a link in its place between the two calls could as well replace the
    file itself, and what is read is authenticated for its place.
    """
    try:
        if stat.S_ISLNK(os.stat(fan, dir_fd=above, follow_symlinks=False).st_mode):
            raise _through_a_link(fan)
        return _regular(os.open(f"{fan}/{name}", _FLAGS, dir_fd=above))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
            raise
        raise _through_a_link(f"{fan}/{name}") from None


def _through_a_link(name: str) -> PathEscape:
    return PathEscape(f"{name!r} leads through a link.", next_step="Links are never followed.")


def _regular(file: int) -> tuple[int, int]:
    """The descriptor and the size of the file; closed where it is something else."""
    seen = os.fstat(file)
    if not stat.S_ISREG(seen.st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, f"it is {kind(seen)}")
    return file, seen.st_size


def destroyed(location: str, object_name: str | None) -> set[tuple[int, bytes]]:
    """The keys (of one object; of any) that the vault remembers as destroyed: slot, id. Damaged entries are passed over."""
    mark = object_mark(object_name) if object_name is not None else None
    return {(slot, key_id) for slot, key_id, object_ in _ledger(location) if mark in {None, object_}}


def remember(location: str, object_name: str, keys: Iterable[tuple[int, bytes]]) -> None:
    """Note that keys (slot, id) are destroyed; on the disk when this returns. Keys that are noted already are not noted again."""
    known = destroyed(location, object_name)
    mark = object_mark(object_name)
    fresh = [key_id + mark + slot.to_bytes(4, "little") for slot, key_id in keys if (slot, key_id) not in known]
    if not fresh:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(Path(location, LEDGER), flags, 0o600)
    try:
        end = os.fstat(file).st_size // _ENTRY_BYTES * _ENTRY_BYTES  # a torn entry at the end gives way
        os.pwrite(file, b"".join(body + zlib.crc32(body).to_bytes(4, "little") for body in fresh), end)
        os.fsync(file)
    finally:
        os.close(file)
    flush_directory(location, ROOT)


def returned(location: str, keys: OpenRing, object_name: str | None = None) -> list[tuple[int, bytes]]:
    """Keys (of one object; of any) that the vault remembers as destroyed and that this ring holds: it is an old copy (R7)."""
    found = []
    for slot, key_id in sorted(destroyed(location, object_name)):
        held = keys.slot(slot)
        if held is not None and held.key_id == key_id and held.state is State.LIVE:
            found.append((slot, key_id))
    return found


def _ledger(location: str) -> Iterator[tuple[int, bytes, bytes]]:
    try:
        data = Path(location, LEDGER).read_bytes()
    except FileNotFoundError:
        return
    for start in range(0, len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        entry = data[start : start + _ENTRY_BYTES]
        if zlib.crc32(entry[:28]) == int.from_bytes(entry[28:], "little"):
            yield int.from_bytes(entry[24:28], "little"), entry[:8], entry[8:24]


def object_mark(object_name: str) -> bytes:
    """Sixteen bytes that stand for an object in the list of destroyed keys, which does not name it."""
    return sha256(b"unsee vault object" + object_name.encode()).digest()[:16]


def flush_directory(location: str, name: str) -> None:
    """Wait until the names in a directory are on the disk."""
    with beneath.directory(location, name) as directory:
        if directory is not None:
            os.fsync(directory)


def each_file(life: Life) -> Iterator[tuple[str, str]]:
    """Every file of a life: directory and name."""
    for directory in names_in(life.location, life.name):
        if re.fullmatch("[0-9a-f]{2}", directory):
            for name in names_in(life.location, f"{life.name}/{directory}"):
                yield f"{life.name}/{directory}", name


def _what(entry: os.DirEntry[str]) -> str:
    return "a link" if entry.is_symlink() else "a file or device"
