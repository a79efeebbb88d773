"""Consent lists by the million: checked column by column, written in one transaction, or not at all."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unsee.app.consent_columns import (
    MAX_RECORD_ID,
    NO_TIME,
    RELEASE,
    Look,
    basis_of,
    places_of,
    purposes_of,
    record_id_of,
    release_of,
    state_of,
    text_array,
)
from unsee.app.consent_jsonld import SUBJECT
from unsee.app.consent_rows import SUFFIXES, Chunk, Problem, read_rows
from unsee.app.workspace import Workspace
from unsee.books import consent_writing, facts, notices, parties, residents, subjects
from unsee.books.consent_words import NO_END, Numbers, Said, Terms, terms_numbers
from unsee.books.database import Tx
from unsee.core.consent import ConsentState
from unsee.core.errors import InvalidValue, RowsRefused
from unsee.core.ids import ItemSet, PersonId, SourceId
from unsee.core.notices import Notice
from unsee.intake.pseudonyms import pseudonym


@dataclass
class Imported:
    """What an import did. Every row of the file is in `rows`: it was good, or it is named in `problems`."""

    source: SourceId
    kept: bool = True
    rows: int = 0
    """Good rows."""
    words: int = 0
    """What they say: one word a purpose."""
    new: int = 0
    """Words that were not on record yet."""
    people: int = 0
    new_people: int = 0
    """People of whom nothing was known; whoever has no photo yet is known from now on."""
    residents: dict[str, int] = field(default_factory=dict)
    unregistered_notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        """Rows with a problem."""
        return len({p.line for p in self.problems})

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "schema": "unsee/consent-import/1",
            "source": self.source,
            "kept": self.kept,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "words": self.words,
            "new": self.new,
            "already_on_record": self.words - self.new,
            "people": self.people,
            "new_people": self.new_people,
            "residents": self.residents,
            "unregistered_notices": self.unregistered_notices,
            "problems": [p.as_json() for p in self.problems],
        }


def kind_of(path: Path, named: str | None = None) -> str:
    """The format of a file: the one that is named, else by its suffix.

    Raises:
        InvalidValue: neither says.
    """
    kind = named or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InvalidValue(f"The suffix of {path.name!r} tells no format.", next_step="Name it with --format.")
    return kind


def import_file(
    ws: Workspace,
    path: Path,
    *,
    source: SourceId,
    person: PersonId,
    kind: str | None = None,
    keep_good: bool = False,
    on_rows: Callable[[int], None] = lambda _rows: None,
) -> Imported:
    """Import a consent list in one transaction; a kill leaves nothing of it.

    Args:
        keep_good: keep the good rows and list the bad ones; without it one bad row refuses the whole file.
        on_rows: is told how many rows were read so far.
    Raises:
        MetadataError: the file as a whole cannot be used.
        RowsRefused: rows are bad, and `keep_good` is not set; nothing was kept.
        NotFound: no such source or person who acts.
    Cost, measured for CSV: 8 to 10 µs a row, and 500 to 700 bytes of memory.
    """
    with ws.books.read() as conn:
        parties.source(conn, source)
        parties.person(conn, person)
        told: dict[str, list[Notice]] = {}
        for one in notices.all_notices(conn):
            told.setdefault(one.id, []).append(one)
    done = Imported(source)
    chosen = kind_of(path, kind)
    reading = _Reading(done, told, _namer(ws.secret("pseudonym"), source, chosen), int(ws.now().timestamp()))
    for chunk in read_rows(path, chosen, done.problems.append):
        reading.take(chunk)
        on_rows(done.rows)
    with ws.act() as tx:
        rows = reading.rows()
        keep = _drop_repeated(rows, done.problems)
        _Writing(tx, done, reading, rows).write(keep)
        if done.problems and not keep_good:
            raise RowsRefused(str(path), done.problems)
        facts.record(
            tx,
            "ConsentsImported",
            source=source,
            file_sha256=_sha256(path),
            rows=done.rows,
            bad_rows=done.bad_rows,
            words=done.words,
            new=done.new,
            people=done.people,
            by=person,
        )
    done.problems.sort(key=lambda p: (p.line, p.field))
    return done


def write_rejects(path: Path, problems: Iterable[Problem]) -> None:
    """Write what is wrong as CSV: line, field, problem. It names nobody."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "field", "problem"])
        writer.writerows((p.line, p.field, p.message) for p in problems)


@dataclass(frozen=True, slots=True)
class _Rows:
    """All good rows, column by column."""

    lines: Numbers
    people: Numbers
    """Index into `names`."""
    names: pa.Array
    combos: Numbers
    said_at: Numbers
    begins: Numbers
    ends: Numbers
    places: Numbers
    records: pa.Array
    releases: pa.Array


