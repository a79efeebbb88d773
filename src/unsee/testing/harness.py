"""What a store's author gives the contract suite: a harness; and what all tests of the suite share."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Protocol, Self

import pytest

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Erased, Member, RawPart, Store, Target
from unsee.testing.faults import WRITES
from unsee.testing.syscalls import Failed

NAMES = ("alpha.jpg", "beta.jpg", "gamma.jpg", "delta.jpg")
MARKER_BYTES = 32
"""So many of a member's first bytes are its own, and are searched for."""

Contents = Mapping[tuple[str, str], bytes]
"""(object, selector) to bytes."""


class StoreHarness(Protocol):
    """Makes stores of one kind below a directory of the test. What it may say besides: `More`."""

    objects: Sequence[str]
    """Names of at least two objects that can be filled."""
    escapes: Sequence[tuple[str, str]]
    """(object, selector) pairs that point out of a store of this kind."""

    def make(self, at: Path) -> Store:
        """A store at this empty, existing directory, or at the place that this directory stands for."""

    def put(self, store: Store, object_name: str, selector: str, data: bytes) -> None:
        """Write a member as the programs do that use such stores, not through unsee; replaces a member of that name."""

    def raw_finds(self, store: Store, marker: bytes) -> Sequence[str]:
        """Where these bytes still lie in the storage: files, versions, slack. Empty when nowhere."""

    def take_root_away(self, store: Store) -> None:
        """Make the root absent, as an unmounted disk or a removed bucket is."""


@dataclass(frozen=True, slots=True)
class More:
    """What a harness may say of its format beyond `StoreHarness`: attributes and methods of these names. Each has a default."""

    plain: bool = True
    """Members lie in the storage byte for byte. False where they are compressed or encrypted: `raw` is then not searched for what
    is there, only for what must be gone."""
    moves: bool = False
    """Replacing one member, as other tools do it, may renew the stamps of others in its object."""
    local: bool = False
    """All that the store keeps lies below the directory given to `make`. The suite then copies it back instead of filling it anew,
    which is faster, and takes the permission to write away by itself."""
    kills: int = 40
    """About so many kills, and so many faults, at system calls in the fast suite. The slow suite tries every call."""
    writes: frozenset[str] = WRITES
    """The calls from Python at which `erase` is killed one by one. A store behind a network adds those that send."""
    siblings: Sequence[str] = ()
    """Selectors that `put` makes members of one sample with `names[0]`, as `000123.json` is of `000123.jpg`."""
    not_while_read: str = ""
    """Why no other program can read an object while it is erased from. The store MUST have this sentence among its limits."""
    foreign_contents: Callable[[Store], Contents] | None = None
    """All members and their bytes through the *other* tool's reader (webdataset, pyarrow, lance …), by the selectors of the store.
    What is absent is left out; what cannot be read raises. Called in other processes too: the harness MUST then pickle."""
    deny: Callable[[Store, str], Callable[[], object]] | None = None
    """Takes the permission to change an object away; returns what gives it back."""
    hold: Callable[[Store, str, str], object] | None = None
    """Puts a member (object, selector) under a rule of the place that forbids to erase it (Object Lock, a legal hold)."""

    forgives: Callable[[Failed, Erased], bool] | None = None
    """Of a flush that failed while `erase` kept nothing: whether what it flushed takes nothing away from what is claimed, such as
    a journal that would only roll back. Without it any failed flush MUST keep something. Say why in its docstring."""

    @classmethod
    def of(cls, harness: StoreHarness) -> Self:
        """What this harness says, with the defaults for what it does not."""
        return cls(**{f.name: getattr(harness, f.name) for f in fields(cls) if hasattr(harness, f.name)})


