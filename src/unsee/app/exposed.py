"""Whose photos may go together: the books by source, agreement, jurisdiction or group of people, as sets and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from unsee.books import agreements, groups, items, orders, parties, residents, sums
from unsee.books.sets import union
from unsee.books.shown import items_showing, people_in
from unsee.core.errors import InvalidValue
from unsee.core.ids import ItemSet, SourceId
from unsee.core.parties import Agreement, Source
from unsee.core.rules import DEFAULT

BY: Final = ("source", "agreement", "jurisdiction")
GROUP: Final = "group:"
NO_AGREEMENT: Final = "(no agreement)"
NOT_SAID: Final = "(not said)"
NOBODY_KNOWN: Final = "(nobody known)"

ROWS_AT_MOST: Final = 2_000_000
"""Bytes of a part of a source are added up row by row, and not at all where that would be more rows than these."""


@dataclass(frozen=True, slots=True)
class SourceItems:
    """The photos of one source; documents that came with them are not among them."""

    source: Source
    ever: ItemSet
    items: ItemSet
    """Less what was erased."""
    people: ItemSet
    """In `items`, as subject numbers."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Exposed:
    """Photos that may go together."""

    name: str
    ever: ItemSet
    items: ItemSet
    people: int
    size_bytes: int | None
    """None: not added up, see `ROWS_AT_MOST`."""
    source: SourceId | None = None
    """Where the photos are all of one source, as by source and by agreement."""
    agreement: Agreement | None = None


def all_sources(conn: Connection) -> list[SourceItems]:
    """Every source, by id. Cost: its bitmaps; the rows of documents, which are few."""
    erased = orders.erased(conn)
    found = []
    for source in parties.all_sources(conn):
        papers = parties.documents_of_source(conn, source.id)
        ever = parties.items_of_source(conn, source.id) - papers
        added = sums.of_source(conn, source.id)
        size = added.size_bytes - items.size_of(conn, papers - erased)
        found.append(SourceItems(source, ever, ever - erased, added.people, size))
    return found


def parties_by(conn: Connection, by: str, held: Sequence[SourceItems]) -> list[Exposed]:
    """Everything in the books, parted by one of `BY` or by `group:ATTRIBUTE` of the people shown.

    Agreements of one source share its photos, and people can live in two places; otherwise no photo is in two parts. By source
    and by group no photo is left out either.

    Raises:
        InvalidValue: there is no such way to part them, or nobody has that attribute.
    """
    if by == "source":
        return [Exposed(h.source.id, h.ever, h.items, len(h.people), h.size_bytes, h.source.id) for h in held]
    if by == "agreement":
        return _by_agreement(conn, held)
    if by == "jurisdiction":
        return _by_jurisdiction(conn, held)
    if by.startswith(GROUP):
        return _by_group(conn, by.removeprefix(GROUP), held)
    raise InvalidValue(
        f"Exposure cannot be shown by {by[:80]!r}.", next_step=f"Choose one of {', '.join(BY)}, group:ATTRIBUTE."
    )


def _by_agreement(conn: Connection, held: Sequence[SourceItems]) -> list[Exposed]:
    by_id = {h.source.id: h for h in held}
    found = [
        Exposed(a.id, h.ever, h.items, len(h.people), h.size_bytes, h.source.id, a)
        for a in agreements.all_agreements(conn)
        for h in (by_id[a.source],)
    ]
    agreed = {e.agreement.source for e in found if e.agreement}
    rest = [h for h in held if h.source.id not in agreed and h.ever]
    if rest:
        whole = union(h.items for h in rest)
        people = len(union(h.people for h in rest))
        found.append(Exposed(NO_AGREEMENT, union(h.ever for h in rest), whole, people, sum(h.size_bytes for h in rest)))
    return found


def _by_jurisdiction(conn: Connection, held: Sequence[SourceItems]) -> list[Exposed]:
    """Where people live, when that is recorded; else the geography of the source."""
    people: dict[str, ItemSet] = {}
    for code, living in residents.residents(conn).items():
        people[_place(code)] = people.get(_place(code), ItemSet()) | living
    ever = dict(zip(people, items_showing(conn, list(people.values())), strict=True))
    housed, at_home = union(people.values()), union(ever.values())
    for h in held:
        place = _place(h.source.geography)
        people[place] = people.get(place, ItemSet()) | (h.people - housed)
        ever[place] = ever.get(place, ItemSet()) | (h.ever - at_home)
    return _parts(conn, held, ever, people)


def _place(code: str) -> str:
    known = DEFAULT.jurisdiction(code)
    return known.id if known else code.strip() or "unknown"


def _by_group(conn: Connection, name: str, held: Sequence[SourceItems]) -> list[Exposed]:
    people = groups.people_by_attribute(conn, name)
    if not people:
        raise InvalidValue(
            f"Nobody in these books has an attribute {name[:80]!r}.",
            next_step=f"Attributes: {', '.join(groups.attribute_names(conn)) or 'none'}.",
        )
    people[NOT_SAID] = union(h.people for h in held) - union(people.values())
    ever = dict(zip(people, items_showing(conn, list(people.values())), strict=True))
    people[NOBODY_KNOWN] = ItemSet()
    ever[NOBODY_KNOWN] = union(h.items for h in held) - union(ever.values())
    return _parts(conn, held, ever, people)


def _parts(
    conn: Connection, held: Sequence[SourceItems], ever: Mapping[str, ItemSet], people: Mapping[str, ItemSet]
) -> list[Exposed]:
    """Parts that are there: a name that nothing ever stood for is left out."""
    alive, living = union(h.items for h in held), union(h.people for h in held)
    left = {name: shown & alive for name, shown in ever.items() if shown}
    sizes = _sizes(conn, held, left)
    return [Exposed(name, ever[name], left[name], len(people[name] & living), sizes[name]) for name in sorted(left)]


def _sizes(conn: Connection, held: Sequence[SourceItems], parts: Mapping[str, ItemSet]) -> dict[str, int | None]:
    """Bytes of each part: sums of whole sources, and the rows of the others while these are few enough."""
    whole: dict[str, int] = {}
    rows: dict[str, ItemSet] = {}
    for name, part in parts.items():
        mine = [h for h in held if h.items and h.items.issubset(part)]
        whole[name] = sum(h.size_bytes for h in mine)
        rows[name] = part - union(h.items for h in mine)
    if sum(map(len, rows.values())) > ROWS_AT_MOST:
        return {name: None if rows[name] else whole[name] for name in parts}
    return {name: whole[name] + items.size_of(conn, rows[name]) for name in parts}


def shared_out(part: ItemSet, held: Sequence[SourceItems]) -> dict[SourceId, int]:
    """How many of these photos each source gave; sources that gave none are left out."""
    counted = ((h.source.id, part.intersection_cardinality(h.ever)) for h in held)
    return {source: count for source, count in counted if count}


def people_of(conn: Connection, part: ItemSet, held: Sequence[SourceItems]) -> ItemSet:
    """Who is shown in these photos: of whole sources their sum says it, of parts the columns do."""
    whole = [h for h in held if h.items and h.items.issubset(part)]
    rest = part - union(h.items for h in whole)
    return union(h.people for h in whole) | people_in(conn, rest)