@dataclass(frozen=True, slots=True)
class _Combo:
    """What a row says, without who and when."""

    purposes: tuple[str, ...]
    state: ConsentState
    notice: str
    basis: str
    released: bool

    def terms(self) -> list[Terms]:
        return [Terms(p, self.state, self.notice, self.basis, self.released) for p in self.purposes]


class _Reading:
    """Chunk by chunk: what can be judged without the books."""

    def __init__(
        self, done: Imported, told: Mapping[str, Sequence[Notice]], name: Callable[[str], bytes], now: int
    ) -> None:
        self.done, self.told, self.name, self.now = done, told, name, now
        self.combos: dict[_Combo, int] = {}
        self.places: dict[tuple[str, ...], int] = {}
        self._parts: list[tuple[Numbers, ...]] = []
        self._texts: list[tuple[pa.Array, pa.Array]] = []
        self._names: list[pa.Array] = []
        self._name_count = 0

    def take(self, chunk: Chunk) -> None:
        if not len(chunk.lines):
            return
        bad = np.zeros(len(chunk.lines), dtype=bool)
        look = Look(chunk, bad, self.done.problems)
        names, person = look.column("person", self._person)
        combos = self._combos_of(look)
        said = look.times("said_at", last=False)
        begins = look.times("valid_from", last=False)
        ends = look.times("valid_until", last=True)
        begins = np.where(begins == NO_TIME, said, begins)
        look.wrong("said_at", said == NO_TIME, "it is empty; when was it said?")
        look.wrong("said_at", said > self.now, "it lies in the future")
        look.wrong("valid_until", (ends != NO_TIME) & (ends < begins), "it ends before it begins")
        places, place = look.column("jurisdiction", places_of)
        records = look.texts("record_id", lambda t: pc.less_equal(pc.utf8_length(t), MAX_RECORD_ID), record_id_of)
        releases = look.texts("release_sha256", lambda t: pc.match_substring_regex(t, f"^({RELEASE})$"), release_of)
        good = ~bad & (combos >= 0)
        no = np.array([c.state is ConsentState.WITHDRAWN for c in self.combos] or [False])[np.maximum(combos, 0)]
        begins, ends = np.where(no, said, begins), np.where(no | (ends == NO_TIME), NO_END, ends)
        place_codes = np.array([self.places.setdefault(p or (), len(self.places)) for p in places])[place]
        columns = (chunk.lines, person + self._name_count, combos, said, begins, ends, place_codes)
        self._parts.append(tuple(np.asarray(column[good], dtype=np.int64) for column in columns))
        self._texts.append((records.filter(pa.array(good)), releases.filter(pa.array(good))))
        self._names.append(pa.array([name or bytes(32) for name in names], type=subjects.PSEUDONYM))
        self._name_count += len(names)
        self.done.rows += int(good.sum())

    def rows(self) -> _Rows:
        """Everything that was taken; each person once in `names`, nobody whose rows are all bad."""
        empty = np.empty(0, dtype=np.int64)
        parts = [np.concatenate(c) for c in zip(*self._parts, strict=True)] if self._parts else [empty] * 7
        texts = [pa.concat_arrays(t) for t in zip(*self._texts, strict=True)] if self._texts else [text_array([])] * 2
        names = pa.concat_arrays(self._names) if self._names else pa.array([], type=subjects.PSEUDONYM)
        self._parts, self._texts, self._names = [], [], []
        lines, index, combos, said, begins, ends, places = parts
        coded = names.take(pa.array(index)).dictionary_encode()
        people = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return _Rows(lines, people, coded.dictionary, combos, said, begins, ends, places, texts[0], texts[1])

    def _combos_of(self, look: Look) -> Numbers:
        """For each row the number of its combo; -1 where a part of it is wrong."""
        parts: list[tuple[list[Any], Numbers]] = [
            look.column("purpose", purposes_of),
            look.column("state", state_of),
            look.column("notice", str),
            look.column("basis", basis_of),
            look.filled("release_sha256"),
        ]
        key = np.zeros(len(look.bad), dtype=np.int64)
        for values, index in parts:
            key = key * len(values) + index
        distinct, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        numbers = np.full(len(distinct), -1, dtype=np.int64)
        for at, row in enumerate(first.tolist()):
            if not look.bad[inverse.reshape(-1) == at].all():
                purposes, state, notice, basis, released = (values[index[row]] for values, index in parts)
                if purposes is None or state is None or basis is None:
                    continue
                combo = _Combo(purposes, state, notice, basis, released)
                against = self._against(combo)
                if against:
                    look.wrong("notice", inverse.reshape(-1) == at, against)
                else:
                    numbers[at] = self.combos.setdefault(combo, len(self.combos))
        return numbers[inverse.reshape(-1)]

    def _against(self, combo: _Combo) -> str:
        """Why nobody can have said that, or ""."""
        if combo.state is ConsentState.WITHDRAWN:
            return ""
        if not combo.notice:
            return "it is empty; nobody consents without a notice"
        told = self.told.get(combo.notice)
        if told is None:
            if combo.notice not in self.done.unregistered_notices:
                self.done.unregistered_notices.append(combo.notice)
            return ""
        missing = [p for p in combo.purposes if not any(one.states(p) for one in told)]
        return f"notice {combo.notice} does not tell of {', '.join(missing)}" if missing else ""

    def _person(self, text: str) -> bytes:
        if not text:
            raise ValueError("it is empty; whose consent is it?")
        return self.name(text)


