"""What people said yes or no to. A withdrawal is a new row; what the words of a person add up to is `core.consent`'s rule.

What was said lies in `consent_terms`, a few dozen rows; who said it and when in `consents`, packed by `consent_words`. Questions
about all people are answered over arrays, never person by person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books.consent_words import LOOKUP, NO_END, Numbers, Said, Terms, all_terms, as_word, read, terms_numbers
from unsee.books.consent_writing import add
from unsee.books.database import Tx
from unsee.books.schema import consent_records as _records
from unsee.books.schema import consents, notices
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import ItemSet, SubjectNo
from unsee.core.purposes import PARENT, ancestors, known, overlaps

_NEVER: Final = np.iinfo(np.int64).min


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
    ids = pa.array([w.record_id for w in words], type=pa.string())
    releases = pa.array([w.release_sha256 for w in words], type=pa.string())
    return add(tx, said, record_ids=ids, releases=releases)


def words(conn: Connection, *, until: datetime | None = None) -> Said:
    """Every word on record, in no order; `until`: only those said by then.

    Cost, measured for 1 million words in chunks: 0.1 s.
    """
    return read(conn, until=None if until is None else _seconds(until))[0]


def consenting(conn: Connection, moment: datetime, *, said: Said | None = None) -> dict[str, Consenting]:
    """For each purpose that somebody consents to at `moment`, who does. With a purpose those below it are in the answer too.

    Where the same people consent to a purpose as to the one above it, both hold the same object.

    Args:
        said: the words by then, where the caller has read them.
    Cost, measured with reading: 1 million words in chunks 0.2 to 0.7 s, 3 million 0.5 to 1.1 s.
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
    """What one person said, by when it was said.

    Cost: the rows that people share by the second are looked into one by one; of the chunks those of their neighbours only.
    """
    said, rows = read(conn, people=np.array([subject], dtype=np.int64))
    terms = all_terms(conn)
    numbers = rows.tolist()
    recorded_at: dict[int, str] = {}
    for at in range(0, len(numbers), LOOKUP):
        some = sa.select(consents.c.no, consents.c.recorded_at).where(consents.c.no.in_(numbers[at : at + LOOKUP]))
        recorded_at |= {r.no: r.recorded_at for r in conn.execute(some)}
    records = {r.consent_no: r for r in conn.execute(sa.select(_records).where(_records.c.subject_no == subject))}
    found = []
    for no, term, *times in zip(numbers, *(column.tolist() for column in said.columns[:4]), strict=True):
        own = records.get(no)
        record_id, release = (own.record_id, own.release_sha256 or "") if own else ("", "")
        word = as_word(
            terms[term], subject, (times[0], times[1], times[2]), record_id=record_id, release_sha256=release
        )
        found.append(Recorded(no, word, recorded_at[no]))
    return sorted(found, key=lambda one: (one.word.said_at, one.no))


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