def marked(object_name: str, selector: str, length: int = 700) -> bytes:
    """Bytes of a member: incompressible, its own, and found again by their first 32."""
    seed = hashlib.sha256(f"{object_name}\0{selector}".encode()).digest()
    blocks = [seed] + [hashlib.sha256(seed + bytes([n])).digest() for n in range(length // 32 + 1)]
    return b"".join(blocks)[:length]


def must(rule: str, holds: bool, detail: object = "") -> None:
    """Fail with the rule's words unless it holds."""
    if not holds:
        raise AssertionError(f"A store MUST {rule}. {detail}")


def contents(store: Store) -> dict[tuple[str, str], bytes]:
    """All members and their bytes, through the store's own scan and read."""
    return {(m.object, m.selector): store.read(m.object, m.selector) for m in members(store)}


def contents_meanwhile(store: Store) -> dict[tuple[str, str], bytes]:
    """As `contents`, while others erase: a member that goes between the listing and the reading is left out."""
    found: dict[tuple[str, str], bytes] = {}
    for member in members(store):
        try:
            found[member.object, member.selector] = store.read(member.object, member.selector)
        except StoreError:
            if store.stamps(member.object, [member.selector]) != [None]:
                raise
    return found


def members(store: Store) -> list[Member]:
    """The members that a scan lists."""
    return [found for found in store.scan() if isinstance(found, Member)]


def targets_of(store: Store, object_name: str, selectors: Sequence[str]) -> list[Target]:
    """Members as targets, with their present stamps."""
    stamps = store.stamps(object_name, selectors)
    return [Target(selector, stamp) for selector, stamp in zip(selectors, stamps, strict=True)]


def raw_places(store: Store, markers: Iterable[bytes]) -> dict[bytes, list[str]]:
    """In which parts of `store.raw()` each marker lies, at any alignment, also across the border of two pieces."""
    found: dict[bytes, list[str]] = {marker: [] for marker in markers}
    overlap = max(map(len, found), default=1) - 1
    for part in store.raw():
        if not isinstance(part, RawPart):
            continue
        tail = b""
        for piece in part.pieces:
            window = tail + piece
            for marker, places in found.items():
                if marker in window and part.where not in places:
                    places.append(part.where)
            tail = window[-overlap:] if overlap else b""
    return found


def store_id(name: str = "store-under-test") -> StoreId:
    """An id for a store in a test."""
    return StoreId(name)


class Erasing:
    """One call of `erase`, which pickles with whatever store stands now; `reset` makes the world before it anew."""

    def __init__(self, make: Callable[[], Store], object_name: str, selectors: Sequence[str]) -> None:
        self._make, self.object_name, self.selectors = make, object_name, selectors
        self.reset()

    def reset(self) -> None:
        """The world as it was before the call."""
        self.store = self._make()
        self.targets = targets_of(self.store, self.object_name, self.selectors)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_make": None}

    def __call__(self) -> Erased:
        """Erase."""
        return self.store.erase(self.object_name, self.targets)


class ContractBase:
    """Fixtures and words that all parts of the suite share."""

    names: ClassVar[Sequence[str]] = NAMES
    """Selectors of the four members of each object. Override them where selectors are not free text (the ids of vectors)."""

    def data(self, object_name: str, selector: str, length: int = 700) -> bytes:
        """The bytes of one member. Override it where members have one size or hold numbers; the first 32 bytes MUST be its own."""
        return marked(object_name, selector, length)

    @pytest.fixture
    def harness(self) -> StoreHarness:
        """The harness of the kind under test."""
        raise NotImplementedError("give the test class a fixture named harness")

    @pytest.fixture
    def fill(self, harness: StoreHarness, tmp_path: Path) -> Callable[..., Store]:
        """Makes a store with four members in each object, anew at each call."""
        numbers: Iterator[int] = iter(range(1_000_000))
        return lambda: self.filled(harness, tmp_path / f"store-{next(numbers)}")

    @pytest.fixture
    def store(self, fill: Callable[..., Store]) -> Store:
        """One filled store."""
        return fill()

    def filled(self, harness: StoreHarness, at: Path) -> Store:
        """A store at this directory, which is made, with four members in each object."""
        at.mkdir()
        store = harness.make(at)
        for object_name in harness.objects:
            for selector in self.names:
                harness.put(store, object_name, selector, self.data(object_name, selector))
        return store

    def erasing(
        self, harness: StoreHarness, tmp_path: Path, fill: Callable[..., Store], object_name: str, going: Sequence[str]
    ) -> Erasing:
        """A call of `erase` over the members `going`, and the world before it, which can be made anew."""
        if not More.of(harness).local:
            return Erasing(fill, object_name, going)
        at, as_it_was = tmp_path / "erased", tmp_path / "as-it-was"
        store = self.filled(harness, at)
        subprocess.run(["cp", "-a", str(at), str(as_it_was)], check=True)

        def again() -> Store:
            shutil.rmtree(at)
            subprocess.run(["cp", "-a", str(as_it_was), str(at)], check=True)
            return store

        return Erasing(again, object_name, going)

    def finds(self, harness: StoreHarness, store: Store, object_name: str, names: Iterable[str]) -> list[str]:
        """Where bytes of these members still lie."""
        return [
            place for name in names for place in harness.raw_finds(store, self.data(object_name, name)[:MARKER_BYTES])
        ]

    def seen_by_others(
        self, harness: StoreHarness, store: Store, before: Contents, going: Iterable[tuple[str, str]]
    ) -> None:
        """Through the other tool's reader each member is whole, and only those that go may be absent."""
        look = More.of(harness).foreign_contents
        found = look(store) if look is not None else contents(store)
        compare(found, before, frozenset(going))

    def resumes(self, harness: StoreHarness, erasing: Erasing, kept: Contents, detail: object) -> None:
        """The same call finishes what was begun: nothing is kept, nothing else touched, nothing left."""
        outcome = erasing()
        self.partition(outcome, erasing.targets)
        must("finish after a kill or a fault", not outcome.kept, (detail, outcome))
        must("leave the others when it finishes", contents(erasing.store) == kept, detail)
        left = erasing.store.probe(erasing.object_name, erasing.selectors)
        must("leave no residue when it finishes", left == (), (detail, left))
        where = self.finds(harness, erasing.store, erasing.object_name, erasing.selectors)
        must("leave no bytes when it finishes", bool(not where or outcome.gone is Gone.D4), (detail, where))

    def partition(self, outcome: Erased, targets: Sequence[Target]) -> None:
        """Every target is in exactly one result, and what is kept has a reason."""
        named = [*outcome.erased, *outcome.absent, *(k.selector for k in outcome.kept)]
        must("put every target in exactly one result", sorted(named) == sorted({t.selector for t in targets}), outcome)
        must("say why it keeps a member", all(kept.reason for kept in outcome.kept), outcome)

    def raises(self, error: type[StoreError], act: Callable[[], object], what: str) -> None:
        """The call raises this error."""
        try:
            outcome = act()
        except error:
            return
        raise AssertionError(f"A store MUST raise {error.__name__}: {what}. It returned {outcome!r}")


def compare(found: Contents, before: Contents, going: frozenset[tuple[str, str]]) -> None:
    """What a reader finds while members go: the others whole, those that go whole or not at all, and nothing else."""
    lost = [key for key in before if key not in going and key not in found]
    changed = [key for key, data in found.items() if before.get(key) != data]
    must("show readers every other member at any time", not lost, lost)
    must("show readers each member whole or not at all", not changed, changed)
