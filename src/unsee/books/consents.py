"""What people said yes or no to. A withdrawal is a new row; what the words of a person add up to is `core.consent`'s rule.

What was said lies in `consent_terms`, a few dozen rows; who said it and when in `consents`, one row for all people who said the
same at the same second, or for one person. Questions about all people are answered over arrays, never person by person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import bulk
from unsee.books.database import Tx, driver_rows
from unsee.books.schema import consent_records, consent_terms, consents, notices
from unsee.books.sets import pack, unpack
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.purposes import PARENT, ancestors, known, overlaps

Numbers = npt.NDArray[np.int64]

NO_END: Final = np.iinfo(np.int64).max
"""What stands in an array for a term without an end."""
_NEVER: Final = np.iinfo(np.int64).min
_LOOKUP = 900
_CHUNK = 200_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What can be said, without who and when: one row of `consent_terms`."""

    purpose: str
    state: ConsentState
    notice: str
    basis: str = "consent"
    released: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Many words, column by column; row i is one word of one person. Times are UTC seconds; no end is `NO_END`."""

    terms: Numbers
    said_at: Numbers
    begins: Numbers
    ends: Numbers
    subjects: Numbers

    def __len__(self) -> int:
        return len(self.subjects)

    def take(self, rows: npt.NDArray[np.bool_] | Numbers) -> Said:
        """Those rows."""
        return Said(self.terms[rows], self.said_at[rows], self.begins[rows], self.ends[rows], self.subjects[rows])

    @property
    def columns(self) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers]:
        """Terms, said at, begins, ends, subjects."""
        return self.terms, self.said_at, self.begins, self.ends, self.subjects


@dataclass(frozen=True, slots=True)
class Consenting:
    """The people (subject numbers) who consent to one purpose at one moment."""

    people: ItemSet
    released: ItemSet
    """Those of them with a written release (R30)."""
    separate: ItemSet
    """Those who saw a registered notice that stands apart from terms of service (R29)."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One word as it stands in the books: the row that holds it, and the id and release it came with, if any."""

    no: int
    word: Consent
    recorded_at: str


def record(tx: Tx, words: Sequence[Consent]) -> int:
    """Write words down; one that is on record already is not repeated. In which order words arrive changes no answer.

    Returns the number written.
    Raises:
        UnknownPurpose: a purpose is not in the tree.
    Cost: people are looked up by index as long as they are few, otherwise one pass over the consents.
    """
    terms = [Terms(known(w.purpose), w.state, w.notice, w.basis, w.released or bool(w.release_sha256)) for w in words]
    numbers = terms_numbers(tx, terms)
    said = Said(
        _array(numbers[t] for t in terms),
        _array(_seconds(w.said_at) for w in words),
        _array(_seconds(w.valid_from) for w in words),
        _array(NO_END if w.valid_until is None else _seconds(w.valid_until) for w in words),
        _array(w.subject for w in words),
    )
    ids = [w.record_id for w in words]
    releases = [w.release_sha256 for w in words]
    return add(tx, said, record_ids=ids if any(ids) else None, releases=releases if any(releases) else None)


def terms_numbers(tx: Tx, wanted: Iterable[Terms]) -> dict[Terms, int]:
    """The numbers of these terms, given out where they are new."""
    present = {terms: no for no, terms in all_terms(tx.conn).items()}
    for terms in dict.fromkeys(wanted):
        if terms not in present:
            result = tx.conn.execute(
                consent_terms.insert().values(
                    purpose=terms.purpose,
                    state=str(terms.state),
                    notice=terms.notice,
                    basis=terms.basis,
                    released=terms.released,
                )
            )
            key = result.inserted_primary_key
            present[terms] = int(key[0]) if key is not None else 0
    return present


def all_terms(conn: Connection) -> dict[int, Terms]:
    """Everything that was ever said, by number."""
    return {
        r.no: Terms(r.purpose, ConsentState(r.state), r.notice, r.basis, bool(r.released))
        for r in conn.execute(sa.select(consent_terms).order_by(consent_terms.c.no))
    }


