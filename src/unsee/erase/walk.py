"""What a walk through all stores after an erasure saw: compared with the suppression list and with what must have stayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from unsee.books import items
from unsee.core.commitment import collection_root, items_root
from unsee.core.ids import ItemId, ItemSet
from unsee.erase.looking import Seen, why_not
from unsee.match.pictures import Picture
from unsee.match.suppression import Match, Suppressor


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of the scope that is still there, or something retained that is not as it was."""

    where: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """As printed."""
        return {"where": self.where, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(slots=True)
class PlaceSeen:
    """What was looked at in one store."""

    objects: int = 0
    members: int = 0
    skipped: int = 0
    bytes_read: int = 0
    residue: int = 0


class Walk:
    """What was seen so far."""

    def __init__(
        self,
        suppressor: Suppressor,
        retained: ItemSet,
        unsound: Collection[tuple[str, str, str]],
        twins: set[int],
    ) -> None:
        self._suppressor = suppressor
        self._retained = retained
        self._unsound = unsound
        self._twins = twins
        self._waiting: list[tuple[Seen, int | None, Picture]] = []
        self._observed: dict[int, bytes] = {}
        self.places: dict[str, PlaceSeen] = {}
        self.residue: list[Finding] = []
        self.damage: list[Finding] = []
        self.kept: list[Finding] = []
        self.not_compared: Counter[str] = Counter()

    def see(self, seen: Seen, recorded: tuple[int, bytes] | None) -> None:
        """Take in one member and, where the books know it, the item and digest that should lie there."""
        where = _where(seen)
        item = None
        if recorded is not None and recorded[0] in self._retained:
            expected = recorded[1]
            if seen.sha256 != expected and (seen.store, seen.member.object, seen.member.selector) in self._unsound:
                self.kept.append(
                    Finding(where, f"not what was taken in as item {recorded[0]}, already before the plan")
                )
            elif seen.sha256 is None:
                self.damage.append(Finding(where, f"a retained photo could not be read: {seen.note}"))
            elif seen.sha256 != expected:
                self.damage.append(Finding(where, "a retained photo is not byte for byte what was taken in"))
            else:
                item = recorded[0]
                self._observed[item] = seen.sha256
        if seen.sha256 is not None:
            self.places[seen.store].bytes_read += seen.member.size_bytes
        if seen.note:
            self.not_compared[why_not(seen.note, seen.store, seen.member.selector)] += 1
        if seen.picture is not None:
            self._waiting.append((seen, item, seen.picture))

    def judge(self) -> None:
        """Compare what was seen of one store with the suppression list."""
        answers = self._suppressor.match([picture for _seen, _item, picture in self._waiting])
        for (seen, item, _picture), match in zip(self._waiting, answers, strict=True):
            if match is not None:
                self._judge(seen, item, match)
        self._waiting.clear()

    def is_sound(self, item: int | None) -> bool:
        """Whether this is a retained item, and a copy of it was read that is byte for byte what was taken in."""
        return item in self._observed

    def missing(self, retained: ItemSet) -> Iterator[Finding]:
        """Retained items of which no sound copy was seen."""
        for item in retained - ItemSet(self._observed):
            yield Finding(f"item {item}", "no copy of this retained photo was found as it was taken in")

    def root(self, batches: Sequence[items.Batch]) -> bytes:
        """The collection root over what was read, not over what the books say."""
        leaves = []
        for batch in batches:
            mine = [i for i in batch.items if i in self._observed]
            leaves.append((batch.no, len(mine), items_root((ItemId(i), self._observed[i]) for i in mine)))
        return collection_root(leaves)

    def _judge(self, seen: Seen, item: int | None, match: Match) -> None:
        if item is not None:
            listed = "listed in the plan" if item in self._twins else "another source's own photo"
            self.kept.append(Finding(_where(seen), f"{match.reason}; kept as item {item}, {listed} (rule keep-lawful)"))
        else:
            self.places[seen.store].residue += 1
            self.residue.append(Finding(_where(seen), match.reason))


def _where(seen: Seen) -> str:
    return f"{seen.store}:{seen.member.object}/{seen.member.selector}"
