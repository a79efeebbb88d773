"""From targets to entries: by the place that a stamp remembers, without going through the shard, or by going through it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from unsee.stores import shards
from unsee.stores.contract import Target
from unsee.stores.names import spell
from unsee.stores.tar import archive, sources
from unsee.stores.tar.archive import Held, Listing
from unsee.stores.tar.headers import Entry
from unsee.stores.tar.spelling import Selected, selected

_AHEAD = 1024
"""Places that the disk is asked for at once."""
CHANGED = "it changed after it was listed"


@dataclass(slots=True)
class Resolved:
    """What is to be done for each target. Each is in exactly one of the first three."""

    going: dict[str, list[Entry]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    half: list[Entry] = field(default_factory=list)
    """Voids whose bytes a killed call left."""
    listing: Listing | None = None

    def entries(self) -> list[Entry]:
        """All entries that go, by place, each once."""
        return sorted({e.start: e for some in self.going.values() for e in some}.values(), key=lambda e: e.start)


def resolve(file: int, how: str, targets: Mapping[str, Target], *, by_hints: bool = True) -> Resolved:
    """The entries of the targets in an open shard. Changes nothing.

    Args:
        by_hints: go by the places that stamps remember; without, the listing is made too.
    Cost: one read a target where every stamp's hint holds; otherwise the headers of the whole shard.
    """
    if by_hints and not how and (found := _by_hints(file, targets.values())) is not None:
        return found
    return by_listing(lambda names: archive.listing(file, how, tell_apart=names), targets)


def told(stamp: str) -> str:
    """What a stamp says, without the hint."""
    return stamp.partition("@")[0]


def _by_hints(file: int, targets: Iterable[Target]) -> Resolved | None:
    places: list[tuple[Target, Selected, str, int]] = []
    for target in targets:
        wanted = selected(target.selector)
        said, _, hint = (target.stamp or "").partition("@")
        if wanted.digest is not None or not hint.isdecimal():
            return None
        places.append((target, wanted, said, int(hint)))
    found = Resolved()
    for number, (target, wanted, said, place) in enumerate(places):
        if number % _AHEAD == 0:
            for *_, soon in places[number : number + _AHEAD]:
                shards.ahead(file, soon, sources.WINDOW_BYTES)
        held = archive.held_at(file, place)
        if held is None or held.entry.name != wanted.name or held.digest != said:
            return None
        found.going[target.selector] = [held.entry]
    return found


def by_listing(list_anew: Callable[[Collection[bytes]], Listing], targets: Mapping[str, Target]) -> Resolved:
    """The entries of the targets in a shard that is listed by `list_anew(names to tell apart)`, wherever it lies."""
    names = [selected(selector).name for selector in targets if selected(selector).digest is not None]
    listing = list_anew(names)
    found = Resolved(listing=listing, half=[void for void in listing.voids if void.name != archive.DONE])
    going: dict[str, list[Held]] = {}
    unsure: dict[str, list[Held]] = {}
    for selector, target in targets.items():
        held = listing.find(selected(selector))
        if not held and listing.broken is not None:
            found.kept[selector] = f"not found, and the shard cannot be read to its end: {listing.broken}"
        elif not held:
            found.absent.append(selector)
        elif target.stamp is None:
            going[selector] = held
        elif same := [one for one in held if one.digest == told(target.stamp)]:
            going[selector] = same
        else:
            unsure[selector] = held
    if unsure:
        _by_content(list_anew, targets, unsure=unsure, going=going, found=found)
    _hold_back_linked(listing, going, found)
    found.going = {selector: [one.entry for one in held] for selector, held in going.items()}
    return found


def _by_content(
    list_anew: Callable[[Collection[bytes]], Listing],
    targets: Mapping[str, Target],
    *,
    unsure: Mapping[str, list[Held]],
    going: dict[str, list[Held]],
    found: Resolved,
) -> None:
    """Stamps of members that lay in the shard several times are digests of their bytes; one of them may be left of several."""
    names = {one.entry.name for held in unsure.values() for one in held}
    content = list_anew(names).content
    for selector, held in unsure.items():
        stamp = told(targets[selector].stamp or "")
        if same := [one for one in held if content.get(one.entry.start) == stamp]:
            going[selector] = same
        else:
            found.kept[selector] = CHANGED


def _hold_back_linked(listing: Listing, going: dict[str, list[Held]], found: Resolved) -> None:
    """Entries that hard links point to go with all of those or not at all: a link alone has no bytes."""
    links: dict[int, list[Held]] = {}
    for held in listing.by_name.values():
        for one in held:
            if one.link:
                links.setdefault(one.holder.start, []).append(one)
    leaving = {one.entry.start for held in going.values() for one in held}
    for selector in list(going):
        left = [
            link
            for one in going[selector]
            if not one.link
            for link in links.get(one.entry.start, ())
            if link.entry.start not in leaving
        ]
        if left:
            found.kept[selector] = (
                f"the hard link {spell(left[0].entry.name)!r} in the same shard shows the same bytes and is not in this request"
            )
            del going[selector]