def add(tx: Tx, said: Said, *, record_ids: Sequence[str] | None = None, releases: Sequence[str] | None = None) -> int:
    """Write words that are not on record; how many those were. People who said the same at the same second share a row.

    Args:
        said: the words; of equal ones the first counts.
        record_ids, releases: for each word the id of its record and the digest of a written release, or "".
    Cost: 1 µs a word for sorting, and the rows.
    """
    fresh = _not_on_record(tx.conn, said)
    if not len(fresh):
        return 0
    new = said.take(fresh)
    first = int(tx.conn.execute(sa.select(sa.func.coalesce(sa.func.max(consents.c.no), 0))).scalar_one()) + 1
    edges = np.flatnonzero(_changes(new.columns[:4]))
    ends = np.append(edges[1:], len(new))
    names = ("no", "terms_no", "said_at", "valid_from", "valid_until", "subject_no", "subject_set", "recorded_at")
    bulk.insert(tx, consents, names, _rows(new, first, edges, ends, tx.at))
    if record_ids is not None or releases is not None:
        row_of = first + np.repeat(np.arange(len(edges)), ends - edges)
        _add_records(
            tx,
            new,
            row_of,
            record_ids=[record_ids[i] for i in fresh] if record_ids is not None else None,
            releases=[releases[i] for i in fresh] if releases is not None else None,
        )
    return len(new)


def words(conn: Connection, *, until: datetime | None = None) -> Said:
    """Every word on record, in no order; `until`: only those said by then.

    Cost, measured on a busy core: 3 million rows of one person each in 11 s, all but 1 s of it the driver's; rows that many people
    share cost some 10 ns a person.
    """
    within = consents.c.said_at <= _seconds(until) if until is not None else sa.true()
    return _read(conn, within)


def consenting(conn: Connection, moment: datetime, *, said: Said | None = None) -> dict[str, Consenting]:
    """For each purpose that somebody consents to at `moment`, who does. With a purpose those below it are in the answer too.

    Where the same people consent to a purpose as to the one above it, both hold the same object.

    Args:
        said: the words by then, where the caller has read them.
    Cost: that of `words`, and 0.1 µs a word for each purpose that was ever named.
    """
    now = _seconds(moment)
    terms = all_terms(conn)
    said = words(conn, until=moment) if said is None else said
    last_no = _last_no(said, terms)
    yeses = _last_yeses(said, terms)
    apart = {r.id for r in conn.execute(sa.select(notices.c.id).where(notices.c.separate_from_terms))}
    released = _flags(terms, lambda t: t.released)
    separate = _flags(terms, lambda t: t.notice in apart)
    answer: dict[str, Consenting] = {}
    for purpose in PARENT:  # from the top down
        mine = [yeses[p] for p in ancestors(purpose) if p in yeses]
        if not mine:
            continue
        lost = last_no.get(purpose)
        people, with_release, told = (np.zeros(len(mine[0].said_at), dtype=bool) for _ in range(3))
        for yes in mine:
            stands = (yes.said_at != _NEVER) & (yes.begins <= now) & (now <= yes.ends)
            if lost is not None:
                stands &= yes.said_at > lost
            people |= stands
            with_release |= stands & released[yes.terms]
            told |= stands & separate[yes.terms]
        found = Consenting(_set(people), _set(with_release), _set(told))
        above = answer.get(PARENT[purpose] or "")
        if found.people:
            answer[purpose] = above if above == found and above is not None else found
    return answer


def counts(conn: Connection, people: Iterable[int], moment: datetime | None = None) -> dict[str, int]:
    """Of these people: how many gave a consent that stands, took back all they gave, or never said anything (R24).

    A consent stands until it is taken back, also after its term. `moment`: words said after it do not count.
    """
    spoke, stands = heard(conn, moment)
    return count(people if isinstance(people, ItemSet) else ItemSet(people), spoke, stands)


def count(people: ItemSet, spoke: ItemSet, stands: ItemSet) -> dict[str, int]:
    """The counts of R24 for one group of people, from what `heard` answered for all."""
    spoken, given = len(people & spoke), len(people & stands)
    return {"consented": given, "withdrawn": spoken - given, "silent": len(people) - spoken}


