"""The contract of `unsee.stores.contract`, proven on a store: each MUST is a test. For pytest.

Write a harness for your store and inherit the suite::

    class MyHarness:                                   # a StoreHarness
        ...

    class TestMyStore(StoreContract):
        @pytest.fixture
        def harness(self) -> StoreHarness:
            return MyHarness()

What the suite cannot know of a format — its versions, dictionaries, slack — your harness answers in `raw_finds`: it looks for
marked bytes in everything that the store keeps, not only where the format's reader looks.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from unsee.core.errors import PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores.contract import Capability, Erased, Member, Store, Target
from unsee.testing.faults import kill_everywhere

_STEPS = tuple(Gone)
_NAMES = ("alpha.jpg", "beta.jpg", "gamma.jpg", "delta.jpg")


class StoreHarness(Protocol):
    """Makes stores of one kind below a directory of the test."""

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


def members(store: Store) -> list[Member]:
    """The members that a scan lists."""
    return [found for found in store.scan() if isinstance(found, Member)]


class StoreContract:
    """Inherit this, and give it a fixture `harness`. Test classes begin with `Test`."""

    names: ClassVar[Sequence[str]] = _NAMES
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

        def filled() -> Store:
            at = tmp_path / f"store-{next(numbers)}"
            at.mkdir()
            store = harness.make(at)
            for object_name in harness.objects:
                for selector in self.names:
                    harness.put(store, object_name, selector, self.data(object_name, selector))
            return store

        return filled

    @pytest.fixture
    def store(self, fill: Callable[..., Store]) -> Store:
        """One filled store."""
        return fill()

    def test_is_a_store(self, store: Store) -> None:
        """Every method is there, and the capability is stated in sentences."""
        must("implement every method of the contract", isinstance(store, Store))
        capability = store.capability()
        must("state what it can do", isinstance(capability, Capability) and bool(capability.kind))
        must("state limits as sentences", all(limit.endswith(".") for limit in capability.limits), capability.limits)

    def test_pickles(self, store: Store) -> None:
        """A store travels to a worker process."""
        again: Store = pickle.loads(pickle.dumps(store))  # noqa: S301  made in this line
        must("pickle", (again.id, again.location) == (store.id, store.location))
        must("see the same after it was pickled", list(again.scan()) == list(store.scan()))

    def test_scan_lists_each_member_once(self, harness: StoreHarness, store: Store) -> None:
        """All members, each once, with their size."""
        found = [(m.object, m.selector) for m in members(store)]
        must("list each member once", len(found) == len(set(found)), found)
        must("list every member", set(found) == {(o, n) for o in harness.objects for n in self.names}, found)
        sizes = {m.size_bytes for m in members(store)}
        must("list the size of a member's bytes", sizes == {len(self.data("", ""))}, sizes)

    def test_scan_is_stable_and_goes_object_by_object(self, store: Store) -> None:
        """Two scans of the same store are equal."""
        first, second = list(store.scan()), list(store.scan())
        must("list in a stable order", first == second)
        order = [found.object for found in first]
        blocks = [name for n, name in enumerate(order) if n == 0 or order[n - 1] != name]
        must("finish an object before it begins the next", len(blocks) == len(set(blocks)), blocks)

    def test_read_returns_the_bytes(self, harness: StoreHarness, store: Store) -> None:
        """The bytes as written; the limit holds."""
        for object_name in harness.objects:
            for name in self.names:
                data = store.read(object_name, name)
                must("read what was written", data == self.data(object_name, name), (object_name, name))
        length = len(self.data("", ""))
        must("read up to the limit", len(store.read(harness.objects[0], self.names[0], limit_bytes=length)) == length)
        self._raises(
            StoreError, lambda: store.read(harness.objects[0], self.names[0], limit_bytes=length - 1), "limit_bytes"
        )
        self._raises(StoreError, lambda: store.read(harness.objects[0], "no-such.jpg"), "an absent member")

    def test_stamps_tell_presence_and_change(self, harness: StoreHarness, store: Store) -> None:
        """Stamps equal those of the listing until the bytes are replaced."""
        name = harness.objects[0]
        listed = {m.selector: m.stamp for m in members(store) if m.object == name}
        asked = [*self.names, "no-such.jpg"]
        seen = store.stamps(name, asked)
        must("give the stamps of the listing", seen == [*(listed[n] for n in self.names), None], seen)
        harness.put(store, name, self.names[0], self.data(name, "replaced", 900))
        changed = store.stamps(name, asked)
        must("change the stamp when the bytes are replaced", changed[0] not in {seen[0], None}, changed)
        must("keep the stamps of untouched members", changed[1:] == seen[1:], changed)

    def test_erase_takes_the_targets_and_nothing_else(self, harness: StoreHarness, store: Store) -> None:
        """Targets are gone from the raw storage too, others are byte-identical."""
        object_name = harness.objects[0]
        before = contents(store)
        (stamp,) = store.stamps(object_name, [self.names[0]])
        targets = [Target(self.names[0], stamp), Target(self.names[2]), Target("no-such.jpg")]
        outcome = store.erase(object_name, targets[1:] + targets[:1])
        self._partition(outcome, targets)
        must("erase its targets", set(outcome.erased) == {self.names[0], self.names[2]}, outcome)
        must("call absent what was not there", outcome.absent == ("no-such.jpg",), outcome)
        for name in (self.names[0], self.names[2]):
            del before[object_name, name]
            where = harness.raw_finds(store, self.data(object_name, name)[:32])
            if outcome.gone is not Gone.D4:  # a destroyed key leaves bytes that nobody can read
                must("leave no bytes of an erased member within its reach", not where, where)
        must("leave every other member byte-identical", contents(store) == before)
        best = store.capability().best_gone
        must(
            "claim no more than its capability", _STEPS.index(outcome.gone) <= _STEPS.index(best), (outcome.gone, best)
        )

    def test_erase_is_idempotent(self, harness: StoreHarness, store: Store) -> None:
        """The second call finds everything absent and changes nothing."""
        object_name = harness.objects[1]
        targets = [Target(m.selector, m.stamp) for m in members(store) if m.object == object_name][:2]
        first = store.erase(object_name, targets)
        after = contents(store)
        second = store.erase(object_name, targets)
        must("be idempotent", not second.erased and not second.kept and set(second.absent) == set(first.erased), second)
        must("change nothing when all is done", contents(store) == after)
        nothing = store.erase(object_name, [])
        must(
            "do nothing when asked for nothing", (nothing.erased, nothing.absent, nothing.kept) == ((), (), ()), nothing
        )

    def test_erase_keeps_what_changed_since(self, harness: StoreHarness, store: Store) -> None:
        """A member with another stamp is kept, with a reason."""
        object_name = harness.objects[0]
        targets = [Target(m.selector, m.stamp) for m in members(store) if m.object == object_name]
        harness.put(store, object_name, self.names[1], self.data(object_name, "replaced", 900))
        outcome = store.erase(object_name, targets)
        self._partition(outcome, targets)
        must("keep a member whose stamp changed", [k.selector for k in outcome.kept] == [self.names[1]], outcome)
        must("say why it kept it", bool(outcome.kept[0].reason))
        must("keep the new bytes", store.read(object_name, self.names[1]) == self.data(object_name, "replaced", 900))

    def test_a_target_listed_twice_is_in_one_result(self, harness: StoreHarness, store: Store) -> None:
        """Doubles do not double the result."""
        targets = [Target(self.names[0]), Target(self.names[0]), Target("no-such.jpg"), Target("no-such.jpg")]
        outcome = store.erase(harness.objects[0], targets)
        must("list a target once", (outcome.erased, outcome.absent) == ((self.names[0],), ("no-such.jpg",)), outcome)

    def test_an_absent_object_holds_nothing(self, store: Store) -> None:
        """An object that is not there is no error."""
        before = contents(store)
        outcome = store.erase("no-such-object", [Target(self.names[0])])
        must(
            "call members of an absent object absent",
            outcome.absent == (self.names[0],) and not outcome.erased,
            outcome,
        )
        must("give no stamp of them", store.stamps("no-such-object", [self.names[0]]) == [None])
        must("find no residue of them", store.probe("no-such-object", [self.names[0]]) == ())
        must("touch nothing else", contents(store) == before)

    def test_nothing_leads_out(self, harness: StoreHarness, store: Store) -> None:
        """Escaping names are refused by every method, before anything is erased."""
        before = contents(store)
        inside = (harness.objects[0], self.names[0])
        for object_name, selector in harness.escapes:
            both = [Target(inside[1]), Target(selector)] if object_name == inside[0] else [Target(selector)]
            acts: Mapping[str, Callable[[], object]] = {
                "erase": partial(store.erase, object_name, both),
                "read": partial(store.read, object_name, selector),
                "stamps": partial(store.stamps, object_name, [selector]),
                "probe": partial(store.probe, object_name, [selector]),
            }
            for what, act in acts.items():
                self._raises(PathEscape, act, f"{what} of {selector!r} in {object_name!r}")
        must("erase nothing when a name leads out", contents(store) == before)

    def test_an_absent_root_is_never_an_empty_store(self, harness: StoreHarness, store: Store) -> None:
        """Without its root a store says so."""
        harness.take_root_away(store)
        object_name = harness.objects[0]
        self._raises(StoreUnreachable, lambda: list(store.scan()), "scan")
        self._raises(StoreUnreachable, lambda: store.erase(object_name, [Target(self.names[0])]), "erase")
        self._raises(StoreUnreachable, lambda: store.probe(object_name, [self.names[0]]), "probe")
        self._raises(StoreUnreachable, lambda: store.stamps(object_name, [self.names[0]]), "stamps")
        self._raises(StoreError, lambda: store.read(object_name, self.names[0]), "read")

    def test_probe_finds_what_is_left(self, harness: StoreHarness, store: Store) -> None:
        """A probe reports what is there, was left, or came back."""
        object_name = harness.objects[0]
        must(
            "find what is there",
            {r.selector for r in store.probe(object_name, [*self.names, "no-such.jpg"])} == set(self.names),
        )
        store.erase(object_name, [Target(self.names[0]), Target(self.names[1])])
        left = {r.selector for r in store.probe(object_name, self.names)}
        must("find what is left and nothing else", left == {self.names[2], self.names[3]}, left)
        harness.put(store, object_name, self.names[0], self.data(object_name, "returned"))
        must("look with fresh eyes", [r.selector for r in store.probe(object_name, [self.names[0]])] == [self.names[0]])

    def test_tidy_takes_empty_objects_only(self, harness: StoreHarness, store: Store) -> None:
        """What still holds a member stays, and a second call finds nothing to do."""
        emptied, other = harness.objects[:2]
        before = contents(store)
        must("leave objects that hold members", store.tidy([emptied, other]) == () and contents(store) == before)
        store.erase(emptied, _targets(store, emptied, [s for o, s in before if o == emptied]))
        store.tidy([emptied, other])
        kept = {key: data for key, data in before.items() if key[0] != emptied}
        must("leave every other member byte-identical when it tidies", contents(store) == kept)
        must("tidy idempotently", store.tidy([emptied, other]) == ())

    def test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(
        self, harness: StoreHarness, fill: Callable[..., Store]
    ) -> None:
        """SIGKILL at every call that writes; then look, resume, look again."""
        object_name = harness.objects[0]
        store = fill()
        before = contents(store)
        going = self.names[:3]
        world = _World(store, object_name, _targets(store, object_name, going))

        def renew() -> None:
            fresh = fill()
            world.renew(fresh, _targets(fresh, object_name, going))

        kept = {key: data for key, data in before.items() if key[0] != object_name or key[1] not in going}
        for killed in kill_everywhere(world, reset=renew):
            found = contents(world.store)
            lost = [key for key, data in kept.items() if found.get(key) != data]
            must("leave every other member byte-identical under a kill", not lost, (killed, lost))
            outcome = world.store.erase(object_name, world.targets)
            self._partition(outcome, world.targets)
            must("finish after a kill", not outcome.kept, (killed, outcome))
            must("leave the others when it finishes", contents(world.store) == kept, killed)
            must("leave no residue when it finishes", world.store.probe(object_name, going) == (), killed)
            for name in going:
                where = harness.raw_finds(world.store, self.data(object_name, name)[:32])
                must("leave no bytes when it finishes", bool(not where or outcome.gone is Gone.D4), (killed, where))

    def _partition(self, outcome: Erased, targets: Sequence[Target]) -> None:
        named = [*outcome.erased, *outcome.absent, *(k.selector for k in outcome.kept)]
        must("put every target in exactly one result", sorted(named) == sorted({t.selector for t in targets}), outcome)

    def _raises(self, error: type[StoreError], act: Callable[[], object], what: str) -> None:
        try:
            outcome = act()
        except error:
            return
        raise AssertionError(f"A store MUST raise {error.__name__}: {what}. It returned {outcome!r}")


class _World:
    """The call that is killed: pickles with whatever store stands now."""

    def __init__(self, store: Store, object_name: str, targets: Sequence[Target]) -> None:
        self.store, self.object_name, self.targets = store, object_name, targets

    def renew(self, store: Store, targets: Sequence[Target]) -> None:
        self.store, self.targets = store, targets

    def __call__(self) -> object:
        return self.store.erase(self.object_name, self.targets)


def _targets(store: Store, object_name: str, selectors: Sequence[str]) -> list[Target]:
    stamps = store.stamps(object_name, selectors)
    return [Target(selector, stamp) for selector, stamp in zip(selectors, stamps, strict=True)]


def store_id(name: str = "store-under-test") -> StoreId:
    """An id for a store in a test."""
    return StoreId(name)
