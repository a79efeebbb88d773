"""The contract of one store, first part: what is listed, read, erased and refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from unsee.core.errors import PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.stores.contract import Capability, ReadsMany, Store, Target, same_stamp
from unsee.testing.harness import ContractBase, More, StoreHarness, contents, members, must, targets_of

_STEPS = tuple(Gone)


class MembersContract(ContractBase):
    """Listing, reading, stamps, erasing, probing, names that lead out, an absent root."""

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
        self.raises(
            StoreError, lambda: store.read(harness.objects[0], self.names[0], limit_bytes=length - 1), "limit_bytes"
        )
        self.raises(StoreError, lambda: store.read(harness.objects[0], "no-such.jpg"), "an absent member")

    def test_stamps_tell_presence_and_change(self, harness: StoreHarness, store: Store) -> None:
        """Stamps equal those of the listing until the bytes are replaced."""
        name = harness.objects[0]
        listed = {m.selector: m.stamp for m in members(store) if m.object == name}
        asked = [*self.names, "no-such.jpg"]
        seen = store.stamps(name, asked)
        given = all(same_stamp(s, listed.get(n)) for n, s in zip(asked, seen, strict=True))
        must("give the stamps of the listing", given and seen[-1] is None, seen)
        harness.put(store, name, self.names[0], self.data(name, "replaced", 900))
        changed = store.stamps(name, asked)
        replaced = changed[0] is not None and not same_stamp(changed[0], seen[0])
        must("change the stamp when the bytes are replaced", replaced, changed)
        if not More.of(harness).moves:
            same = all(same_stamp(now, then) for now, then in zip(changed[1:], seen[1:], strict=True))
            must("keep the stamps of untouched members", same, changed)

    def test_erase_takes_the_targets_and_nothing_else(self, harness: StoreHarness, store: Store) -> None:
        """Targets are gone from the raw storage too, others are byte-identical."""
        object_name = harness.objects[0]
        before = contents(store)
        (stamp,) = store.stamps(object_name, [self.names[0]])
        targets = [Target(self.names[0], stamp), Target(self.names[2]), Target("no-such.jpg")]
        outcome = store.erase(object_name, targets[1:] + targets[:1])
        self.partition(outcome, targets)
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
        self.partition(outcome, targets)
        kept = [k.selector for k in outcome.kept]
        must("keep a member whose stamp changed", self.names[1] in kept, outcome)
        must("erase those whose stamp did not change", More.of(harness).moves or kept == [self.names[1]], outcome)
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
                self.raises(PathEscape, act, f"{what} of {selector!r} in {object_name!r}")
        must("erase nothing when a name leads out", contents(store) == before)

    def test_an_absent_root_is_never_an_empty_store(self, harness: StoreHarness, store: Store) -> None:
        """Without its root a store says so."""
        harness.take_root_away(store)
        object_name = harness.objects[0]
        self.raises(StoreUnreachable, lambda: list(store.scan()), "scan")
        self.raises(StoreUnreachable, lambda: store.erase(object_name, [Target(self.names[0])]), "erase")
        self.raises(StoreUnreachable, lambda: store.probe(object_name, [self.names[0]]), "probe")
        self.raises(StoreUnreachable, lambda: store.stamps(object_name, [self.names[0]]), "stamps")
        self.raises(StoreError, lambda: store.read(object_name, self.names[0]), "read")

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
        store.erase(emptied, targets_of(store, emptied, [s for o, s in before if o == emptied]))
        store.tidy([emptied, other])
        kept = {key: data for key, data in before.items() if key[0] != emptied}
        must("leave every other member byte-identical when it tidies", contents(store) == kept)
        must("tidy idempotently", store.tidy([emptied, other]) == ())

    def test_many_are_read_together(self, harness: StoreHarness, store: Store) -> None:
        """A store that reads members together reads the same bytes, each once, and says of one why it cannot."""
        if not isinstance(store, ReadsMany):
            pytest.skip("this store reads members one by one")
        object_name = harness.objects[0]
        found = list(store.read_many(object_name, [*self.names, "no-such.jpg"]))
        must(
            "answer for each selector once", sorted(s for s, _ in found) == sorted([*self.names, "no-such.jpg"]), found
        )
        read = {selector: data for selector, data in found if isinstance(data, bytes)}
        must("read together what it reads alone", read == {n: store.read(object_name, n) for n in self.names})
        size = len(self.data("", ""))
        small = [data for _, data in store.read_many(object_name, self.names[:2], limit_bytes=size - 1)]
        must("hold each member to limit_bytes", all(isinstance(data, StoreError) for data in small), small)

    def test_members_of_one_sample_are_listed_with_it(self, harness: StoreHarness, store: Store) -> None:
        """What readers hand out together carries one sample's name; `erase` takes its targets only."""
        siblings, object_name = More.of(harness).siblings, harness.objects[0]
        if not siblings:
            pytest.skip("the harness names no siblings: members of this kind stand alone")
        for name in siblings:
            harness.put(store, object_name, name, self.data(object_name, name))
        sample_of = {m.selector: m.sample for m in members(store) if m.object == object_name}
        together = {sample_of[name] for name in (self.names[0], *siblings)}
        must("give members of a sample its name", len(together) == 1 and together != {""}, sample_of)
        must("give other members another sample", together.isdisjoint(sample_of[n] for n in self.names[1:]), sample_of)
        outcome = store.erase(object_name, targets_of(store, object_name, self.names[:1]))
        must("erase a member of a sample", outcome.erased == (self.names[0],), outcome)
        left = {m.selector for m in members(store) if m.object == object_name}
        must("erase its targets only", left == {*self.names[1:], *siblings}, left)

    def test_what_a_rule_holds_is_kept_as_held(self, harness: StoreHarness, store: Store) -> None:
        """Object Lock, a legal hold: the member stays whole and the result says that it is held."""
        hold, object_name = More.of(harness).hold, harness.objects[0]
        if hold is None:
            pytest.skip("the harness names no rule of the place that could hold a member")
        before = contents(store)
        hold(store, object_name, self.names[0])
        outcome = store.erase(object_name, targets_of(store, object_name, self.names[:2]))
        held = [k.selector for k in outcome.kept if k.held]
        must("keep what is held, and say that it is", held == [self.names[0]], outcome)
        must("erase the others", outcome.erased == (self.names[1],), outcome)
        del before[object_name, self.names[1]]
        must("leave what is held as it was", contents(store) == before)
