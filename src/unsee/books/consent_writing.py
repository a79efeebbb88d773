"""Words of consent on their way into the books: none twice, by the million, and which record each came with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import bulk
from unsee.books.consent_words import LOOKUP, NO_END, Numbers, Said, pack_chunk, read
from unsee.books.database import Tx, driver_chunks
from unsee.books.schema import consent_records, consents
from unsee.books.sets import from_array, pack

SHARED_FROM: Final = 256
"""So many people who say the same at the same second have a row of their own."""
PACKED_FROM: Final = 64
"""So many other words to the same terms make a chunk."""
CHUNK_WORDS: Final = 32_768
"""The most words in a chunk: what is read and unpacked to answer for one person in it."""
_AT_ONCE = 500_000
_COLUMNS = (
    "no",
    "terms_no",
    "said_at",
    "valid_from",
    "valid_until",
    "subject_no",
    "subject_set",
    "chunk",
    "subject_first",
    "subject_last",
    "said_until",
    "recorded_at",
)


def add(tx: Tx, said: Said, *, record_ids: pa.Array | None = None, releases: pa.Array | None = None) -> int:
    """Write words that are not on record; how many those were. In which rows they lie changes no answer.

    Args:
        said: the words; of equal ones the first counts.
        record_ids, releases: for each word the id of its record and the digest of a written release, or "".
    """
    fresh = _not_on_record(tx.conn, said)
    if not len(fresh):
        return 0
    new = said.take(fresh)
    first = int(tx.conn.execute(sa.select(sa.func.coalesce(sa.func.max(consents.c.no), 0))).scalar_one()) + 1
    parts = _parts(new)
    bulk.insert(tx, consents, _COLUMNS, _rows(new, parts, first, tx.at))
    if record_ids is not None or releases is not None:
        row_of = np.empty(len(new), dtype=np.int64)
        for no, part in enumerate(parts, start=first):
            row_of[part] = no
        _add_records(tx, new.subjects, row_of, *(_chosen(texts, fresh) for texts in (record_ids, releases)))
    return len(new)


def _chosen(texts: pa.Array | None, rows: Numbers) -> pa.Array:
    return pa.repeat(pa.scalar(""), len(rows)) if texts is None else texts.take(pa.array(rows))


def _not_on_record(conn: Connection, said: Said) -> Numbers:
    """Which rows of `said` are new, each once, sorted so that those which can share a row lie together."""
    if not len(said):
        return np.empty(0, dtype=np.int64)
    people = _distinct(said.subjects)
    since, until = int(said.said_at.min()), int(said.said_at.max())
    found = []
    for start in range(0, len(people), _AT_ONCE):
        some = people[start : start + _AT_ONCE]
        mine = np.flatnonzero((said.subjects >= some[0]) & (said.subjects <= some[-1]))
        present, _rows_of = read(conn, people=some, since=since, until=until)
        found.append(mine[_fresh(said.take(mine).columns, present.columns)])
    rows = np.concatenate(found)
    return rows if len(found) == 1 else rows[_order(said.take(rows))]


def _distinct(numbers: Numbers) -> Numbers:
    """Each once, ascending; several times as fast as numpy's own."""
    ascending = np.sort(numbers)
    return ascending[_changes([ascending])]


def _order(words: Said) -> Numbers:
    return np.lexsort(words.columns[::-1])


def _fresh(incoming: Sequence[Numbers], present: Sequence[Numbers]) -> Numbers:
    """Which incoming rows are not present, each once, sorted by their columns."""
    both = [np.concatenate(pair) for pair in zip(present, incoming, strict=True)]
    # Of equal rows the present one comes first, then the first that comes in: sorting is stable.
    order = np.lexsort(both[::-1])
    rows = order[_changes([column[order] for column in both])] - len(present[0])
    return rows[rows >= 0]


