"""Everything that people said, as consent records for others to read: streamed, a block of people at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.app.consent_jsonld import Event, document, graph, notice_nodes, process_node, record_node
from unsee.app.workspace import Workspace
from unsee.books import consent_words, notices, parties, residents, subjects
from unsee.books.consent_words import NO_END, Terms
from unsee.books.database import driver_rows
from unsee.books.schema import consent_records
from unsee.core.dpv import jurisdiction_term, purpose_node
from unsee.core.ids import ItemSet, SourceId
from unsee.core.notices import Notice
from unsee.core.purposes import PARENT

_WORD = tuple[int, int, int, int, int, int]


def export(ws: Workspace, out: TextIO, *, source: SourceId | None = None, lines: bool = False) -> int:
    """Write every record, of one source or all; how many there were.

    Args:
        lines: JSON Lines, each line a document of its own; otherwise one document with one graph, one node a line.
    Raises:
        NotFound: no such source.
    """
    with ws.books.read() as conn:
        told = _notices(conn)
        events = _events(conn, source)
        count = 0
        if lines:
            for event in events:
                out.write(document([record_node(event, told, whole=True), *map(purpose_node, event.purposes)]) + "\n")
                count += 1
            return count
        shared = [
            *(purpose_node(p) for p in PARENT),
            *(node for name, one in told.items() for node in notice_nodes(name, one)),
        ]
        seen: set[object] = set()

        def nodes() -> Iterator[dict[str, object]]:
            nonlocal count
            for event in events:
                process = process_node(event.notice, event.purposes, told.get(event.notice, ()))
                if process["@id"] not in seen:
                    seen.add(process["@id"])
                    yield process
                    if event.notice and event.notice not in told:
                        yield from notice_nodes(event.notice, ())
                count += 1
                yield record_node(event, told, whole=False)

        for text in graph(shared, nodes()):
            out.write(text)
    return count


def _notices(conn: Connection) -> dict[str, list[Notice]]:
    told: dict[str, list[Notice]] = {}
    for one in notices.all_notices(conn):
        told.setdefault(one.id, []).append(one)
    return told


@dataclass(frozen=True, slots=True)
class _Known:
    """What is needed to spell the records of a block of people."""

    sources: dict[int, SourceId]
    people: dict[int, tuple[int, bytes]]
    terms: dict[int, Terms]
    places: dict[str, ItemSet]
    records: dict[tuple[int, int], tuple[str, str]]

    def event(self, record_id: str, words: list[_WORD]) -> Event:
        """One record: words that differ in their purpose only."""
        who, row, term, said, begins, ends = words[0]
        one = self.terms[term]
        source, pseudonym = self.people[who]
        return Event(
            record_id=record_id,
            pseudonym=pseudonym.hex(),
            source=self.sources[source],
            purposes=tuple(self.terms[w[2]].purpose for w in words),
            state=one.state,
            notice=one.notice,
            basis=one.basis,
            said_at=_stamp(said),
            valid_from=_stamp(begins),
            valid_until="" if ends == NO_END else _stamp(ends),
            jurisdictions=tuple(jurisdiction_term(place) for place, people in self.places.items() if who in people),
            release_sha256=self.records.get((who, row), ("", ""))[1],
            released=one.released,
        )


def _events(conn: Connection, source: SourceId | None) -> Iterator[Event]:
    """Every record by person: words of one record id are one record, every other word is one of its own."""
    terms = consent_words.all_terms(conn)
    places = residents.residents(conn)
    sources = {parties.source_no(conn, s.id): s.id for s in parties.all_sources(conn)}
    for people in subjects.blocks(conn, source):
        numbers = np.fromiter(people, dtype=np.int64, count=len(people))
        words, rows = consent_words.read(conn, people=numbers)
        known = _Known(sources, people, terms, places, _records(conn, int(numbers[0]), int(numbers[-1])))
        order = np.lexsort((rows, words.said_at, words.subjects))
        columns = [column[order].tolist() for column in (words.subjects, rows, *words.columns[:4])]
        pending: dict[str, list[_WORD]] = {}
        last = None
        for word in zip(*columns, strict=True):
            who, row = word[:2]
            if who != last:
                yield from (known.event(*one) for one in pending.items())
                pending, last = {}, who
            record_id = known.records.get((who, row), ("", ""))[0] or f"unsee-{row}-{who}"
            pending.setdefault(record_id, []).append(word)
        yield from (known.event(*one) for one in pending.items())


def _records(conn: Connection, first: int, last: int) -> dict[tuple[int, int], tuple[str, str]]:
    c = consent_records.c
    query = sa.select(c.subject_no, c.consent_no, c.record_id, c.release_sha256).where(
        c.subject_no.between(first, last)
    )
    return {(who, row): (name, release or "") for who, row, name, release in driver_rows(conn, query)}


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
