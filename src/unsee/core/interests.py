"""How far a declared interest reaches: every path from a person to a party of a hand-over (R35).

An interest in an organisation reaches a party in three ways:

- directly: the organisation is the party;
- downwards: the organisation holds a stake in another one, which holds …, down to the party;
- upwards: the organisation is held by another one, which is held by …, up to the party: a stake in a party's subsidiary.

The two directions are not mixed. Two firms that one fund has shares in are not thereby related, and a path that went up to the
fund and down again would relate every listed company to every other.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Holding, Interest, Person

LIMIT: Final = 200
"""Most paths given for one interest, party and direction. There is always the shortest one among them."""
_STEPS: Final = 20_000
"""Most holdings looked at for one interest, party and direction, once the shortest path is known."""


class Reach(StrEnum):
    """Which way an interest reaches a party."""

    DIRECT = "direct"
    DOWN = "down"
    UP = "up"
    DECLARED = "declared"
    """It was declared for the source itself, whichever organisation it names."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way from whoever has an interest to a party. `steps` are in walking order, from the interest's organisation on."""

    interest: Interest
    steps: tuple[Holding, ...]
    reach: Reach
    party: str

    def __str__(self) -> str:
        stake = self.interest
        line = f"{stake.person or stake.holder} declared an interest ({stake.kind}) in {stake.organisation}"
        if self.reach is Reach.DECLARED:
            return f"{line} for this source, {self.party}"
        for step in self.steps:
            said = ", ".join(filter(None, [step.kind, f"{step.share} %" if step.share else ""]))
            way = f"holds ({said}) {step.held}" if self.reach is Reach.DOWN else f"is held ({said}) by {step.holder}"
            line += f", which {way}"
        return f"{line}, a party to this hand-over"

    def as_json(self) -> dict[str, object]:
        """As every report prints it."""
        return {
            "person": self.interest.person,
            "holder": self.interest.holder,
            "organisation": self.interest.organisation,
            "kind": self.interest.kind,
            "reach": str(self.reach),
            "party": self.party,
            "through": [s.held if self.reach is Reach.DOWN else s.holder for s in self.steps],
            "words": str(self),
        }


