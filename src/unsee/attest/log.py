"""A transparency log on disk: C2SP tlog-tiles 0.1.0 (https://c2sp.org/tlog-tiles), static files that any HTTP server can show.

::

    checkpoint                      signed note: origin, size, root
    tile/<L>/<N>[.p/<W>]            W or 256 hashes of 32 bytes: the nodes of height 8·L
    tile/entries/<N>[.p/<W>]        W or 256 entries, each after its length in two bytes, big-endian

Entries are 32-byte salted commitments (`commit`), never records: whoever reads the log learns nothing, and destroying a salt
makes its entry meaningless.

The checkpoint is the commit point: tiles reach the disk first, then the checkpoint is renamed into place. Files beyond the
checkpoint are leavings of a killed append; the next append writes over them.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unsee.attest.durable import write_file
from unsee.attest.keys import PublicKey, SigningKey
from unsee.attest.notes import Checkpoint, open_checkpoint, sign_checkpoint
from unsee.core import merkle
from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, Tampered

TILE = 256
_TILE_HEIGHT = 8
_HASH = 32
ENTRY_LIMIT_BYTES = 65_535
SALT_BYTES = 32

_Tiles = dict[tuple[int, int], bytes]


def commit(salt: bytes, record: bytes) -> bytes:
    """What the log holds of a record: SHA-256(salt ‖ record), 32 bytes.

    Raises:
        InvalidValue: the salt is not 32 bytes; a salt of another length would let one commitment fit two records.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidValue(f"A salt has {SALT_BYTES} bytes, not {len(salt)}.")
    return hashlib.sha256(salt + record).digest()


