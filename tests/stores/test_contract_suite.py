"""The contract suite can fail: each broken store goes red at the test that names its fault."""

import inspect
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from test_files_contract import FileHarness

from unsee.core.errors import PathEscape, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.stores.contract import Erased
from unsee.stores.files import FileStore
from unsee.testing.stores import StoreContract, marked


@dataclass(frozen=True)
class Broken(FileStore):
    fault: str = ""

    def scan(self):
        if self.fault == "an absent root is empty" and not Path(self.location).exists():
            return
        found = list(super().scan())
        if self.fault == "lists twice":
            found += found[:1]
        if self.fault == "order changes":
            found = sorted(found, key=lambda _: os.urandom(4))
        yield from found

    def capability(self):
        best = Gone.D1 if self.fault == "claims too much" else Gone.D2
        return replace(super().capability(), best_gone=best)

    def stamps(self, object_name, selectors):
        found = super().stamps(object_name, selectors)
        return [stamp and "always" for stamp in found] if self.fault == "stamps never change" else found

    def probe(self, object_name, selectors):
        return () if self.fault == "probe is blind" else super().probe(object_name, selectors)

    def erase(self, object_name, targets):
        match self.fault:
            case "ignores stamps":
                targets = [replace(t, stamp=None) for t in targets]
            case "swallows escapes":
                try:
                    return super().erase(object_name, targets)
                except PathEscape:
                    return Erased((), (), (), Gone.D2)
            case "erases before it checks":
                for target in targets:
                    super().erase(object_name, [target])
            case "renames":
                for target in targets:
                    path = Path(self.location, object_name, target.selector)
                    if path.exists():
                        path.rename(Path(self.location) / ("hidden" + target.selector))
                return replace(
                    super().erase(object_name, targets), erased=tuple(t.selector for t in targets), absent=()
                )
            case "rewrites the others":
                outcome = super().erase(object_name, targets)
                for other in Path(self.location, object_name).glob("*.jpg"):
                    other.write_bytes(other.read_bytes()[:-1])
                return outcome
            case "half a copy at a kill":
                for other in Path(self.location, object_name).glob("*.jpg"):
                    data = other.read_bytes()
                    other.write_bytes(data)
        return super().erase(object_name, targets)


RED = {
    "lists twice": "test_scan_lists_each_member_once",
    "order changes": "test_scan_is_stable_and_goes_object_by_object",
    "an absent root is empty": "test_an_absent_root_is_never_an_empty_store",
    "claims too much": "test_erase_takes_the_targets_and_nothing_else",
    "stamps never change": "test_stamps_tell_presence_and_change",
    "probe is blind": "test_probe_finds_what_is_left",
    "ignores stamps": "test_erase_keeps_what_changed_since",
    "swallows escapes": "test_nothing_leads_out",
    "erases before it checks": "test_nothing_leads_out",
    "renames": "test_erase_takes_the_targets_and_nothing_else",
    "rewrites the others": "test_erase_takes_the_targets_and_nothing_else",
    "half a copy at a kill": "test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes",
}


class Harness(FileHarness):
    def __init__(self, fault):
        super().__init__(overwrite=False)
        self.fault = fault

    def make(self, at):
        store = super().make(at)
        return Broken(store.id, store.location, fault=self.fault)


def run(test, fault, tmp_path):
    harness, suite = Harness(fault), StoreContract()
    made = []

    def fill():
        made.append(None)
        at = tmp_path / str(len(made))
        at.mkdir()
        store = harness.make(at)
        for object_name in harness.objects:
            for selector in ("alpha.jpg", "beta.jpg", "gamma.jpg", "delta.jpg"):
                harness.put(store, object_name, selector, marked(object_name, selector))
        return store

    method = getattr(suite, test)
    given = {"harness": harness, "fill": fill, "tmp_path": tmp_path}
    wanted = inspect.signature(method).parameters
    method(**{n: fill() if n == "store" else given[n] for n in wanted})


@pytest.mark.parametrize(("fault", "test"), RED.items())
def test_a_broken_store_goes_red(fault, test, tmp_path):
    with pytest.raises((AssertionError, StoreUnreachable)) as caught:
        run(test, fault, tmp_path)
    assert "MUST" in str(caught.value)


def test_every_test_of_the_suite_is_green_on_the_whole_store(tmp_path):
    names = [n for n in dir(StoreContract) if n.startswith("test_")]
    assert set(RED.values()) <= set(names)
    for name in names:
        (tmp_path / name).mkdir()
        run(name, "", tmp_path / name)