def same_name(name: str) -> str:
    """What two spellings of one organisation's or person's name have in common: case, width and spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def attributed(interests: Iterable[Interest], people: Iterable[Person]) -> list[Interest]:
    """The interests, each with the person who acts here where its holder has that person's name.

    An interest that names a person already stays as it is. Where several people have the holder's name, it is each one's:
    leaving out the id hides no interest.
    """
    by_name: dict[str, list[PersonId]] = defaultdict(list)
    for person in people:
        by_name[same_name(person.name)].append(person.id)
    found = []
    for interest in interests:
        ids = [] if interest.person is not None else by_name[same_name(interest.holder)]
        found.extend([replace(interest, person=i) for i in ids] or [interest])
    return found


def paths(
    person: PersonId | None,
    interests: Iterable[Interest],
    holdings: Iterable[Holding],
    organisations: Iterable[str],
    *,
    source: SourceId | None = None,
) -> tuple[Path, ...]:
    """Every simple path from a person's interests to one of `organisations`, the shortest first.

    Args:
        person: whose interests count; None for everybody's, those of outsiders too.
        interests: all declared interests.
        holdings: all declared holdings; expected, not required, to be without cycles.
        organisations: the parties; names compare by `same_name`.
        source: an interest declared for it is a path, whichever organisation it names.
    Returns:
        At most `LIMIT` for each interest, party and direction. The order of the facts does not matter.
    Cost: O(interests · parties · (holdings + LIMIT · length of a path)); bounded on any graph.
    """
    mine = sorted(
        {i for i in interests if person is None or i.person == person},
        key=lambda i: (i.holder, i.organisation, i.kind, i.declared_on, i.person or "", i.source or ""),
    )
    held = sorted(set(holdings), key=lambda h: (h.holder, h.held, h.kind, h.declared_on, h.share))
    parties = {same_name(o): o for o in sorted(set(organisations), reverse=True)}
    down, up = _Graph(held, Reach.DOWN), _Graph(held, Reach.UP)
    found: list[Path] = []
    for interest in mine:
        start = same_name(interest.organisation)
        for goal, party in sorted(parties.items()):
            if start == goal:
                found.append(Path(interest, (), Reach.DIRECT, party))
                continue
            for graph in (down, up):
                found.extend(Path(interest, steps, graph.reach, party) for steps in graph.walks(start, goal))
        if source is not None and interest.source == source:
            found.append(Path(interest, (), Reach.DECLARED, str(source)))
    return tuple(sorted(found, key=lambda p: len(p.steps)))


def ring(holdings: Sequence[Holding], new: Holding) -> tuple[str, ...]:
    """The organisations of the ring that `new` would close, from its holder around to it again; empty when it closes none."""
    if same_name(new.holder) == same_name(new.held):
        return (new.holder, new.held)
    back = _Graph(list(holdings), Reach.DOWN).shortest(same_name(new.held), same_name(new.holder))
    return () if back is None else (new.holder, new.held, *(step.held for step in back))


class _Graph:
    """Holdings walked in one direction."""

    def __init__(self, holdings: Sequence[Holding], reach: Reach) -> None:
        self.reach = reach
        self._out: dict[str, list[tuple[str, Holding]]] = defaultdict(list)
        self._into: dict[str, list[str]] = defaultdict(list)
        for holding in holdings:
            ends = same_name(holding.holder), same_name(holding.held)
            start, end = ends if reach is Reach.DOWN else ends[::-1]
            self._out[start].append((end, holding))
            self._into[end].append(start)

    def shortest(self, start: str, goal: str) -> tuple[Holding, ...] | None:
        """A walk with the fewest steps; None when there is none."""
        way: dict[str, tuple[Holding, ...]] = {start: ()}
        queue = [start]
        for place in queue:
            if place == goal:
                return way[place]
            for end, holding in self._out.get(place, ()):
                if end not in way:
                    way[end] = (*way[place], holding)
                    queue.append(end)
        return None

    def walks(self, start: str, goal: str) -> list[tuple[Holding, ...]]:
        """Simple walks, the shortest among them, at most `LIMIT`."""
        first = self.shortest(start, goal)
        if first is None:
            return []
        found: dict[tuple[Holding, ...], None] = {first: None}
        useful = self._leading_to(goal)
        budget = _STEPS
        # Each frame is a place on the walk and what is left to try there; a walk may be longer than Python's stack is deep.
        walked: list[Holding] = []
        frames = [(start, iter(self._out.get(start, ())))]
        on_walk = {start}
        while frames and budget and len(found) < LIMIT:
            budget -= 1
            place, rest = frames[-1]
            step = next(rest, None)
            if step is None:
                frames.pop()
                on_walk.discard(place)
                if walked:
                    walked.pop()
                continue
            end, holding = step
            if end == goal:
                found[(*walked, holding)] = None
            elif end in useful and end not in on_walk:
                walked.append(holding)
                on_walk.add(end)
                frames.append((end, iter(self._out.get(end, ()))))
        return sorted(found, key=len)

    def _leading_to(self, goal: str) -> set[str]:
        """The places from which `goal` can be reached: the only ones worth a step."""
        seen, queue = {goal}, [goal]
        for place in queue:
            fresh = [start for start in self._into.get(place, ()) if start not in seen]
            seen.update(fresh)
            queue.extend(fresh)
        return seen


def by_person(found: Iterable[Path]) -> Mapping[PersonId, tuple[Path, ...]]:
    """The paths of each person who acts here; those of outsiders are left out."""
    held: dict[PersonId, list[Path]] = defaultdict(list)
    for path in found:
        if path.interest.person is not None:
            held[path.interest.person].append(path)
    return {person: tuple(those) for person, those in held.items()}