@dataclass(frozen=True, slots=True)
class _Writing:
    """All good rows on their way into the books."""

    tx: Tx
    done: Imported
    reading: _Reading
    rows: _Rows

    def write(self, keep: npt.NDArray[np.bool_]) -> None:
        rows, names = self.rows, self.rows.names
        numbers = subjects.known(self.tx.conn, self.done.source, names)
        row_of, said = self._words(numbers[rows.people])
        recorded = pc.any(pc.not_equal(rows.records, "")).as_py()
        if recorded:
            against = consent_writing.contradicting(self.tx.conn, said, rows.records.take(pa.array(row_of)))
            for row in np.unique(row_of[against & keep[row_of]]).tolist():
                keep[row] = False
                what = "it is on record already, with other words"
                self.done.problems.append(Problem(int(rows.lines[row]), "record_id", what))
        here = np.zeros(len(names), dtype=bool)
        here[rows.people[keep]] = True
        people = np.flatnonzero(here)
        number = np.zeros(len(names), dtype=np.int64)
        number[people], self.done.new_people = subjects.numbers(
            self.tx, self.done.source, names.take(pa.array(people)), known=numbers[people]
        )
        who = number[rows.people]
        kept = keep[row_of]
        row_of = row_of[kept]
        said = replace(said.take(kept), subjects=who[row_of])
        releases = pc.replace_substring_regex(rows.releases, "^written$", "")
        self.done.rows, self.done.words, self.done.people = int(keep.sum()), len(said), len(people)
        of_word = pa.array(row_of)
        self.done.new = consent_writing.add(
            self.tx, said, record_ids=rows.records.take(of_word), releases=releases.take(of_word)
        )
        for places, code in self.reading.places.items():
            for place in places:
                there = ItemSet(np.unique(who[keep & (rows.places == code)]).astype(np.uint32))
                self.done.residents[place] = self.done.residents.get(place, 0) + residents.add(self.tx, place, there)

    def _words(self, who: Numbers) -> tuple[Numbers, Said]:
        """Every word of every row, and which row it is of: rows with several purposes say several words."""
        numbers = terms_numbers(self.tx, [t for combo in self.reading.combos for t in combo.terms()])
        by_combo = [[numbers[t] for t in combo.terms()] for combo in self.reading.combos]
        sizes = np.array([len(terms) for terms in by_combo] or [0], dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        flat = np.array([no for terms in by_combo for no in terms], dtype=np.int64)
        counts = sizes[self.rows.combos] if len(self.rows.combos) else np.empty(0, dtype=np.int64)
        row_of = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(row_of)) - np.repeat(np.cumsum(counts) - counts, counts)
        terms = flat[starts[self.rows.combos[row_of]] + within] if len(row_of) else np.empty(0, dtype=np.int64)
        r = self.rows
        return row_of, Said(terms, r.said_at[row_of], r.begins[row_of], r.ends[row_of], who[row_of])


def _drop_repeated(rows: _Rows, problems: list[Problem]) -> npt.NDArray[np.bool_]:
    """Which rows to keep: of those with one record id the first."""
    keep = np.ones(len(rows.lines), dtype=bool)
    coded = rows.records.dictionary_encode()
    index = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    _distinct, first = np.unique(index, return_index=True)
    empty = pc.equal(rows.records, "").to_numpy(zero_copy_only=False)
    earlier = first[index] if len(index) else index
    for at in np.flatnonzero((earlier != np.arange(len(index))) & ~empty):
        keep[at] = False
        problems.append(Problem(int(rows.lines[at]), "record_id", f"it is in line {rows.lines[earlier[at]]:,} already"))
    return keep


def _namer(key: bytes, source: SourceId, kind: str) -> Callable[[str], bytes]:
    """How a person's id becomes a pseudonym; a record that unsee exported carries one already."""

    def name(text: str) -> bytes:
        if kind == "jsonld" and text.startswith(SUBJECT):
            try:
                found = bytes.fromhex(text.removeprefix(SUBJECT))
            except ValueError:
                found = b""
            if len(found) != 32:
                raise ValueError("it is no pseudonym of 32 bytes")
            return found
        return pseudonym(key, source, text)

    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
