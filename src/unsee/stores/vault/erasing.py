"""Erasing from a vault: keys first, then what need not stay.

A kill before the key is overwritten leaves everything as it was; after it, nothing that can be read. The same call then finishes:
it notes the key as destroyed, and removes ciphertext where D4 cannot be claimed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unsee.core.errors import PathEscape, StoreError
from unsee.core.evidence import Gone
from unsee.stores import beneath, removal
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.names import ROOT, component
from unsee.stores.removal import WAITING, why
from unsee.stores.vault import index, layout, sealing
from unsee.stores.vault.index import Index, Row
from unsee.stores.vault.layout import Life
from unsee.stores.vault.ring import OpenRing
from unsee.stores.vault.sealed import NOBODY, Unsound
from unsee.stores.vault.wrapping import KeyWrapper

_FAN = re.compile("[0-9a-f]{2}")


@dataclass(slots=True)
class Erasing:
    """One call of `erase`, under the lock of the ring."""

    location: str
    object: str
    keys: OpenRing
    wrapper: KeyWrapper
    overwrite: bool
    now: int
    erased: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    steps: set[Gone] = field(default_factory=set)
    against: dict[str, None] = field(default_factory=dict)
    """Why keys that were destroyed are not called so (R8), each once."""

    def run(self, wanted: Mapping[str, Target]) -> Erased:
        """Every target in exactly one of the three, in the order of the request."""
        try:
            for life in layout.lives(self.location, self.object):
                if not self.keys.live(life.slot, life.key_id):
                    self._finish_dead(life, wanted)
                else:
                    self._take(life, wanted)
            if wanted:
                back = layout.returned(self.location, self.keys, self.object)
                self.keys.destroy(back, now=self.now)
        except (OSError, StoreError) as error:
            if isinstance(error, PathEscape):
                raise
            reason = error.message.rstrip(".") if isinstance(error, StoreError) else why(error)
            done = set(self.erased)
            self.kept.update((selector, reason) for selector in wanted if selector not in done | self.kept.keys())
        gone = set(self.erased) - self.kept.keys()
        return Erased(
            erased=tuple(s for s in wanted if s in gone),
            absent=tuple(s for s in wanted if s not in gone and s not in self.kept) if len(gone) < len(wanted) else (),
            kept=tuple(Kept(s, self.kept[s]) for s in wanted if s in self.kept) if self.kept else (),
            gone=min(self.steps, default=Gone.D2),  # their texts begin with the number of the step
            notes=tuple(f"Keys were overwritten, and that is not called D4: {reason}" for reason in self.against),
        )

    def _finish_dead(self, life: Life, wanted: Mapping[str, Target]) -> None:
        """The source's key is destroyed: what an earlier, killed call may not have done yet."""
        layout.remember(self.location, self.object, [(life.slot, life.key_id)])
        if self.keys.against(self.wrapper, life.slot):
            failed, _gone = self._remove_all(life)
            self.kept.update((s, failed[f]) for s in wanted if (f := index.file_of(s).hex()) in failed)

    def _take(self, life: Life, wanted: Mapping[str, Target]) -> None:
        sealing.sweep(life)
        if not (life.path / index.NAME).exists():  # killed before anything was sealed, or the index was lost
            sealing.adopt_all(life, self.keys)
        with index.opened(life.path) as rows:
            everything = self._everything(life, rows, wanted)
            if everything:
                self._destroy_source(life, everything)
                return
            going = self._judge(life, rows, wanted)
            if not going:
                return
            files = {row.file for row in going.values()}
            if not self._others(life, rows.files(), files):
                self._destroy_source(life, list(going))
            else:
                self._destroy_people(life, rows, going, files)

    def _everything(self, life: Life, rows: Index, wanted: Mapping[str, Target]) -> list[str]:
        """All members, where the targets name each of them with its stamp; otherwise none, and `_judge` looks closer.

        The usual case of an order on a source, in one pass. Cost: about a microsecond a member; ends at the first that stays.
        """
        taken = []
        for selector, stamp in rows.stamps():
            target = wanted.get(selector)
            if target is None or (target.stamp is not None and target.stamp != stamp.hex()):
                return []
            taken.append(selector)
        if len(taken) < len(wanted):  # what the index lost is a member too
            extra = wanted.keys() - set(taken)
            if any(life.holds(index.file_of(selector)) for selector in extra):
                return []
        return taken

    def _judge(self, life: Life, rows: Index, wanted: Mapping[str, Target]) -> dict[str, Row]:
        """The rows of the targets that are to go, by selector; changes nothing but that it takes lost files into the index."""
        found = rows.find(list(wanted))
        lost = []
        for selector in wanted.keys() - found.keys():
            try:
                adopted = sealing.adopt(life, selector)
            except (Unsound, OSError) as error:
                self.kept[selector] = f"its file cannot be looked into: {why(error)}"
                continue
            if adopted is not None and adopted[0].selector == selector:
                lost.append(adopted)
                found[selector] = adopted[0]
        if lost:
            rows.adopt(lost)
        going: dict[str, Row] = {}
        for selector, row in found.items():
            stamp = wanted[selector].stamp
            if stamp is not None and stamp != row.stamp.hex():
                self.kept[selector] = "it changed after it was listed"
            else:
                going[selector] = row
        return going

    def _others(self, life: Life, files: Iterable[bytes], going: set[bytes]) -> bool:
        """Whether one of these files is there and not among those that go. A row without its file is no member."""
        return any(life.holds(file) for file in files if file not in going)

    def _destroy_source(self, life: Life, going: Sequence[str]) -> None:
        self.keys.destroy([(life.slot, life.key_id)], now=self.now)
        layout.remember(self.location, self.object, [(life.slot, life.key_id)])
        failed: dict[str, str] = {}
        if self._speaks_against(life.slot):
            failed, gone = self._remove_all(life)
            self.steps.add(gone)
        else:
            self.steps.add(Gone.D4)
        if failed:
            self.kept.update((s, failed[f]) for s in going if (f := index.file_of(s).hex()) in failed)
        self.erased.extend(going)

    def _destroy_people(self, life: Life, rows: Index, going: Mapping[str, Row], files: set[bytes]) -> None:
        """Destroy the keys of those who lose all that they have here, and remove the ciphertext of all targets."""
        counts = Counter(row.person for row in going.values() if row.person != NOBODY)
        ids = {slot: key_id for slot, key_id, _count in rows.people() if slot in counts}
        ending = {slot: ids[slot] for slot in counts if not self._others(life, rows.files_of(slot), files)}
        self.keys.destroy(list(ending.items()), now=self.now)
        layout.remember(self.location, self.object, ending.items())
        sure = {slot for slot in ending if not self._speaks_against(slot)}
        failed, gone = self._remove(life, {row.file.hex(): selector for selector, row in going.items()})
        for selector, row in going.items():
            if row.person in sure:
                self.steps.add(Gone.D4)
            elif row.file.hex() in failed:
                self.kept[selector] = failed[row.file.hex()]
                continue
            else:
                self.steps.add(gone)
            self.erased.append(selector)
        gone_files = [row.file for row in going.values() if row.file.hex() not in failed or row.person in sure]
        rows.drop(gone_files, ending.keys() if not failed else ())

    def _speaks_against(self, slot: int) -> bool:
        """Whether something speaks against calling the key of a slot destroyed; it is noted."""
        reasons = self.keys.against(self.wrapper, slot)
        self.against.update(dict.fromkeys(reasons))
        return bool(reasons)

    def _remove_all(self, life: Life) -> tuple[dict[str, str], Gone]:
        """Remove every file of a life, and the life where nothing was kept; why by name where a file was, and the step reached."""
        present = {name: name for _directory, name in layout.each_file(life)}
        failed, gone = self._remove(life, present)
        sealing.sweep(life)
        if not failed:
            remove_life(life)
        return failed, gone

    def _remove(self, life: Life, names: Mapping[str, str]) -> tuple[dict[str, str], Gone]:
        """Remove files, by directory; why by name where one was kept, and the step that was reached for all others."""
        fans: dict[str, dict[bytes, Target]] = {}
        for name in names:
            fans.setdefault(name[:2], {})[name.encode()] = Target(name)
        if self.overwrite:  # what a killed call moved aside is found by its name again
            for fan in layout.names_in(self.location, life.name):
                if _FAN.fullmatch(fan):
                    for name in layout.names_in(self.location, f"{life.name}/{fan}/{WAITING}"):
                        if name in names:
                            fans.setdefault(fan, {})[name.encode()] = Target(name)
        failed: dict[str, str] = {}
        steps = {Gone.D3}
        for fan, wanted in sorted(fans.items()):
            with beneath.directory(self.location, f"{life.name}/{fan}") as directory:
                if directory is not None:
                    done = removal.remove(directory, wanted, overwrite=self.overwrite)
                    failed.update((kept.selector, kept.reason) for kept in done.kept)
                    steps.add(done.gone)
        return failed, min(steps) if self.overwrite else Gone.D2


