"""Consent lists: imported by the million, exported as ISO/IEC TS 27560 in JSON-LD, and back; bad rows named, never dropped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from pyarrow import parquet

from unsee.app import consents, registry
from unsee.app.consent_export import export
from unsee.app.consent_files import import_file
from unsee.app.workspace import Workspace, create
from unsee.books import consents as book
from unsee.books import residents
from unsee.books import subjects as people
from unsee.books.schema import consents as table
from unsee.books.schema import residents as places
from unsee.books.schema import subjects
from unsee.core.consent import ConsentState
from unsee.core.dpv import PREFIXES
from unsee.core.errors import MetadataError, PolicyRefusal, RowsRefused, UnknownPurpose, WrongState
from unsee.core.ids import PersonId, SourceId
from unsee.core.notices import Notice

PANEL = SourceId("panel")
DANA = PersonId("dana")
HEADER = [
    "person",
    "purpose",
    "state",
    "notice",
    "said_at",
    "valid_until",
    "jurisdiction",
    "record_id",
    "release_sha256",
]
GOOD = [
    ["p-1", "train;evaluate", "given", "n-2024", "2024-02-01", "2027-01-31", "US-IL", "r-1", "a" * 64],
    ["p-2", "train", "given", "n-2024", "2024-02-01T10:00:00Z", "", "IE", "r-2", ""],
    ["p-2", "train", "withdrawn", "by letter", "2025-02-01T10:00:00+01:00", "", "", "r-3", ""],
    ["p-3", "any", "given", "older: one", "2024-02-01T10:00:00Z", "", "ie", "", ""],
]
NOTICE = Notice(
    id="n-2024",
    language="en",
    text_sha256="",
    published_on=date(2024, 1, 1),
    controllers=("Corpus Ltd",),
    purposes=("train", "evaluate"),
    data_types=("photo", "gait"),
    recipients=("Cloud & Co",),
    storage="in Ireland",
    retention="3 years",
    withdrawal_method="https://example.org/withdraw",
    separate_from_terms=True,
)


def workspace(root: Path) -> Workspace:
    ws = create(root, "Corpus Ltd")
    registry.add_person(ws, "dana", name="Dana", title="DPO", organisation=None, key_file=None)
    registry.add_source(
        ws,
        "panel",
        title="Panel",
        kind="panel",
        issuer="Panel GmbH",
        collected_on=date(2024, 1, 1),
        data_classes=["photo"],
        geography="IE",
        legacy=False,
    )
    text = root / "notice.txt"
    text.write_text("We train with your photos.")
    consents.add_notice(ws, NOTICE, text=text, person=DANA)
    return ws


@pytest.fixture
def ws(quick: Path) -> Workspace:
    return workspace(quick / "books")


def write(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table(dict(zip(header, zip(*rows, strict=True), strict=True))), path)
    else:
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
    return path


def take(ws: Workspace, path: Path, **changes: object):
    return import_file(ws, path, source=PANEL, person=DANA, **changes)


def standing(ws: Workspace) -> dict[str, tuple[int, int, int]]:
    with ws.books.read() as conn:
        found = book.consenting(conn, datetime(2026, 1, 1, tzinfo=UTC))
    return {purpose: (len(c.people), len(c.released), len(c.separate)) for purpose, c in found.items()}


def everything(ws: Workspace) -> list[object]:
    with ws.books.read() as conn:
        return [conn.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in (table, subjects, places)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_list_says_the_same_in_every_format_and_again_nothing(ws: Workspace, quick: Path, suffix: str) -> None:
    path = write(quick / f"list{suffix}", GOOD)
    done = take(ws, path)
    assert (done.rows, done.words, done.new, done.people, done.new_people) == (4, 5, 5, 3, 3)
    assert done.residents == {"US-IL": 1, "IE": 2}
    assert done.unregistered_notices == ["older: one"]
    assert {p: standing(ws)[p] for p in ("any", "train", "test-fairness")} == {
        "any": (1, 0, 0),
        "train": (2, 1, 1),
        "test-fairness": (2, 1, 1),
    }
    assert consents.counts(ws)["panel"] == {
        "consented": 2,
        "withdrawn": 1,
        "silent": 0,
        "expired": 0,
        "people": 3,
    }
    again = take(ws, path)
    assert (again.rows, again.words, again.new, again.new_people) == (4, 5, 0, 0)
    assert not any(again.residents.values())


def test_parquet_times_and_lists_are_read_as_what_they_are(ws: Workspace, quick: Path) -> None:
    moment = datetime(2024, 2, 1, 10, tzinfo=UTC)
    table = pa.table(
        {
            "person": ["p-1"],
            "purpose": [["train", "evaluate"]],
            "state": pa.array(["given"]).dictionary_encode(),
            "notice": ["n-2024"],
            "said_at": pa.array([moment], type=pa.timestamp("us", "UTC")),
            "valid_until": [date(2027, 1, 31)],
        }
    )
    parquet.write_table(table, quick / "list.parquet")
    take(ws, quick / "list.parquet")
    words = [r.word for r in consents.show(ws, "p-1", PANEL).history]
    assert {(w.purpose, w.said_at, w.valid_until) for w in words} == {
        (p, moment, datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC)) for p in ("train", "evaluate")
    }


BAD = {
    "purpose": ("trian", "There is no purpose 'trian'"),
    "state": ("maybe", "'maybe' is no state; states are given, renewed, withdrawn, refused"),
    "notice": ("", "nobody consents without a notice"),
    "said_at": ("2024-02-30", "'2024-02-30' is no day"),
    "valid_until": ("2023-01-31", "it ends before it begins"),
    "jurisdiction": ("Ireland!", "'IRELAND!' is no code of a place"),
    "record_id": ("r-1", "it is in line 2 already"),
    "release_sha256": ("abc", "it is no SHA-256"),
    "person": ("", "whose consent is it"),
}


@pytest.mark.parametrize("field", BAD)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_bad_row_is_named_by_line_and_field_and_refuses_the_list(
    ws: Workspace, quick: Path, field: str, suffix: str
) -> None:
    value, reason = BAD[field]
    row = ["p-9", "train", "given", "n-2024", "2024-02-01", "", "", "r-9", ""]
    row[HEADER.index(field)] = value
    before = everything(ws)
    path = write(quick / f"list{suffix}", [GOOD[0], row])
    with pytest.raises(RowsRefused) as caught:
        take(ws, path)
    (problem,) = caught.value.details
    line = {".csv": 3, ".jsonl": 2, ".parquet": 2}[suffix]
    assert (problem.line, problem.field) == (line, field)
    assert reason.replace("line 2", f"line {line - 1}") in problem.message
    assert everything(ws) == before
    kept = take(ws, path, keep_good=True)
    assert (kept.rows, kept.new, kept.people, kept.new_people, kept.bad_rows) == (1, 2, 1, 1, 1)


def test_nobody_consents_to_what_the_notice_does_not_tell_and_nothing_is_said_tomorrow(
    ws: Workspace, quick: Path
) -> None:
    rows = [
        ["p-1", "share", "given", "n-2024", "2024-02-01", "", "", "", ""],
        ["p-1", "share", "withdrawn", "n-2024", "2024-02-01", "", "", "", ""],
        ["p-1", "train", "given", "n-2024", "2999-02-01", "", "", "", ""],
    ]
    done = take(ws, write(quick / "list.csv", rows), keep_good=True)
    assert [(p.line, p.field, p.message) for p in done.problems] == [
        (2, "notice", "notice n-2024 does not tell of share"),
        (4, "said_at", "it lies in the future"),
    ]
    assert done.new == 1


def test_a_record_id_keeps_its_meaning(ws: Workspace, quick: Path) -> None:
    take(ws, write(quick / "list.csv", GOOD))
    other = [["p-7", "train", "given", "n-2024", "2024-02-01", "", "", "r-2", ""], [*GOOD[1][:3], *GOOD[1][3:]]]
    done = take(ws, write(quick / "other.csv", [other[0], GOOD[0]]), keep_good=True)
    assert [(p.line, p.message) for p in done.problems] == [(2, "it is on record already, with other words")]
    assert (done.rows, done.new, done.new_people) == (1, 0, 0)


@pytest.mark.parametrize(
    ("content", "line", "field", "reason"),
    [
        (b"", None, None, "it is empty"),
        ("person,purpose\n".encode("utf-16"), 1, None, "UTF-16"),
        (b"person,porpose,state,notice,said_at\n", 1, "porpose", "did you mean 'purpose'?"),
        (b"person,purpose,state,notice\n", 1, "said_at", "the column is missing"),
        (b"person,person\n", 1, "person", "twice"),
        (b"x" * (17 << 20), 1, None, "longer than 16 MB"),
    ],
    ids=["empty", "utf-16", "misspelt", "missing", "twice", "endless line"],
)
def test_a_file_that_cannot_be_a_list_is_refused_whatever_was_chosen(
    ws: Workspace, quick: Path, content: bytes, *, line: int, field: str, reason: str
) -> None:
    path = quick / "list.csv"
    path.write_bytes(content)
    with pytest.raises(MetadataError) as caught:
        take(ws, path, keep_good=True)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert reason in caught.value.message


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_cannot_be_read_is_named_and_the_rest_is_kept(ws: Workspace, quick: Path, kind: str) -> None:
    long = "x" * 10_000_000
    values = [b"p-1", b"p-\xe9", long.encode(), b"p\x00-3", b"p-4"]
    if kind == "csv":
        lines = [b"\xef\xbb\xbfperson,purpose,state,notice,said_at"]
        lines += [v + b",train,given,n-2024,2024-02-01" for v in values]
        lines += [b"p-5,train", b"", b'"p-6"x,train,given,n-2024,2024-02-01', b"p-7,train,given,n-2024,2024-02-01"]
    else:
        end = b'", "purpose": ["train"], "state": "given", "notice": "n-2024", "said_at": "2024-02-01"}'
        lines = [
            b'\xef\xbb\xbf{"person": "p-0' + end,
            *(b'{"person": "' + v.replace(b"\x00", b"\\u0000") + end for v in values),
        ]
        lines += [b'{"person": "p-5"}', b"", b"{", b'{"person": "p-7' + end]
    path = quick / f"list.{kind}"
    path.write_bytes(b"\n".join(lines) + b"\n")
    done = take(ws, path, keep_good=True)
    good = {"csv": 3, "jsonl": 4}[kind]
    assert (done.rows, done.people, {p.line for p in done.problems}) == (good, good, {3, 4, 5, 7, 9})
    said = {(p.line, p.field): p.message for p in done.problems}
    assert "UTF-8" in next(text for (line, _field), text in said.items() if line == 3)
    assert said[4, "person"] == "it is longer than 4,096 characters"
    assert said[5, "person"] == "it holds a NUL character"


def test_half_a_parquet_file_is_refused(ws: Workspace, quick: Path) -> None:
    path = write(quick / "list.parquet", GOOD)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MetadataError, match="it is no whole Parquet file"):
        take(ws, path)


def test_a_killed_import_leaves_nothing(ws: Workspace, quick: Path) -> None:
    before = everything(ws)
    path = write(quick / "list.csv", [[f"p-{i}", *GOOD[1][1:7], "", ""] for i in range(500)])
    code = (
        "import os, signal, sys; from pathlib import Path; from unsee.app.workspace import open_workspace\n"
        "from unsee.app import consent_files; from unsee.books import facts\n"
        "facts.record = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"consent_files.import_file(open_workspace(Path({str(ws.root)!r})), Path({str(path)!r}), source='panel', person='dana')"
    )
    died = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL
    assert everything(ws) == before


@pytest.mark.parametrize("lines", [False, True], ids=["graph", "lines"])
def test_what_is_exported_and_imported_elsewhere_stands_as_it_stood(ws: Workspace, quick: Path, lines: bool) -> None:
    take(ws, write(quick / "list.csv", GOOD))
    out = StringIO()
    assert export(ws, out, lines=lines) == 4
    path = quick / "records.jsonld"
    path.write_text(out.getvalue())
    there = workspace(quick / "there")
    done = take(there, path)
    assert (done.rows, done.new) == (4, 5)
    assert standing(there) == standing(ws)
    with ws.books.read() as conn, there.books.read() as other:
        assert {k: len(v) for k, v in residents.residents(conn).items()} == {
            k: len(v) for k, v in residents.residents(other).items()
        }
    again = StringIO()
    export(there, again, lines=lines)
    assert sorted(again.getvalue().splitlines()) == sorted(out.getvalue().splitlines())
    assert take(ws, path).new == 0, "and at home nothing of it is new"


@pytest.mark.parametrize("people_at_once", [1, 2])
def test_an_export_in_blocks_of_people_is_the_export_at_once(
    ws: Workspace, quick: Path, monkeypatch: pytest.MonkeyPatch, people_at_once: int
) -> None:
    registry.add_source(
        ws,
        "other",
        title="Other",
        kind="panel",
        issuer="Panel GmbH",
        collected_on=date(2024, 1, 1),
        data_classes=["photo"],
        geography="IE",
        legacy=False,
    )
    other = SourceId("other")
    take(ws, write(quick / "list.csv", GOOD[:2]))
    import_file(ws, write(quick / "other.csv", GOOD[3:]), source=other, person=DANA)
    take(ws, write(quick / "later.csv", [["p-4", *GOOD[1][1:7], "r-4", ""]]))
    whole = {}
    for source in (None, PANEL, other):
        out = StringIO()
        assert export(ws, out, source=source, lines=True) == {None: 4, PANEL: 3, other: 1}[source]
        whole[source] = out.getvalue()
    assert set(whole[None].splitlines()) == {*whole[PANEL].splitlines(), *whole[other].splitlines()}
    monkeypatch.setattr(people, "_AT_ONCE", people_at_once)
    for source, text in whole.items():
        out = StringIO()
        export(ws, out, source=source, lines=True)
        assert out.getvalue() == text


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # within rdflib itself
@pytest.mark.parametrize("lines", [False, True], ids=["graph", "lines"])
def test_r29_a_record_says_in_dpv_terms_what_27560_asks(ws: Workspace, quick: Path, lines: bool) -> None:
    import rdflib

    take(ws, write(quick / "list.csv", [GOOD[0]]))
    out = StringIO()
    export(ws, out, lines=lines)
    graph = rdflib.Graph().parse(data=out.getvalue(), format="json-ld")
    asked = """SELECT ?id ?person ?notice ?language ?text ?apart ?purpose ?above ?data ?controller ?recipient ?storage ?retention
        ?place ?control ?at ?until ?basis ?release WHERE {
      ?r a dpv:ConsentRecord ; dct:conformsTo <https://w3id.org/dpv/schema/dpv-27560#record> ; dct:identifier ?id ;
         dpv:hasDataSubject ?person ; dpv:hasNotice ?n ; dpv:hasProcess ?process ; dpv:hasLegalBasis ?basis ;
         dpv:hasJurisdiction ?place ; dpv:hasConsentControl [ a dpv:WithdrawConsent ; dpv:isExercisedAt ?control ] ;
         dpv:hasConsentStatus [ a dpv:ConsentGiven ; dpv:isIndicatedAtTime ?at ; dpv:isIndicatedBy ?person ;
                                dpv:hasDuration [ a dpv:UntilTimeDuration ; dcat:endDate ?until ] ] ;
         unsee:releaseSha256 ?release .
      ?n a dpv:ConsentNotice ; dct:identifier ?notice ; dct:language ?language ; unsee:textSha256 ?text ;
         unsee:separateFromTerms ?apart .
      ?process a dpv:Process ; dpv:hasPurpose ?purpose ; dpv:hasPersonalData ?data ;
         dpv:hasDataController [ dpv:hasName ?controller ] ; dpv:hasRecipient [ dpv:hasName ?recipient ] ;
         dpv:hasStorageCondition [ a dpv:StorageLocation ; dct:description ?storage ] ,
                                 [ a dpv:StorageDuration ; dct:description ?retention ] .
      ?purpose skos:broader ?above }"""
    rows = [r.asdict() for r in graph.query(asked, initNs=dict(PREFIXES))]
    assert {(str(r["purpose"]).split(":")[-1], str(r["data"])) for r in rows} == {
        (p, d) for p in ("train", "evaluate") for d in ("https://w3id.org/dpv/pd#Picture", "urn:unsee:data-type:gait")
    }
    assert "https://w3id.org/dpv#ResearchAndDevelopment" in {str(r["above"]) for r in rows}
    one = {k: str(v) for k, v in rows[0].items()}
    assert (one["id"], one["notice"], one["language"], one["apart"]) == ("r-1", "n-2024", "en", "true")
    assert (one["place"], one["basis"]) == ("https://w3id.org/dpv/loc#US-IL", "https://w3id.org/dpv#Consent")
    assert (one["at"], one["until"]) == ("2024-02-01T00:00:00+00:00", "2027-01-31T23:59:59+00:00")
    assert (one["controller"], one["recipient"]) == ("Corpus Ltd", "Cloud & Co")
    assert (one["storage"], one["retention"], one["release"]) == ("in Ireland", "3 years", "a" * 64)
    assert "p-1" not in out.getvalue().replace("urn:unsee", ""), "the giver's own id is nowhere"


def test_a_person_gives_withdraws_and_renews(ws: Workspace) -> None:
    saying = consents.Saying("p-1", PANEL, ("train",), "n-2024")
    with pytest.raises(WrongState, match="nothing to renew"):
        consents.give(ws, saying, person=DANA, renew=True)
    with pytest.raises(PolicyRefusal, match="does not tell of share"):
        consents.give(ws, replace(saying, purposes=("share",)), person=DANA)
    with pytest.raises(UnknownPurpose):
        consents.give(ws, replace(saying, purposes=("spy",)), person=DANA)
    assert consents.give(ws, saying, person=DANA) == 1
    assert consents.withdraw(ws, replace(saying, purposes=("train-face-recognition",), notice=""), person=DANA) == 1
    account = consents.show(ws, "p-1", PANEL)
    assert [r.word.state for r in account.history] == [ConsentState.GIVEN, ConsentState.WITHDRAWN]
    facts = [json.loads(f) for f in _facts(ws)]
    assert [f["fact"] for f in facts][-2:] == ["ConsentGiven", "ConsentWithdrawn"]
    assert "p-1" not in json.dumps(facts)


def _facts(ws: Workspace) -> list[str]:
    with ws.books.read() as conn:
        return [row[0] for row in conn.exec_driver_sql("SELECT body FROM facts ORDER BY seq")]
