"""What an erasure in a table of data files keeps track of, whatever the table's format: targets, what is kept and why, copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import stat_result
from typing import Generic, TypeVar

from unsee.core.errors import InvalidValue
from unsee.core.evidence import Gone
from unsee.stores import datafiles
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.datafiles import Hits

ATTEMPTS = 5
"""How often an erasure begins again when other programs commit to the table meanwhile."""
WORKERS = 2
"""Files that are copied at once; Arrow decodes, filters and writes them side by side."""
SETTLED_S = 3600.0
"""When a file of no version is no part of a commit under way, unless the option says otherwise."""
Copy = TypeVar("Copy")


@dataclass(frozen=True, slots=True)
class Found:
    """A Parquet file below the table."""

    place: str
    name: str
    """Relative to the table, for people."""
    path: str | None
    """As the table's metadata spells it; None where no version names it."""
    seen: stat_result


@dataclass(slots=True)
class Call:
    """What one call is about, and what it has seen so far."""

    targets: dict[str, Target]
    settled_s: float
    kept: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    """Targets of which rows were found in a file that this call dealt with."""
    clean: set[tuple[str, int, int]] = field(default_factory=set)
    """Files (path, size, time) that hold no row of any target."""
    versions: set[int] = field(default_factory=set)
    """Versions or snapshots that now read without the rows."""

    @classmethod
    def of(cls, targets: Sequence[Target], settled_s: float) -> Call:
        """A call for these targets; those that contradict themselves are kept."""
        call = cls({}, settled_s)
        for target in targets:
            if call.targets.setdefault(target.selector, target) != target:
                call.kept[target.selector] = "it is listed twice, with different stamps"
        return call

    def going(self) -> set[str]:
        """Targets that are still to go."""
        return set(self.targets) - set(self.kept)

    def stamped(self) -> set[str]:
        """Targets that go only if their rows are as the plan saw them."""
        return {selector for selector, target in self.targets.items() if target.stamp is not None}

    def keep_all(self, reason: str) -> None:
        """Nothing more goes."""
        for selector in self.going():
            self.kept[selector] = reason

    def settled(self, seen: stat_result) -> bool:
        """Whether a file of no version is too old to be part of a commit that is under way."""
        return time.time() - max(seen.st_mtime, seen.st_ctime) >= self.settled_s

    def outcome(self, notes: tuple[str, ...]) -> Erased:
        """Each target in one of the three."""
        gone = self.found - set(self.kept)
        return Erased(
            erased=tuple(s for s in self.targets if s in gone),
            absent=tuple(s for s in self.targets if s not in self.kept and s not in gone),
            kept=tuple(Kept(selector, reason) for selector, reason in self.kept.items()),
            gone=Gone.D2,
            notes=notes,
        )


@dataclass(frozen=True, slots=True)
class Copying(Generic[Copy]):
    """How a format writes the copy of a file, and takes it back."""

    write: Callable[[Found, Hits], tuple[Copy | None, dict[str, list[str]]]]
    """The copy without these rows, or None where no row stays; and the stamps of those rows, by selector."""
    discard: Callable[[Copy | None], None]
    current: Callable[[str], bool]
    """Whether the newest version reads this file: stamps are of its rows."""


def copies(call: Call, hits: Sequence[tuple[Found, Hits]], how: Copying[Copy]) -> dict[str, Copy | None]:
    """A copy of each file of a version without the rows that go; members whose stamp changed stay, and are kept."""
    written: dict[str, tuple[Copy | None, set[str]]] = {}
    stamps: dict[str, dict[str, list[str]]] = {}
    while True:
        going = call.going()
        todo = [
            (found, found.path, some)
            for found, seen in hits
            if found.path is not None and found.path not in written and (some := seen.only(going)).at
        ]
        with ThreadPoolExecutor(WORKERS) as pool:
            done = pool.map(how.write, [found for found, _, _ in todo], [some for _, _, some in todo])
            for (_, path, some), (copy, noted) in zip(todo, done, strict=True):
                written[path] = (copy, some.selectors())
                if how.current(path):
                    stamps[path] = noted
        together: dict[str, list[str]] = {}
        for noted in stamps.values():
            for selector, parts in noted.items():
                together.setdefault(selector, []).extend(parts)
        changed = {
            selector
            for selector, parts in together.items()
            if selector in going and call.targets[selector].stamp not in {None, datafiles.member_stamp(parts)}
        }
        if not changed:
            return {path: copy for path, (copy, _) in written.items()}
        for selector in changed:
            call.kept[selector] = "it was replaced or changed since the plan was made"
        for path in [path for path, (_, selectors) in written.items() if selectors & changed]:
            how.discard(written.pop(path)[0])
            stamps.pop(path, None)


def seconds(options: Mapping[str, str], name: str, default: float) -> float:
    """A number of seconds, 0 or more.

    Raises:
        InvalidValue: it is none.
    """
    spelled = options.get(name)
    if spelled is None:
        return default
    try:
        value = float(spelled)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InvalidValue(f"{name}={spelled[:40]!r} is no number of seconds.", next_step="Write 0 or more.")
    return value
