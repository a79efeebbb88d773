"""Words of consent as arrays, and the rows that hold them.

A row of `consents` is one of three: a word of one person; one word that many people said at the same second (a bitmap); or words of
many people to the same terms, each with its own times (a chunk). No row holds a person twice, so a row and a person name a word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.database import Tx, driver_chunks, driver_rows
from unsee.books.schema import consent_terms, consents
from unsee.books.sets import to_array, unpack
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import SubjectNo

Numbers = npt.NDArray[np.int64]

NO_END: Final = np.iinfo(np.int64).max
"""What stands in an array for a term without an end."""
LOOKUP: Final = 900
"""Values that one query looks up by index."""
_WIDTHS: Final = (0, 1, 2, 4, 8)
_COLUMN: Final = struct.Struct("<qB")


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


def all_terms(conn: Connection) -> dict[int, Terms]:
    """Everything that was ever said, by number."""
    return {
        r.no: Terms(r.purpose, ConsentState(r.state), r.notice, r.basis, bool(r.released))
        for r in conn.execute(sa.select(consent_terms).order_by(consent_terms.c.no))
    }


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


def pack_chunk(words: Said) -> bytes:
    """The bytes of words to the same terms: how many, then subjects, said at, begins (after said at), ends.

    Each column is its smallest value (8 bytes), a width w of 0, 1, 2, 4 or 8 bytes (1 byte), and what each value is above the
    smallest, w bytes each, all little-endian. A column of equal values so takes 9 bytes.
    """
    columns = (words.subjects, words.said_at, words.begins - words.said_at, words.ends)
    return struct.pack("<I", len(words)) + b"".join(map(_pack_column, columns))


def unpack_chunk(terms: int, blob: bytes) -> Said:
    """The words of a chunk, as `pack_chunk` wrote them. Cost, measured: 15 ns a word."""
    (count,) = struct.unpack_from("<I", blob)
    at, columns = 4, []
    for _ in range(4):
        least, width = _COLUMN.unpack_from(blob, at)
        at += _COLUMN.size
        above = np.frombuffer(blob, dtype=f"<u{width}", count=count, offset=at) if width else np.zeros(count, np.uint8)
        at += width * count
        columns.append((above.astype(np.uint64) + np.uint64(least % 2**64)).view(np.int64))
    subjects, said_at, after, ends = columns
    return Said(np.full(count, terms, dtype=np.int64), said_at, said_at + after, ends, subjects)


def _pack_column(values: Numbers) -> bytes:
    # Unsigned arithmetic wraps around: the way from the smallest int64 to the largest is right too.
    least = int(values.min())
    above = values.view(np.uint64) - np.uint64(least % 2**64)
    most = int(above.max())
    width = next(w for w in _WIDTHS if most < 256**w)
    return _COLUMN.pack(least, width) + (above.astype(f"<u{width}").tobytes() if width else b"")


def read(
    conn: Connection, *, people: Numbers | None = None, since: int | None = None, until: int | None = None
) -> tuple[Said, Numbers]:
    """Words on record, in no order, and for each the number of the row that holds it.

    Args:
        people: of these subject numbers only, ascending, each once.
        since, until: only words said between these seconds, both included.
    Cost: people are looked up by index as long as they are few; chunks of others are not read, bitmaps of others are.
    """
    if people is not None and not len(people):
        return _joined([])
    parts = [
        *_of_one(conn, people, _within(consents.c.said_at, since, until)),
        *_of_many(conn, people, _within(consents.c.said_at, since, until)),
        *_of_chunks(conn, people, since, until),
    ]
    if people is not None:
        parts = [(words.take(mine), rows[mine]) for words, rows in parts for mine in [_held(words.subjects, people)]]
    return _joined(parts)


_Part = tuple[Said, Numbers]


def _joined(parts: Sequence[_Part]) -> _Part:
    nothing = np.empty(0, dtype=np.int64)
    columns = [
        np.concatenate([nothing, *column]) for column in zip(*(words.columns for words, _rows in parts), strict=True)
    ] or [nothing] * 5
    return Said(*columns), np.concatenate([nothing, *(rows for _words, rows in parts)])


def _held(subjects: Numbers, people: Numbers) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(people, subjects), len(people) - 1)
    found: npt.NDArray[np.bool_] = people[at] == subjects
    return found


def _within(column: sa.Column[Any], least: int | None, most: int | None) -> sa.ColumnElement[bool]:
    return sa.and_(
        sa.true(), *([column >= least] if least is not None else []), *([column <= most] if most is not None else [])
    )


_ENDS = sa.func.coalesce(consents.c.valid_until, NO_END)
_TERM = (consents.c.terms_no, consents.c.said_at, consents.c.valid_from, _ENDS)


def _of_one(conn: Connection, people: Numbers | None, when: sa.ColumnElement[bool]) -> Iterator[_Part]:
    who = consents.c.subject_no
    query = sa.select(*_TERM, who, consents.c.no).where(when, who.is_not(None))
    if people is None:
        chosen = [query]
    elif len(people) <= 10 * LOOKUP:
        chosen = [query.where(who.in_(people[at : at + LOOKUP].tolist())) for at in range(0, len(people), LOOKUP)]
    else:
        chosen = [query.where(who.between(int(people[0]), int(people[-1])))]
    for one in chosen:
        for rows in driver_chunks(conn, one):
            table = np.array(rows, dtype=np.int64)
            yield Said(*(np.ascontiguousarray(table[:, i]) for i in range(5))), np.ascontiguousarray(table[:, 5])


def _of_many(conn: Connection, people: Numbers | None, when: sa.ColumnElement[bool]) -> Iterator[_Part]:
    shared = consents.c.subject_set.is_not(None)
    for *term, no, blob in driver_rows(
        conn, sa.select(*_TERM, consents.c.no, consents.c.subject_set).where(when, shared)
    ):
        found = to_array(unpack(blob))
        if people is not None:
            found = found[np.searchsorted(found, people[0]) : np.searchsorted(found, people[-1], side="right")]
        terms, said_at, begins, ends, row = (np.full(len(found), value, dtype=np.int64) for value in (*term, no))
        yield Said(terms, said_at, begins, ends, found.astype(np.int64)), row


def _of_chunks(conn: Connection, people: Numbers | None, since: int | None, until: int | None) -> Iterator[_Part]:
    c = consents.c
    query = sa.select(c.terms_no, c.no, c.chunk).where(
        c.subject_first.is_not(None), _within(c.said_until, since, None), _within(c.said_at, None, until)
    )
    if people is not None:
        query = query.where(c.subject_first <= int(people[-1]), c.subject_last >= int(people[0]))
    for terms, no, blob in driver_rows(conn, query):
        words = unpack_chunk(terms, bytes(blob))
        inside = np.ones(len(words), dtype=bool)
        if since is not None:
            inside &= words.said_at >= since
        if until is not None:
            inside &= words.said_at <= until
        if not inside.all():
            words = words.take(inside)
        yield words, np.full(len(words), no, dtype=np.int64)
