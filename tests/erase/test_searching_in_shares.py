"""The search for residue share by share: what it could not look into is said, and a search that sees nothing proves nothing."""

import errno
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from unsee.core.errors import StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import ItemSet, StoreId
from unsee.engine.outcome import Done
from unsee.erase import fresh, residue
from unsee.erase.executor import _by_item, _together
from unsee.erase.fresh import Share, StoreSearched
from unsee.erase.journal import Entry
from unsee.erase.looking import Seen
from unsee.erase.walk import PlaceSeen, Walk
from unsee.match.anchors import AnchorKey, AnchorSearch
from unsee.match.suppression import Likeness, Match
from unsee.stores.contract import Erased, Kept, Member, RawPart, Skipped
from unsee.stores.files import FileStore

KEY = bytes(range(32))
PHOTO = np.random.default_rng(7).bytes(20_000)


class Held:
    """A store of which nothing is asked but its raw bytes."""

    id = StoreId("held")

    def __init__(self, *parts):
        self.parts = parts

    def raw(self):
        yield from self.parts


def failing(error):
    yield b"x" * 100
    raise error


@pytest.fixture
def anchors(tmp_path):
    path = tmp_path / "anchors"
    path.write_bytes(AnchorKey(KEY).anchors(PHOTO).astype("<u8").tobytes())
    return path


def test_what_cannot_be_searched_is_counted_by_reason_and_the_rest_is_searched(anchors):
    seen = Share(
        Held(
            Skipped("a", "link", "a symbolic link"),
            RawPart("a/bad", failing(OSError(errno.EIO, "Input/output error"))),
            RawPart("a/gone", failing(StoreUnreachable("gone"))),
            RawPart("a/core", iter([b"dump" + PHOTO[:9_000], PHOTO[9_000:]])),
        ),
        anchors,
        KEY,
        0,
        1,
    ).run()
    assert dict(seen.not_searched) == {
        "a symbolic link": 1,
        "could not be read: Input/output error": 1,
        "could not be read: StoreUnreachable": 1,
    }
    assert (seen.parts, seen.canary_found) == (3, True)
    assert seen.hits == dict.fromkeys(AnchorKey(KEY).anchors(PHOTO).tolist(), ("a/core",))


@pytest.mark.parametrize("blind", ["search", "canary"])
def test_a_search_that_finds_nothing_or_a_canary_without_anchors_is_no_search(anchors, monkeypatch, blind):
    if blind == "search":
        monkeypatch.setattr(AnchorSearch, "search", lambda _self, _pieces: Counter())
    else:
        monkeypatch.setattr(fresh.secrets, "token_bytes", bytes)
    assert not Share(Held(RawPart("a/b", iter([b"x"]))), anchors, KEY, 0, 1).run().canary_found


def test_a_search_that_broke_off_found_no_canary_and_says_why(anchors):
    said = Share(Held(), anchors, KEY, 0, 1).failed("killed")
    assert (said.canary_found, dict(said.not_searched)) == (False, {"the search failed: killed": 1})


def test_shares_add_up_and_one_blind_share_makes_the_search_blind():
    one = StoreSearched("s", 2, 10, {7: ("a",)}, {"why": 1}, True)
    two = StoreSearched("s", 3, 20, {7: ("b",), 8: ("c",)}, {"why": 2}, False)
    assert residue._together([one, two]) == StoreSearched("s", 5, 30, {7: ("a", "b"), 8: ("c",)}, {"why": 3}, False)


def test_every_share_is_searched_in_fresh_processes(anchors, tmp_path, monkeypatch):
    def here(run, tasks, *, workers, fresh):
        assert (workers, fresh) == (3, True)
        yield from (Done(task, run(task)) for task in tasks)

    monkeypatch.setattr(residue, "run_units", here)
    place = tmp_path / "store"
    place.mkdir()
    for n in range(4):
        (place / f"{n}.bin").write_bytes(b"-" * n + PHOTO)
    (seen,) = residue.look_again({"s": FileStore(StoreId("s"), str(place))}, [], anchors, KEY, workers=3)
    assert (seen.parts, seen.size_bytes, seen.canary_found) == (4, 80_006, True)
    assert {frozenset(found) for found in seen.hits.values()} == {frozenset(f"./{n}.bin" for n in range(4))}


def test_r6_a_copy_that_was_gone_already_is_not_said_to_be_overwritten():
    unit = SimpleNamespace(number=1, targets=[SimpleNamespace(selector=s, item=i) for i, s in enumerate("abc")])
    entry = Entry("erase:1", "done", {"gone": "D3", "missing": ["b"]})
    assert _by_item(iter([unit]), {"erase:1": entry}) == {"D3": ItemSet([0, 2]), "D2": ItemSet([1])}


def test_runs_of_one_unit_add_up_to_its_targets_and_to_the_weakest_step():
    first = Erased(("a",), ("b",), (Kept("c", "it changed"), Kept("d", "it changed")), gone=Gone.D2)
    assert _together({}, first) == (["b"], "D2")
    known = {"erased": 1, "missing": ["b"], "gone": "D2", "kept": [{"selector": "c"}, {"selector": "d"}]}
    assert _together(known, Erased(("c",), ("a", "b", "d"), (), gone=Gone.D3)) == (["b", "d"], "D2")
    assert _together({**known, "gone": "D3"}, Erased((), ("a", "b", "c", "d"), (), gone=Gone.D2)) == (
        ["b", "c", "d"],
        "D3",
    )
    assert _together({**known, "gone": "D3"}, Erased(("c", "d"), ("a", "b"), (), gone=Gone.D2)) == (["b"], "D2")


class Alike:
    """A suppression list on which every picture is."""

    def match(self, pictures):
        return [Match(0, Likeness.SAME_PIXELS) for _ in pictures]


def test_what_a_walk_saw_is_told_as_what_it_is():
    walk = Walk(Alike(), ItemSet([1, 2, 3, 4]), (), {3})
    walk.places["s"] = PlaceSeen()

    def see(name, sha, recorded, *, picture=None, note=""):
        walk.see(Seen("s", Member(".", name, 10, "1"), sha, picture, note), recorded)

    see("unreadable", None, (1, b"1"), note="it is damaged")
    see("altered", b"x", (2, b"2"))
    see("twin", b"3", (3, b"3"), picture=object())
    see("other", b"4", (4, b"4"), picture=object())
    see("gone-photo", b"9", (9, b"9"), picture=object())
    walk.judge()
    assert [str(f) for f in walk.damage] == [
        "s:./unreadable: a retained photo could not be read: it is damaged",
        "s:./altered: a retained photo is not byte for byte what was taken in",
    ]
    assert [f.where for f in walk.residue] == ["s:./gone-photo"]
    assert (walk.places["s"].residue, dict(walk.not_compared)) == (1, {"it is damaged": 1})
    assert [f.reason.partition("; ")[2] for f in walk.kept] == [
        "kept as item 3, listed in the plan (rule keep-lawful)",
        "kept as item 4, another source's own photo (rule keep-lawful)",
    ]
    assert {int(f.where.split()[1]) for f in walk.missing(ItemSet([1, 2, 3, 4]))} == {1, 2}