def _changes(columns: Sequence[Numbers]) -> npt.NDArray[np.bool_]:
    """For each row of sorted columns, whether it differs from the one before it."""
    differs = np.ones(len(columns[0]), dtype=bool)
    differs[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return differs


def _runs(columns: Sequence[Numbers]) -> list[tuple[int, int]]:
    """Where equal rows of sorted columns begin and end."""
    edges = np.flatnonzero(_changes(columns)) if len(columns[0]) else np.empty(0, dtype=np.int64)
    return list(zip(edges.tolist(), [*edges[1:].tolist(), len(columns[0])], strict=True)) if len(edges) else []


def _parts(new: Said) -> list[Numbers]:
    """Which words share a row; `new` is sorted by `_order`. A chunk's words ascend by person."""
    everything = np.arange(len(new))
    parts = [everything[low:high] for low, high in _runs(new.columns[:4]) if high - low >= SHARED_FROM]
    rest = np.ones(len(new), dtype=bool)
    for part in parts:
        rest[part] = False
    left = everything[rest]
    order = left[np.lexsort((new.subjects[left], new.terms[left]))]
    # A chunk holds nobody twice: the second word of a person to the same terms goes to another one.
    same = np.flatnonzero(_changes((new.terms[order], new.subjects[order]))) if len(order) else order
    turn = np.arange(len(order)) - np.repeat(same, np.diff(np.append(same, len(order))))
    by_turn = np.lexsort((turn, new.terms[order]))
    order, turn = order[by_turn], turn[by_turn]
    for low, high in _runs((new.terms[order], turn)):
        if high - low >= PACKED_FROM:
            some = [order[at : min(at + CHUNK_WORDS, high)] for at in range(low, high, CHUNK_WORDS)]
            parts.extend(some)
            rest[order[low:high]] = False
    left = everything[rest]
    parts.extend(left[low:high] for low, high in _runs([column[left] for column in new.columns[:4]]))
    return parts


def _rows(new: Said, parts: Sequence[Numbers], first: int, at: str) -> Iterator[tuple[object, ...]]:
    for no, part in enumerate(parts, start=first):
        low = part[0]
        term = (no, int(new.terms[low]), int(new.said_at[low]), int(new.begins[low]))
        ends = None if new.ends[low] == NO_END else int(new.ends[low])
        if len(part) == 1:
            yield *term, ends, int(new.subjects[low]), None, None, None, None, None, at
            continue
        words = new.take(part)
        if _changes(words.columns[:4])[1:].any():
            people, said_at = words.subjects, words.said_at
            reach = (int(people[0]), int(people[-1]), int(said_at.max()))
            yield (
                *term[:2],
                int(said_at.min()),
                int(words.begins.min()),
                None,
                None,
                None,
                pack_chunk(words),
                *reach,
                at,
            )
        else:
            yield *term, ends, None, pack(from_array(words.subjects.astype(np.uint32))), None, None, None, None, at


def _add_records(tx: Tx, subjects: Numbers, row_of: Numbers, ids: pa.Array, releases: pa.Array) -> None:
    own = np.flatnonzero(pc.or_(pc.not_equal(ids, ""), pc.not_equal(releases, "")).to_numpy(zero_copy_only=False))
    # In the order of the table's key, a database appends.
    own = own[np.lexsort((row_of[own], subjects[own]))]
    bulk.insert(
        tx,
        consent_records,
        ("subject_no", "consent_no", "record_id", "release_sha256"),
        (
            (who, row, name, digest or None)
            for at in range(0, len(own), _AT_ONCE)
            for some in [own[at : at + _AT_ONCE]]
            for who, row, name, digest in zip(
                subjects[some].tolist(),
                row_of[some].tolist(),
                ids.take(pa.array(some)).to_pylist(),
                releases.take(pa.array(some)).to_pylist(),
                strict=True,
            )
        ),
    )


def contradicting(conn: Connection, said: Said, record_ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of these words come under a record id that is on record with other words, or of another person.

    Args:
        record_ids: for each word the id of its record, or "".
    Cost: ids are looked up by index as long as they are few, otherwise one pass over the records.
    """
    against = np.zeros(len(said), dtype=bool)
    wanted = pc.unique(record_ids)
    rows, subjects, held = _under(conn, wanted)
    code = pc.index_in(record_ids, value_set=wanted).to_numpy(zero_copy_only=False).astype(np.int64)
    on_record = _words_in(conn, rows, subjects) if len(held) else said
    for least in range(0, len(wanted) if len(held) else 0, _AT_ONCE):
        known = np.flatnonzero((code >= least) & (code < least + _AT_ONCE) & np.isin(code, held))
        present = np.flatnonzero((held >= least) & (held < least + _AT_ONCE))
        columns = (*on_record.take(present).columns, held[present]), (*said.take(known).columns, code[known])
        against[known[_fresh(*columns[::-1])]] = True
    return against


def _under(conn: Connection, wanted: pa.Array) -> tuple[Numbers, Numbers, Numbers]:
    """The records of these ids: the row of each, its person, and which id it is."""
    c = consent_records.c
    query = sa.select(c.record_id, c.consent_no, c.subject_no).where(c.record_id != "")
    few = [name for name in wanted.to_pylist() if name] if len(wanted) <= 10 * LOOKUP else None
    chosen = (
        [query]
        if few is None
        else [query.where(c.record_id.in_(few[at : at + LOOKUP])) for at in range(0, len(few), LOOKUP)]
    )
    parts = [np.empty((3, 0), dtype=np.int64)]
    for one in chosen:
        for rows in driver_chunks(conn, one):
            names, numbers, people = zip(*rows, strict=True)
            code = pc.index_in(pa.array(names, type=pa.string()), value_set=wanted)
            here = code.is_valid().to_numpy(zero_copy_only=False)
            parts.append(np.array((numbers, people, code.fill_null(-1).to_numpy()), dtype=np.int64)[:, here])
    row, who, which = np.concatenate(parts, axis=1)
    return row, who, which


def _words_in(conn: Connection, rows: Numbers, subjects: Numbers) -> Said:
    """The words that lie in these rows under these persons."""
    words, held = read(conn, people=_distinct(subjects))
    names = held << 32 | words.subjects
    order = np.argsort(names)
    return words.take(order[np.searchsorted(names[order], rows << 32 | subjects)])