def tidy(location: str, object_name: str, keys: OpenRing, *, now: int) -> bool:
    """Remove what is left of an object whose key is destroyed; whether its directory went."""
    try:
        for life in layout.lives(location, object_name):
            if keys.live(life.slot, life.key_id):
                return False
            _forget_people(life, keys, now)
            remove_life(life)
        with beneath.directory(location, ROOT) as root:
            os.rmdir(component(object_name), dir_fd=root)
            os.fsync(root) if root is not None else None
    except (OSError, StoreError) as error:  # it holds something, is gone, or may not be looked at: it stays as it is
        if isinstance(error, PathEscape):
            raise
        return False
    return True


def remove_life(life: Life) -> None:
    """Remove a directory whose key is destroyed, with all that is in it. Links in it are removed, never followed."""
    with beneath.directory(life.location, life.object) as directory:
        if directory is not None:
            shutil.rmtree(Path(life.path).name, dir_fd=directory)
            os.fsync(directory)


def _forget_people(life: Life, keys: OpenRing, now: int) -> None:
    """Destroy the keys of the people of a source whose own key is gone: nothing needs them any more."""
    if (life.path / index.NAME).is_file():
        with index.opened(life.path) as rows:
            keys.destroy([(slot, key_id) for slot, key_id, _count in rows.people()], now=now)