def heard(conn: Connection, moment: datetime | None = None, *, said: Said | None = None) -> tuple[ItemSet, ItemSet]:
    """Who said anything at all by `moment`, and who of them has a yes that nothing took back, whether in force or not.

    Args:
        said: the words by then, where the caller has read them.
    """
    terms = all_terms(conn)
    said = words(conn, until=moment) if said is None else said
    last_no = _last_no(said, terms)
    yeses = _last_yeses(said, terms)
    spoke = np.zeros(_size(said), dtype=bool)
    spoke[said.subjects] = True
    stands = np.zeros(_size(said), dtype=bool)
    for purpose in PARENT:
        lost = last_no.get(purpose)
        for yes in (yeses[p] for p in ancestors(purpose) if p in yeses):
            stands |= (yes.said_at != _NEVER) if lost is None else (yes.said_at > lost)
    return _set(spoke), _set(stands)


def history(conn: Connection, subject: SubjectNo) -> list[Recorded]:
    """What one person said, by when it was said. Cost: the rows that people share are looked into one by one."""
    rows = conn.execute(
        sa.select(consents, consent_records.c.record_id, consent_records.c.release_sha256)
        .outerjoin(
            consent_records,
            (consent_records.c.consent_no == consents.c.no) & (consent_records.c.subject_no == subject),
        )
        .where((consents.c.subject_no == subject) | consents.c.subject_set.is_not(None))
        .order_by(consents.c.said_at, consents.c.no)
    )
    terms = all_terms(conn)
    return [
        Recorded(
            r.no,
            as_word(
                terms[r.terms_no],
                subject,
                (r.said_at, r.valid_from, NO_END if r.valid_until is None else r.valid_until),
                record_id=r.record_id or "",
                release_sha256=r.release_sha256 or "",
            ),
            r.recorded_at,
        )
        for r in rows
        if r.subject_no == subject or subject in unpack(r.subject_set)
    ]


def as_word(
    terms: Terms, subject: SubjectNo, times: tuple[int, int, int], *, record_id: str = "", release_sha256: str = ""
) -> Consent:
    """One word, put together; `times` are said at, begins, ends."""
    said_at, begins, ends = times
    return Consent(
        subject,
        terms.purpose,
        terms.state,
        terms.notice,
        datetime.fromtimestamp(said_at, UTC),
        datetime.fromtimestamp(begins, UTC),
        None if ends == NO_END else datetime.fromtimestamp(ends, UTC),
        terms.basis,
        terms.released,
        record_id,
        release_sha256,
    )


@dataclass(frozen=True, slots=True)
class _LastYes:
    """For each subject number the last yes to one purpose: when it was said (`_NEVER`: not at all), its term, its terms."""

    said_at: Numbers
    begins: Numbers
    ends: Numbers
    terms: Numbers


def _last_no(said: Said, terms: Mapping[int, Terms]) -> dict[str, Numbers]:
    """For each purpose, when each subject last said a no that takes back a yes to it; purposes nobody took back are left out."""
    size = _size(said)
    by_purpose: dict[str, Numbers] = {}
    for word in {t.purpose for t in terms.values() if t.state is ConsentState.WITHDRAWN}:
        mine = _saying(terms, word, ConsentState.WITHDRAWN)[said.terms]
        latest = np.full(size, _NEVER, dtype=np.int64)
        np.maximum.at(latest, said.subjects[mine], said.said_at[mine])
        by_purpose[word] = latest
    answer: dict[str, Numbers] = {}
    for purpose in PARENT:
        reaching = [latest for word, latest in by_purpose.items() if overlaps(word, purpose)]
        if reaching:
            answer[purpose] = np.maximum.reduce(reaching)
    return answer


