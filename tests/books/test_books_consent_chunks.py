"""However words of consent are packed into rows, the books answer the same."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from book_writing import NOW, undone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.books import consent_words, consent_writing, consents
from unsee.books.consent_words import Said, pack_chunk, unpack_chunk
from unsee.books.schema import consent_records
from unsee.books.schema import consents as table
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import SubjectNo

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
LAYOUTS = ("rows of one", "as few rows as can be", "crumbs")
NUMBERS = st.integers(-(2**63), 2**63 - 1)


def layout(monkeypatch, name):
    """How rows are filled: not at all, by the rule of a large import, or with cuts everywhere."""
    shared, packed, words, at_once = {
        "rows of one": (10**6, 10**6, 10, 10**6),
        "as few rows as can be": (3, 2, 10**6, 10**6),
        "crumbs": (10**6, 1, 2, 2),
    }[name]
    monkeypatch.setattr(consent_writing, "SHARED_FROM", shared)
    monkeypatch.setattr(consent_writing, "PACKED_FROM", packed)
    monkeypatch.setattr(consent_writing, "CHUNK_WORDS", words)
    monkeypatch.setattr(consent_writing, "_AT_ONCE", at_once)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_a_chunk_holds_any_words(words):
    subjects, said_at, begins, ends = (np.array(column, dtype=np.int64) for column in zip(*words, strict=True))
    put_in = Said(np.full(len(words), 7), said_at, begins, ends, subjects)
    for column, back in zip(put_in.columns, unpack_chunk(7, pack_chunk(put_in)).columns, strict=True):
        assert column.tolist() == back.tolist()


def test_a_chunk_of_words_that_follow_each_other_takes_a_few_bytes_a_word():
    subjects = np.arange(30_000)
    said_at = 1_700_000_000 + 7 * subjects
    words = Said(np.ones_like(subjects), said_at, said_at, np.full(30_000, consent_words.NO_END), subjects)
    assert len(pack_chunk(words)) < 7 * 30_000


words_said = st.builds(
    lambda person, given, purpose, said, lasts: Consent(
        SubjectNo(person),
        purpose,
        ConsentState.GIVEN if given else ConsentState.WITHDRAWN,
        "notice",
        NOW + timedelta(seconds=said),
        NOW + timedelta(seconds=said),
        None if lasts is None or not given else NOW + timedelta(seconds=said + lasts),
        record_id=f"{person} at {said}" if said % 2 else "",
        release_sha256="f" * 64 if given and said == 1 else "",
        released=given and said == 1,
    ),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from(["train", "train-face-recognition"]),
    st.integers(-4, 2),
    st.none() | st.integers(0, 3),
)


def answers(conn, after):
    moment = NOW + timedelta(seconds=after)
    said = [Counter((r.word, r.recorded_at) for r in consents.history(conn, SubjectNo(who))) for who in range(1, 7)]
    return consents.consenting(conn, moment), consents.heard(conn, moment), said


@pytest.mark.parametrize("packing", LAYOUTS[1:])
@SHARED
@given(st.lists(words_said, max_size=30, unique_by=repr), st.integers(-5, 3), st.data())
def test_packing_changes_no_answer(books, packing, history, after, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=2)))
    found = []
    for name in (LAYOUTS[0], packing):
        with pytest.MonkeyPatch.context() as patch, undone(books) as tx:
            layout(patch, name)
            written = [
                consents.record(tx, history[low:high])
                for low, high in zip([0, *cuts], [*cuts, len(history)], strict=True)
            ]
            assert consents.record(tx, history[::-1]) == 0, "what is on record is found in whatever row it lies"
            found.append((written, answers(tx.conn, after)))
    assert found[0] == found[1]


@pytest.mark.parametrize("packing", LAYOUTS)
def test_people_who_spoke_at_seconds_of_their_own_are_read_by_person_and_by_time(books, monkeypatch, packing):
    layout(monkeypatch, packing)
    people = np.arange(1, 41)
    with undone(books) as tx:
        said = Said(*(np.asarray(c, dtype=np.int64) for c in (people * 0 + a_term(tx), people, people, people, people)))
        assert consent_writing.add(tx, said) == 40
        assert len(tx.conn.execute(table.select()).all()) == {"rows of one": 40, "crumbs": 20}.get(packing, 1)
        some, _rows = consent_words.read(tx.conn, people=np.array([3, 17, 50]), since=4, until=60)
        assert some.subjects.tolist() == [17]
        some, _rows = consent_words.read(tx.conn, since=39)
        assert sorted(some.said_at.tolist()) == [39, 40]


@pytest.mark.parametrize("packing", LAYOUTS)
def test_a_record_id_is_found_again_in_whatever_row_its_word_lies(books, monkeypatch, packing):
    layout(monkeypatch, packing)
    people = np.arange(1, 7)
    names = pa.array([f"r-{n}" for n in people])
    with undone(books) as tx:
        said = Said(*(np.asarray(c, dtype=np.int64) for c in (people * 0 + a_term(tx), people, people, people, people)))
        assert consent_writing.add(tx, said, record_ids=names) == 6
        assert len(tx.conn.execute(consent_records.select()).all()) == 6
        later = Said(said.terms, said.said_at + (people == 4), said.begins, said.ends, np.where(people == 2, 1, people))
        assert not consent_writing.contradicting(tx.conn, said, names).any()
        assert consent_writing.contradicting(tx.conn, later, names).tolist() == [False, True, False, True, False, False]
        assert not consent_writing.contradicting(tx.conn, later, pa.array([""] * 6)).any()


def a_term(tx):
    return next(iter(consent_words.terms_numbers(tx, [consent_words.Terms("train", ConsentState.GIVEN, "n")]).values()))
