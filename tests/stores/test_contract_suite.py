"""The contract suite can fail: each broken store goes red at the test that names its fault."""

import errno
import inspect
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pyarrow import fs
from test_files_contract import FileHarness

from unsee.core.errors import PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.stores.contract import Erased, Kept, RawPart
from unsee.stores.files import FileStore
from unsee.testing.stores import StoreContract


@dataclass(frozen=True)
class Broken(FileStore):
    fault: str = ""

    def raw(self):
        match self.fault:
            case "raw is blind":
                return
            case "raw of an absent root is empty":
                if not Path(self.location).exists():
                    return
            case "raw names no place":
                yield RawPart("", iter([b"bytes"]))
            case "raw comes in one piece":
                yield RawPart("everything", iter([bytes(17 << 20)]))
        yield from super().raw()

    def read(self, object_name, selector, *, limit_bytes=None):
        data = super().read
        if self.fault == "remembers":
            key = (self.location, object_name, selector)
            return REMEMBERED[key] if key in REMEMBERED else REMEMBERED.setdefault(key, data(object_name, selector))
        return data(object_name, selector, limit_bytes=limit_bytes)

    def read_many(self, object_name, selectors, *, limit_bytes=None):
        for selector in [*selectors, *(selectors[:1] if self.fault == "reads twice" else ())]:
            try:
                yield selector, self.read(object_name, selector, limit_bytes=limit_bytes)
            except StoreError as error:
                yield selector, error if self.fault != "shows what is not there" else b""

    def scan(self):
        if self.fault == "remembers":
            yield from REMEMBERED.setdefault(self.location, list(super().scan()))
            return
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
            case "half a copy by C":
                for other in Path(self.location, object_name).glob("delta.jpg"):
                    data = other.read_bytes()
                    with fs.LocalFileSystem().open_output_stream(str(other)) as file:  # Arrow truncates and writes
                        file.write(data)
            case "lets errors out":
                outcome = super().erase(object_name, targets)
                if outcome.kept:
                    raise OSError(errno.EIO, outcome.kept[0].reason)
                return outcome
            case "believes the disk":
                outcome = super().erase(object_name, targets)
                unsure = [k for k in outcome.kept if "did not confirm" in k.reason]
                left = tuple(k for k in outcome.kept if k not in unsure)
                return replace(outcome, kept=left, erased=outcome.erased + tuple(k.selector for k in unsure))
            case "claims what it may not touch":
                outcome = super().erase(object_name, targets)
                return replace(outcome, kept=(), erased=outcome.erased + tuple(k.selector for k in outcome.kept))
            case "gives up after a fault":
                if (Path(self.location) / ".gave-up").exists():
                    return Erased((), (), tuple(Kept(t.selector, "not again") for t in targets), Gone.D2)
                outcome = super().erase(object_name, targets)
                if outcome.kept:
                    (Path(self.location) / ".gave-up").touch()
                return outcome
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
    "half a copy by C": "test_a_kill_at_system_calls_loses_nothing_and_the_same_call_finishes",
    "half a copy by C ": "test_readers_meanwhile_see_each_member_whole_or_not_at_all",
    "lets errors out": "test_a_failing_system_call_is_said_and_loses_nothing",
    "believes the disk": "test_a_failing_system_call_is_said_and_loses_nothing",
    "gives up after a fault": "test_a_failing_system_call_is_said_and_loses_nothing",
    "claims what it may not touch": "test_without_permission_members_are_kept_and_nothing_is_lost",
    "raw is blind": "test_raw_shows_all_and_nothing_of_what_was_erased",
    "renames ": "test_raw_shows_all_and_nothing_of_what_was_erased",
    "raw of an absent root is empty": "test_raw_of_an_absent_root_raises",
    "raw names no place": "test_raw_names_places_and_comes_in_pieces",
    "raw comes in one piece": "test_raw_names_places_and_comes_in_pieces",
    "remembers": "test_a_fresh_process_erases_and_another_agrees",
    "reads twice": "test_many_are_read_together",
    "shows what is not there": "test_many_are_read_together",
}
REMEMBERED = {}


class Harness(FileHarness):
    def __init__(self, fault):
        super().__init__(overwrite=False)
        self.fault = fault

    def make(self, at):
        store = super().make(at)
        return Broken(store.id, store.location, fault=self.fault.strip())


def run(test, fault, tmp_path):
    harness, suite = Harness(fault), StoreContract()
    made = []

    def fill():
        made.append(None)
        return suite.filled(harness, tmp_path / str(len(made)))

    method = getattr(suite, test)
    given = {"harness": harness, "fill": fill, "tmp_path": tmp_path, "error": errno.EIO}
    wanted = inspect.signature(method).parameters
    method(**{n: fill() if n == "store" else given[n] for n in wanted})


@pytest.mark.parametrize(("fault", "test"), RED.items())
def test_a_broken_store_goes_red(fault, test, tmp_path):
    with pytest.raises((AssertionError, StoreUnreachable)) as caught:
        run(test, fault, tmp_path)
    assert "MUST" in str(caught.value)


def test_hooks_of_python_cannot_see_what_c_writes(tmp_path):
    """Why kills at system calls are needed: the same broken store passes the kills at calls from Python."""
    run("test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes", "half a copy by C", tmp_path)


def test_every_test_of_the_suite_is_green_on_the_whole_store(tmp_path):
    names = [n for n in dir(StoreContract) if n.startswith("test_")]
    assert set(RED.values()) <= set(names)
    for name in names:
        (tmp_path / name).mkdir()
        with suppress(pytest.skip.Exception):
            run(name, "", tmp_path / name)