def _last_yeses(said: Said, terms: Mapping[int, Terms]) -> dict[str, _LastYes]:
    """For each purpose that somebody said yes to, everybody's last yes to it; `core.consent.tie` among those of one second."""
    size = _size(said)
    order = sorted(terms, key=lambda no: (terms[no].released, terms[no].notice, terms[no].basis))
    rank = np.zeros(max(terms, default=0) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    answer: dict[str, _LastYes] = {}
    for purpose in {t.purpose for t in terms.values() if t.state is ConsentState.GIVEN}:
        mine = said.take(_saying(terms, purpose, ConsentState.GIVEN)[said.terms])
        latest = np.full(size, _NEVER, dtype=np.int64)
        np.maximum.at(latest, mine.subjects, mine.said_at)
        mine = mine.take(mine.said_at == latest[mine.subjects])
        if len(mine) and np.bincount(mine.subjects).max() > 1:
            # Written in this order, the smallest by `tie` is written last and stays.
            mine = mine.take(np.lexsort((rank[mine.terms], -mine.begins, mine.ends))[::-1])
        begins, ends, which = (np.zeros(size, dtype=np.int64) for _ in range(3))
        for column, values in ((begins, mine.begins), (ends, mine.ends), (which, mine.terms)):
            column[mine.subjects] = values
        answer[purpose] = _LastYes(latest, begins, ends, which)
    return answer


def _not_on_record(conn: Connection, said: Said) -> Numbers:
    """Which rows of `said` are new, each once, sorted so that those which can share a row lie together."""
    if not len(said):
        return _array(())
    people = np.unique(said.subjects)
    shared = consents.c.subject_set.is_not(None)
    when = consents.c.said_at.between(int(said.said_at.min()), int(said.said_at.max()))
    if len(people) <= 10 * _LOOKUP:
        parts = [_read(conn, shared & when)]
        parts.extend(
            _read(conn, consents.c.subject_no.in_(people[start : start + _LOOKUP].tolist()) & when)
            for start in range(0, len(people), _LOOKUP)
        )
    else:
        parts = [_read(conn, when)]
    present = Said(*(np.concatenate(columns) for columns in zip(*(p.columns for p in parts), strict=True)))
    present = present.take(np.isin(present.subjects, people))
    both = [np.concatenate((old, new)) for old, new in zip(present.columns, said.columns, strict=True)]
    incoming = np.arange(len(both[0])) >= len(present)
    # Words of one kind together, in them people ascending, what is on record before what comes in; the first of equals stays.
    order = np.lexsort((incoming, both[4], both[3], both[2], both[1], both[0]))
    first = _changes([column[order] for column in both]) & incoming[order]
    return order[first] - len(present)


def _changes(columns: Sequence[Numbers]) -> npt.NDArray[np.bool_]:
    """For each row of sorted columns, whether it differs from the one before it."""
    differs = np.ones(len(columns[0]), dtype=bool)
    differs[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return differs


def numbered(conn: Connection) -> tuple[Said, Numbers]:
    """Every word on record, and the number of the row that holds it."""
    return _read_rows(conn, sa.true())


def _read(conn: Connection, where: sa.ColumnElement[bool]) -> Said:
    return _read_rows(conn, where)[0]


def _read_rows(conn: Connection, where: sa.ColumnElement[bool]) -> tuple[Said, Numbers]:
    """The words of the rows that fit: those of one person straight from the driver, those of many from their bitmaps."""
    ends = sa.func.coalesce(consents.c.valid_until, NO_END)
    term = (consents.c.terms_no, consents.c.said_at, consents.c.valid_from, ends, consents.c.no)
    parts: list[Numbers] = [np.empty((0, 6), dtype=np.int64)]
    alone = sa.select(*term, consents.c.subject_no).where(where, consents.c.subject_no.is_not(None))
    # Streaming would have taken the first rows off the cursor already.
    cursor = conn.execute(alone, execution_options={"stream_results": False}).cursor
    while cursor is not None and (rows := cursor.fetchmany(_CHUNK)):
        parts.append(np.array(rows, dtype=np.int64))
    for row in conn.execute(sa.select(*term, consents.c.subject_set).where(where, consents.c.subject_set.is_not(None))):
        people = np.frombuffer(unpack(row[5]).to_array(), dtype=np.uint32)
        part = np.empty((len(people), 6), dtype=np.int64)
        part[:, :5] = row[:5]
        part[:, 5] = people
        parts.append(part)
    table = np.concatenate(parts)
    return Said(*(np.ascontiguousarray(table[:, i]) for i in (0, 1, 2, 3, 5))), np.ascontiguousarray(table[:, 4])


def _rows(new: Said, first: int, edges: Numbers, ends: Numbers, at: str) -> Iterator[tuple[object, ...]]:
    terms, said_at, begins, until, people = (column.tolist() for column in new.columns)
    for no, low, high in zip(range(first, first + len(edges)), edges.tolist(), ends.tolist(), strict=True):
        alone = high - low == 1
        yield (
            no,
            terms[low],
            said_at[low],
            begins[low],
            None if until[low] == NO_END else until[low],
            people[low] if alone else None,
            None if alone else pack(ItemSet(new.subjects[low:high].astype(np.uint32))),
            at,
        )


def _add_records(
    tx: Tx, new: Said, row_of: Numbers, *, record_ids: Sequence[str] | None, releases: Sequence[str] | None
) -> None:
    ids = record_ids if record_ids is not None else [""] * len(new)
    digests = releases if releases is not None else [""] * len(new)
    rows = zip(new.subjects.tolist(), row_of.tolist(), ids, digests, strict=True)
    bulk.insert(
        tx,
        consent_records,
        ("subject_no", "consent_no", "record_id", "release_sha256"),
        ((who, row, name, digest or None) for who, row, name, digest in rows if name or digest),
    )


def contradicting(conn: Connection, said: Said, record_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of these words come under a record id that is on record with other words, or of another person.

    Args:
        record_ids: for each word the id of its record, or "".
    Cost: ids are looked up by index as long as they are few, otherwise one pass over the records.
    """
    wanted = pc.unique(pa.array(record_ids, type=pa.string()))
    ids, on_record = _under(conn, wanted.to_pylist())
    code = pc.index_in(pa.array(record_ids, type=pa.string()), value_set=wanted).to_numpy(zero_copy_only=False)
    old = pc.index_in(ids, value_set=wanted).to_numpy(zero_copy_only=False)
    known = np.isin(code, old)
    both = [np.concatenate(pair) for pair in zip(on_record.columns, said.columns, strict=True)]
    both.append(np.concatenate((old, code)).astype(np.int64))
    incoming = np.arange(len(both[0])) >= len(on_record)
    order = np.lexsort((incoming, *both))
    first = _changes([column[order] for column in both]) & incoming[order]
    unheard = np.zeros(len(said), dtype=bool)
    unheard[order[first] - len(on_record)] = True
    return known & unheard


def _under(conn: Connection, wanted: Sequence[str]) -> tuple[pa.Array, Said]:
    """The records of these ids (and perhaps others), and the words that they stand for."""
    query = sa.select(
        consent_records.c.record_id,
        consents.c.terms_no,
        consents.c.said_at,
        consents.c.valid_from,
        sa.func.coalesce(consents.c.valid_until, NO_END),
        consent_records.c.subject_no,
    ).join(consents, consents.c.no == consent_records.c.consent_no)
    here = [name for name in wanted if name]
    if len(here) > 10 * _LOOKUP:
        rows = driver_rows(conn, query.where(consent_records.c.record_id != ""))
    else:
        rows = [
            row
            for start in range(0, len(here), _LOOKUP)
            for row in driver_rows(conn, query.where(consent_records.c.record_id.in_(here[start : start + _LOOKUP])))
        ]
    flat = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 5)
    return pa.array([row[0] for row in rows], type=pa.string()), Said(*(flat[:, i] for i in range(5)))


def _flags(terms: Mapping[int, Terms], holds: Callable[[Terms], bool]) -> npt.NDArray[np.bool_]:
    """By number of terms, whether it holds of them."""
    flags = np.zeros(max(terms, default=0) + 1, dtype=bool)
    for no, one in terms.items():
        flags[no] = holds(one)
    return flags


def _saying(terms: Mapping[int, Terms], purpose: str, state: ConsentState) -> npt.NDArray[np.bool_]:
    return _flags(terms, lambda one: one.state is state and one.purpose == purpose)


def _size(said: Said) -> int:
    return int(said.subjects.max()) + 1 if len(said) else 1


def _set(flags: npt.NDArray[np.bool_]) -> ItemSet:
    found = ItemSet(np.flatnonzero(flags).astype(np.uint32))
    found.run_optimize()
    return found


def _array(values: Iterable[int]) -> Numbers:
    return np.array(list(values), dtype=np.int64)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp() // 1)
