"""The contract of every store, in MUSTs. `unsee.testing.stores` proves each on every implementation.

A store holds *objects* (a directory of files, a shard, a table, a bucket key) and an object holds *members* (a file of the
directory, a sample of the shard, a row). Names are relative to the store's root and are `str`, whatever bytes lie below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId


@dataclass(frozen=True, slots=True)
class Member:
    """One member as a listing shows it.

    `stamp` changes when the member's bytes are replaced (for files: size, mtime and inode; for rows: a digest of the row). It is
    opaque to callers: the same stamp (`same_stamp`) means "not touched since", and `erase` compares them. It SHOULD stay when other
    members go. What follows its last `@`, where there is one, is a hint by which the store finds the member sooner.
    """

    object: str
    selector: str
    size_bytes: int
    stamp: str
    sample: str = ""
    """What the readers of the format hand out together: members of one object with the same sample, not empty, are one (the `.jpg`
    and the `.json` of a WebDataset sample). Where one goes, the others go."""


def unhinted(stamp: str) -> str:
    """A stamp without its hint: what is compared."""
    return stamp.rpartition("@")[0] if "@" in stamp else stamp


def same_stamp(one: str | None, other: str | None) -> bool:
    """Whether two stamps say that a member was not touched between them, wherever it lay then."""
    return one == other or (one is not None and other is not None and unhinted(one) == unhinted(other))


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the store that is no member, and why: a link, a device, a name that cannot be spelled, no permission.

    The selector is empty where a whole object could not be listed: its members are unknown, not absent.
    """

    object: str
    selector: str
    reason: str


@dataclass(frozen=True, slots=True)
class Target:
    """A member to erase. With a `stamp`, the member is erased only if it still carries it."""

    selector: str
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A member that `erase` left, and why; never silently."""

    selector: str
    reason: str
    held: bool = False
    """A rule of the place forbids it for now (Object Lock, a legal hold): nothing failed, and nothing was erased. The reason says
    until when."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What one `erase` call did. Every target is in exactly one of the three."""

    erased: tuple[str, ...]
    absent: tuple[str, ...]
    """Not there when the call came: removed by an earlier, killed call, or by someone else."""
    kept: tuple[Kept, ...]
    gone: Gone
    """The step that the store checked for `erased`."""
    notes: tuple[str, ...] = ()
    """What else this took with it, as sentences: versions that can no longer be read, indexes that were dropped."""


@dataclass(frozen=True, slots=True)
class Residue:
    """A member that a probe still found."""

    selector: str
    where: str
    """What holds the bytes: `current`, a version, a snapshot, slack."""


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """A version, snapshot or backup of an object that may still hold erased bytes."""

    name: str
    removable: bool


@dataclass(frozen=True, slots=True)
class RawPart:
    """One stretch of what a store keeps, as it lies there. `pieces` are read before the next part is asked for."""

    where: str
    """A file, page, version or key, in words that a person finds it by."""
    pieces: Iterator[bytes]
    """Its bytes in order, in pieces of at most a few megabytes."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What a store can and cannot do; the certificate repeats `limits` word by word."""

    kind: str
    best_gone: Gone
    keeps_history: bool
    limits: tuple[str, ...]
    method: str = "erased by the store"
    """How it erases, in a few words; the certificate prints it."""


@runtime_checkable
class Store(Protocol):
    """One place where bytes live. Instances are cheap, hold no open files between calls, and pickle."""

    @property
    def id(self) -> StoreId:
        """The name under which the workspace knows this store."""

    @property
    def location(self) -> str:
        """Where it is: a path or URL, as the user gave it."""

    def capability(self) -> Capability:
        """What it can do, and what it cannot."""

    def scan(self) -> Iterator[Member | Skipped]:
        """Every member of every object, object by object, both in a stable order.

        MUST list each member once; MUST NOT follow anything that leads out of the store; MUST yield what it passes over as
        `Skipped`.

        Raises:
            StoreUnreachable: the root is not there. An absent root is never an empty store.
        """

    def read(self, object_name: str, selector: str, *, limit_bytes: int | None = None) -> bytes:
        """The bytes of one member.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it is not there, is not a plain member, or is larger than `limit_bytes`.
        """

    def stamps(self, object_name: str, selectors: Sequence[str]) -> list[str | None]:
        """The present stamp of each member, None where it is absent. SHOULD NOT read the bytes where the format has another way."""

    def erase(self, object_name: str, targets: Sequence[Target]) -> Erased:
        """Take the members out of the object.

        MUST be idempotent; MUST leave every other member byte-identical; MUST survive a kill at any instruction, so that the
        same call afterwards finishes the work; MUST have reached the disk when it returns; MUST NOT call a member erased
        while any version that this store can reach still holds its bytes.

        Raises:
            PathEscape: a name leads out of the store; nothing was erased.
            StoreUnreachable: the root is not there.
        """

    def probe(self, object_name: str, selectors: Sequence[str]) -> tuple[Residue, ...]:
        """Look again with fresh eyes: nothing cached, nothing remembered from `erase`."""

    def raw(self) -> Iterator[RawPart | Skipped]:
        """Everything that this store keeps and can reach, as it lies there: what the format's reader shows and what it does not.

        Old versions, free pages, slack, side-cars, left-over temporary files: whatever may hold an erased byte. The search for
        residue runs over it. What cannot be read so MUST be yielded as `Skipped` with its reason, never left out.

        Raises:
            StoreUnreachable: the root is not there.
        """

    def tidy(self, object_names: Sequence[str]) -> tuple[str, ...]:
        """Remove those of the objects that hold nothing any more, and what that leaves empty above them; the names removed.

        Names of objects may name people, so an order takes them too. MUST NOT remove anything that holds a member or anything
        else; MUST NOT remove the root; MUST be idempotent. Stores whose objects vanish with their last member do nothing.
        """

    def history(self, object_name: str) -> tuple[HeldVersion, ...]:
        """Versions, snapshots and backups of the object that this store knows of and that still hold bytes."""


@runtime_checkable
class ReadsMany(Protocol):
    """Offered by stores in which reading members one by one costs more than reading them together: tables, compressed shards."""

    def read_many(
        self, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
    ) -> Iterator[tuple[str, bytes | StoreError]]:
        """The bytes of many members of one object, each once, in whatever order is cheapest; or why one cannot be read.

        MUST go through the object once, however many selectors there are, and hold no more than a few members at a time.

        Raises:
            PathEscape: a name leads out of the store.
            StoreUnreachable: the root is not there.
        """


def read_many(
    store: Store, object_name: str, selectors: Sequence[str], *, limit_bytes: int | None = None
) -> Iterator[tuple[str, bytes | StoreError]]:
    """The bytes of many members, by the store's own way where it has one, otherwise one by one."""
    if isinstance(store, ReadsMany):
        yield from store.read_many(object_name, selectors, limit_bytes=limit_bytes)
        return
    for selector in selectors:
        try:
            yield selector, store.read(object_name, selector, limit_bytes=limit_bytes)
        except StoreError as error:
            yield selector, error


@runtime_checkable
class Compacts(Protocol):
    """Offered by stores whose objects keep the space of what was erased in place until it is given back."""

    def compact(self, object_name: str) -> int:
        """Give the space back; how many bytes the object became smaller. The members are as they were.

        Raises:
            PathEscape: the name leads out of the store.
            StoreError: it could not be done; the object is as it was.
        """
