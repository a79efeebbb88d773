"""The contract of one store, second part: what is left as raw bytes, and what other processes see."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from unsee.core.errors import StoreUnreachable
from unsee.core.evidence import Gone
from unsee.stores.contract import RawPart, Skipped, Store
from unsee.testing.harness import (
    MARKER_BYTES,
    Contents,
    ContractBase,
    More,
    StoreHarness,
    compare,
    contents,
    contents_meanwhile,
    must,
    raw_places,
    targets_of,
)
from unsee.testing.processes import FreshProcess, in_fresh_process
from unsee.testing.syscalls import run_slowly, system_calls

_MOST_BYTES = 16 << 20
_SLOW_S = 1.0
_ROUNDS = 3


class ResidueContract(ContractBase):
    """Raw bytes, fresh processes, readers meanwhile."""

    def test_raw_shows_all_and_nothing_of_what_was_erased(self, harness: StoreHarness, store: Store) -> None:
        """Every member's bytes are found before; none of the erased ones after, and all others still: so the search can find."""
        object_name, plain = harness.objects[0], More.of(harness).plain
        markers = {(o, n): self.data(o, n)[:MARKER_BYTES] for o in harness.objects for n in self.names}
        found = raw_places(store, markers.values())
        unseen = [key for key, marker in markers.items() if not found[marker]]
        must("show the bytes of every member in raw()", not plain or not unseen, unseen)
        going = self.names[1:3]
        outcome = store.erase(object_name, targets_of(store, object_name, going))
        must("erase what nothing forbids", set(outcome.erased) == set(going), outcome)
        found = raw_places(store, markers.values())
        for (held_in, name), marker in markers.items():
            if held_in == object_name and name in going:
                gone = not found[marker] or outcome.gone is Gone.D4
                must("show nothing of an erased member in raw()", gone, (name, found[marker]))
            else:
                must("still show every other member in raw()", not plain or bool(found[marker]), (held_in, name))

    def test_raw_names_places_and_comes_in_pieces(self, store: Store) -> None:
        """Each part says where it lies; no piece fills the memory; what cannot be read is said."""
        count = 0
        for part in store.raw():
            if isinstance(part, Skipped):
                must("say why a part of raw() is skipped", bool(part.reason), part)
                continue
            must("yield parts and what it skips, nothing else", isinstance(part, RawPart), part)
            must("name where a part of raw() lies", bool(part.where), part)
            for piece in part.pieces:
                count += 1
                must("yield pieces of a few megabytes", 0 < len(piece) <= _MOST_BYTES, (part.where, len(piece)))
        must("show raw bytes", count > 0)

    def test_raw_of_an_absent_root_raises(self, harness: StoreHarness, store: Store) -> None:
        """Not seeing is not the same as nothing there."""
        harness.take_root_away(store)
        self.raises(StoreUnreachable, lambda: list(store.raw()), "raw")

    def test_a_fresh_process_erases_and_another_agrees(self, harness: StoreHarness, store: Store) -> None:
        """Nothing is remembered in a process: one erases, one probes, one reads."""
        object_name, going = harness.objects[0], self.names[:2]
        before = contents(store)
        targets = targets_of(store, object_name, going)
        outcome = in_fresh_process(partial(store.erase, object_name, targets))
        must("erase in a fresh process", set(outcome.erased) == set(going), outcome)
        left = in_fresh_process(partial(store.probe, object_name, self.names))
        must("be probed in a fresh process", {r.selector for r in left} == set(self.names) - set(going), left)
        kept = {key: data for key, data in before.items() if key not in {(object_name, name) for name in going}}
        must("show a fresh process the others", in_fresh_process(partial(contents, store)) == kept)
        must("show this process the same", contents(store) == kept)

    def test_readers_meanwhile_see_each_member_whole_or_not_at_all(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> None:
        """Another process reads in a loop while `erase` runs: with a pause before each call that writes, then at full speed."""
        more, object_name, going = More.of(harness), harness.objects[0], self.names[:3]
        if more.not_while_read:
            limits = fill().capability().limits
            must("say in its limits that it cannot be read meanwhile", more.not_while_read in limits, limits)
            return
        erasing = self.erasing(harness, tmp_path, fill, object_name, going)
        calls = len(system_calls(erasing, timeout_s=120))
        with FreshProcess() as reader:
            for number in range(_ROUNDS):
                erasing.reset()
                before = contents(erasing.store)
                look = partial(more.foreign_contents or contents_meanwhile, erasing.store)
                running, stop = tmp_path / f"reading-{number}", tmp_path / f"stop-{number}"
                expected = frozenset((object_name, name) for name in going)
                reader.start(partial(_read_until_told, look, before, expected, running, stop))
                while not running.exists() and not reader.ended():
                    time.sleep(0.002)
                if number == 0:
                    run_slowly(erasing, pause_s=_SLOW_S / calls, timeout_s=120)
                else:
                    erasing()
                stop.touch()
                must("erase while others read", reader.answer() > 1)
                must("be done when it returns", set(contents(erasing.store)) == set(before) - expected)


def _read_until_told(
    look: Callable[[], Contents], before: Contents, going: frozenset[tuple[str, str]], running: Path, stop: Path
) -> int:
    """Read until the file `stop` is there and once more; how often. Raises at the first reading that shows garbage or fails."""
    times, last = 0, False
    while not last:
        last = stop.exists()
        compare(look(), before, going)
        times += 1
        running.touch()
    return times