def tile_path(level: int | str, number: int, width: int = TILE) -> str:
    """The path of a tile below the log: three digits a directory, all but the last marked `x`; a partial tile by its width."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join(["tile", str(level), *("x" + g for g in groups[:-1]), groups[-1]])
    return path if width == TILE else f"{path}.p/{width}"


class Log:
    """One log in one directory. Open it with `create` or `open`; instances hold no open files between calls."""

    def __init__(self, directory: Path, origin: str, key: SigningKey | PublicKey) -> None:
        self._directory = directory
        self._signer = key if isinstance(key, SigningKey) else None
        self.origin = origin
        self.public_key = key.public if isinstance(key, SigningKey) else key

    @classmethod
    def create(cls, directory: Path, origin: str, key: SigningKey) -> Log:
        """A new, empty log.

        Raises:
            AlreadyExists: the directory holds a log.
            InvalidValue: the origin holds white space or a plus sign.
        """
        note = sign_checkpoint(Checkpoint(origin, 0, merkle.root([])), key)
        try:
            write_file(directory / "checkpoint", note.encode(), replace=False)
        except FileExistsError:
            raise AlreadyExists("log", directory.name) from None
        return cls(directory, origin, key)

    @classmethod
    def open(cls, directory: Path, origin: str, key: SigningKey | PublicKey) -> Log:
        """The log in a directory; a public key opens it for reading.

        Raises:
            NotFound: there is no log.
            Tampered: its checkpoint is not signed by `key` under `origin`.
        """
        log = cls(directory, origin, key)
        log.checkpoint()
        return log

    # ---- reading

    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint, its signature verified.

        Raises:
            Tampered: the signature does not fit.
        """
        return open_checkpoint(self.note(), self.origin, self.public_key)

    def note(self) -> str:
        """The newest checkpoint as its signed note."""
        try:
            return (self._directory / "checkpoint").read_text("utf-8")
        except FileNotFoundError:
            raise NotFound(
                "log", self._directory.name, next_step="Make one with Log.create, or name the right directory."
            ) from None
        except UnicodeDecodeError:
            raise Tampered("The log's checkpoint is no text.", next_step="Restore it from a copy.") from None

    def entries(self, start: int, end: int) -> list[bytes]:
        """Entries `start` … `end` − 1, each checked against its hash in the tiles.

        Raises:
            IndexError: the log is shorter.
            Tampered: an entry does not fit its hash.
        """
        size = self.checkpoint().size
        if not 0 <= start <= end <= size:
            raise IndexError(f"entries {start} to {end} of {size}")
        reader = _Reader(self._directory, size)
        found: list[bytes] = []
        for number in range(start // TILE, -(-end // TILE)):
            found += reader.entries(number)
        first = start // TILE * TILE
        return found[start - first : end - first]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The audit path of entry `index` in the tree of the first `size` entries (RFC 6962 §2.1.1).

        The path is checked before it is given out, against the signed root where `size` is the checkpoint's.

        Raises:
            IndexError: there is no such entry, or the log is shorter than `size`.
            Tampered: the tiles do not fit.
        Cost: O(log size) tiles read, never the whole log.
        """
        checkpoint = self.checkpoint()
        if not 0 <= index < size <= checkpoint.size:
            raise IndexError(f"entry {index} in a tree of {size}; the log holds {checkpoint.size}")
        reader = _Reader(self._directory, checkpoint.size)
        root = self._checked_root(reader, checkpoint, size)
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            split = low + _largest_power_below(high - low)
            if index < split:
                path.append(reader.root(split, high))
                high = split
            else:
                path.append(reader.root(low, split))
                low = split
        path.reverse()
        if merkle.root_from_inclusion(reader.node(0, index), index, size, path) != root:
            raise _torn(f"the proof of entry {index} does not lead to the root of {size} entries")
        return path

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]:
        """Proof that the tree of `old_size` is a prefix of the tree of `new_size` (RFC 6962 §2.1.2), checked before it is given.

        Raises:
            IndexError: not 1 ≤ `old_size` ≤ `new_size` ≤ the log's size.
            Tampered: the tiles do not fit.
        Cost: O(log new_size) tiles read.
        """
        checkpoint = self.checkpoint()
        if not 1 <= old_size <= new_size <= checkpoint.size:
            raise IndexError(f"a tree of {old_size} in a tree of {new_size}; the log holds {checkpoint.size}")
        reader = _Reader(self._directory, checkpoint.size)
        new_root = self._checked_root(reader, checkpoint, new_size)
        return _consistency(reader, old_size, reader.root(0, old_size), new_size, new_root)

    def _checked_root(self, reader: _Reader, checkpoint: Checkpoint, size: int) -> bytes:
        """The root of `size` entries from the tiles, after they were held against the signed root."""
        if reader.root(0, checkpoint.size) != checkpoint.root:
            raise _torn("its tiles do not lead to the signed root")
        if size == checkpoint.size:
            return checkpoint.root
        root = reader.root(0, size)
        _consistency(reader, size, root, checkpoint.size, checkpoint.root)
        return root

    # ---- writing

    def append(self, entries: Sequence[bytes]) -> range:
        """Add entries at the end and sign a new checkpoint. Returns their indices; they are on the disk.

        Raises:
            InvalidValue: an entry is longer than 65,535 bytes, or the log was opened for reading.
            Tampered: the log's files do not fit its checkpoint; nothing was added.
        Cost: one write and fsync for each tile touched; hand over entries in batches.
        """
        with self._only_writer() as key:
            return self._append(self.checkpoint(), entries, key)

    def append_at(self, first_index: int, entries: Sequence[bytes]) -> range:
        """As `append`, for a caller that knows where its entries belong: what is there already is not added again.

        Raises:
            InvalidValue: `first_index` lies beyond the end of the log.
            Tampered: an entry that is there differs; nothing was added.
        """
        with self._only_writer() as key:
            checkpoint = self.checkpoint()
            if not 0 <= first_index <= checkpoint.size:
                raise InvalidValue(
                    f"Entry {first_index} cannot follow a log of {checkpoint.size}.",
                    next_step="Hand over the entries that come before it first.",
                )
            known = min(checkpoint.size - first_index, len(entries))
            reader = _Reader(self._directory, checkpoint.size)
            for index, entry in enumerate(entries[:known], first_index):
                if reader.node(0, index) != merkle.leaf_hash(entry):
                    raise Tampered(
                        f"Entry {index} of the log {self.origin} differs from the one handed over.",
                        next_step="The log or the books were changed; compare both with their copies.",
                    )
            if known < len(entries):
                self._append(checkpoint, entries[known:], key)
        return range(first_index, first_index + len(entries))

    @contextmanager
    def _only_writer(self) -> Iterator[SigningKey]:
        """Hold the log's lock: one writer at a time, over processes; the kernel drops it when its holder dies."""
        if self._signer is None:
            raise InvalidValue(f"The log {self.origin} was opened for reading.", next_step="Open it with its key.")
        with (self._directory / ".lock").open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._signer

    def _append(self, old: Checkpoint, entries: Sequence[bytes], key: SigningKey) -> range:
        if any(len(entry) > ENTRY_LIMIT_BYTES for entry in entries):
            raise InvalidValue(f"A log entry has at most {ENTRY_LIMIT_BYTES:,} bytes.", next_step="Log its digest.")
        if not entries:
            return range(old.size, old.size)
        before = _Reader(self._directory, old.size)
        if old.size and before.root(0, old.size) != old.root:
            raise _torn("its tiles do not lead to the signed root")
        size = old.size + len(entries)
        tiles, bundles = _grown(before, old.size, entries)
        after = _Reader(self._directory, size, tiles)
        root = after.root(0, size)
        if old.size:
            _consistency(after, old.size, old.root, size, root)
        for files in (bundles, tiles):
            for (level, number), data in files.items():
                width = min(TILE, (size >> _TILE_HEIGHT * max(level, 0)) - TILE * number)
                name = "entries" if level < 0 else level
                write_file(self._directory / tile_path(name, number, width), data)
        write_file(self._directory / "checkpoint", sign_checkpoint(Checkpoint(old.origin, size, root), key).encode())
        self._drop_partials([*tiles, *bundles], size)
        return range(old.size, size)

    def _drop_partials(self, touched: Sequence[tuple[int, int]], size: int) -> None:
        """Partial tiles may go once their full tile is committed; a kill in between leaves them, which harms nobody."""
        for level, number in touched:
            if TILE * (number + 1) <= size >> _TILE_HEIGHT * max(level, 0):
                full = self._directory / tile_path("entries" if level < 0 else level, number)
                partial = full.with_name(full.name + ".p")
                if partial.is_dir():
                    for file in partial.iterdir():
                        file.unlink(missing_ok=True)
                    partial.rmdir()


class _Reader:
    """Nodes of the tree of the first `size` entries, from tiles on disk or from `pending` ones that are not there yet."""

    def __init__(self, directory: Path, size: int, pending: _Tiles | None = None) -> None:
        self._directory = directory
        self._size = size
        self._tiles: _Tiles = dict(pending or {})

    def node(self, height: int, index: int) -> bytes:
        """The hash over leaves `index`·2^`height` up to (`index` + 1)·2^`height`, which are all there."""
        level, inner = divmod(height, _TILE_HEIGHT)
        first = index << inner
        tile = self.tile(level, first // TILE)
        start = first % TILE * _HASH
        return merkle.root_of_hashes(_split(tile[start : start + (_HASH << inner)]))

    def root(self, low: int, high: int) -> bytes:
        """The root over leaves `low` … `high` − 1, where `low` begins a subtree that is large enough. Cost: O(log)."""
        if low == high == 0:
            return merkle.root([])
        parts: list[bytes] = []
        while low < high:
            height = (high - low).bit_length() - 1
            parts.append(self.node(height, low >> height))
            low += 1 << height
        found = parts.pop()
        while parts:
            found = merkle.node_hash(parts.pop(), found)
        return found

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of one tile, as wide as the tree of `size` has it."""
        if (level, number) not in self._tiles:
            width = min(TILE, (self._size >> _TILE_HEIGHT * level) - TILE * number)
            data = self._file(level, number, width)
            if len(data) < width * _HASH:
                raise _torn(f"{tile_path(level, number, width)} is cut short")
            self._tiles[level, number] = data[: width * _HASH]
        return self._tiles[level, number]

    def entries(self, number: int) -> list[bytes]:
        """The entries of one bundle, each checked against its leaf hash."""
        width = min(TILE, self._size - TILE * number)
        data = self._file("entries", number, width)
        found: list[bytes] = []
        at = 0
        while len(found) < width:
            length = int.from_bytes(data[at : at + 2], "big")
            entry = data[at + 2 : at + 2 + length]
            if len(data) < at + 2 + length or at + 2 > len(data):
                raise _torn(f"{tile_path('entries', number, width)} is cut short")
            found.append(entry)
            at += 2 + length
        if [merkle.leaf_hash(entry) for entry in found] != _split(self.tile(0, number)):
            raise _torn(f"{tile_path('entries', number, width)} does not fit its hashes")
        return found

    def _file(self, level: int | str, number: int, width: int) -> bytes:
        """A tile as it lies there: the partial one of that width, else the full one that replaced it."""
        for path in dict.fromkeys((tile_path(level, number, width), tile_path(level, number))):
            try:
                return (self._directory / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
        raise _torn(f"{tile_path(level, number, width)} is missing")


def _grown(before: _Reader, size: int, entries: Sequence[bytes]) -> tuple[_Tiles, _Tiles]:
    """The tiles and entry bundles (as level −1) that change when `entries` follow a tree of `size`."""
    number = size // TILE
    held = before.entries(number) if size % TILE else []
    bundles: _Tiles = {}
    everything = [*held, *entries]
    for at in range(0, len(everything), TILE):
        part = everything[at : at + TILE]
        bundles[-1, number + at // TILE] = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
    tiles: _Tiles = {}
    level, fresh = 0, [merkle.leaf_hash(entry) for entry in entries]
    while fresh:
        known = size >> _TILE_HEIGHT * level
        number = known // TILE
        row = (_split(before.tile(level, number)) if known % TILE else []) + fresh
        fresh = []
        for at in range(0, len(row), TILE):
            part = row[at : at + TILE]
            tiles[level, number + at // TILE] = b"".join(part)
            if len(part) == TILE:
                fresh.append(merkle.root_of_hashes(part))
        level += 1
    return tiles, bundles


def _consistency(reader: _Reader, old_size: int, old_root: bytes, size: int, root: bytes) -> list[bytes]:
    """The proof that `old_root` is a prefix of `root`, after it was checked (RFC 6962 §2.1.2)."""
    path: list[bytes] = []
    low, high, old, whole = 0, size, old_size, True
    while old != high - low:
        split = _largest_power_below(high - low)
        if old <= split:
            path.append(reader.root(low + split, high))
            high = low + split
        else:
            path.append(reader.root(low, low + split))
            low, old, whole = low + split, old - split, False
    if not whole:
        path.append(reader.root(low, high))
    path.reverse()
    if not merkle.is_consistent(old_size, old_root, size, root, path):
        raise _torn(f"its {size} entries do not continue its first {old_size}")
    return path


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + _HASH] for at in range(0, len(data), _HASH)]


def _largest_power_below(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def _torn(what: str) -> Tampered:
    return Tampered(f"The log was changed or damaged: {what}.", next_step="Restore its files from a copy.")
