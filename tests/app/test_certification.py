"""The end of an order: what the certificate says is what happened, a stranger can check it, and file names are destroyed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from small_corpus import ADA, OKCUPID, ORDER, PANEL, PLAN, Corpus, innocent
from unsee.app.certification import Certified, Measured, Request, certify, receipt
from unsee.core.errors import InputError, NotFound, WrongState


def certified(small: Corpus, *, receipts: bool = False, order: str = ORDER) -> Certified:
    out = small.root / "out" / order
    return certify(small.ws, Request(order, ADA, out, None, None, receipts, "own knowledge"))


def stranger(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The outsider's verifier, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from unsee_verify.cli import main; raise SystemExit(main())", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def verified(small: Corpus) -> Corpus:
    small.ready().apply()
    small.verify()
    return small


def people_of(photos_csv: str) -> list[str]:
    lines = photos_csv.splitlines()
    column = lines[0].split(",").index("person")
    return sorted({line.split(",")[column] for line in lines[1:]})


def test_r20_a_stranger_recomputes_the_certificate(verified: Corpus) -> None:
    made = certified(verified)
    ended = stranger(made.certificate, "--pdf", made.pdf, "--key", verified.ws.operator_key.public.hex)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "is that one" in ended.stdout  # the PDF
    assert stranger(made.certificate, "--key", "00" * 32).returncode != 0


def test_the_counts_of_the_certificate_are_those_of_the_erasure(small: Corpus) -> None:
    going, photos = small.scope_files(), (small.corpus / "okcupid" / "photos.csv").read_text().splitlines()[1:]
    small.ready().apply()
    small.verify()
    report = json.loads(stranger(certified(small).certificate, "--json").stdout)
    text = json.dumps(report)
    claims = json.loads((small.root / "out" / ORDER / "certificate.json").read_text())["plan"]["scope"]
    assert claims["photo"] == len(photos)
    assert claims["copy"] == len(going)
    assert claims["document"] == 1
    assert "rec-2014" in text
    assert "rec-panel" not in text


def test_r21_no_file_name_of_the_scope_is_left_in_the_workspace(small: Corpus) -> None:
    names = [p.name for p in small.scope_files() if p.suffix == ".jpg" and p.name.startswith("u")]
    small.ready().apply()
    small.verify()
    certified(small, receipts=True)
    for path in sorted(p for p in (small.root / "ws").rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert not [n for n in names if n.encode() in data], path
    assert sorted(p.name for p in (small.root / "ws" / "plans" / PLAN).iterdir()) == ["summary.json"]


def test_r21_a_plan_that_was_never_carried_out_keeps_no_names_either(small: Corpus) -> None:
    small.open_order()
    small.plan()
    small.plan()
    small.approve("plan-0001-2")
    small.apply("plan-0001-2")
    small.verify()
    certified(small)
    for plan in (PLAN, "plan-0001-2"):
        assert [p.name for p in (small.root / "ws" / "plans" / plan).iterdir()] == ["summary.json"]


def test_every_person_has_a_receipt_that_a_stranger_checks_and_nobody_else_has(small: Corpus) -> None:
    people = people_of((small.corpus / "okcupid" / "photos.csv").read_text())
    others = people_of((small.corpus / "panel" / "photos.csv").read_text())
    small.ready().apply()
    small.verify()
    with pytest.raises(WrongState):
        receipt(small.ws, ORDER, person=people[0])
    made = certified(small, receipts=True)
    assert made.receipts == len(people)
    written = {p.read_bytes() for p in sorted((small.root / "out" / ORDER / "receipts").iterdir())}
    assert written == {receipt(small.ws, ORDER, person=person) for person in people}
    mine = small.root / "mine.json"
    mine.write_bytes(receipt(small.ws, ORDER, person=people[0]))
    assert stranger(mine, "--certificate", made.certificate).returncode == 0
    assert people[0].encode() not in mine.read_bytes()
    mine.write_bytes(mine.read_bytes().replace(b'"erased":3', b'"erased":2'))
    assert stranger(mine, "--certificate", made.certificate).returncode == 1
    with pytest.raises(NotFound):
        receipt(small.ws, ORDER, person=others[0])


def test_nothing_is_certified_before_it_is_verified_or_twice(small: Corpus) -> None:
    small.ready()
    for _step in (small.apply, small.verify):
        with pytest.raises(WrongState):
            certified(small)
        _step()
    certified(small)
    with pytest.raises(WrongState):
        certified(small)


def test_a_certification_that_was_killed_at_its_end_still_destroys_the_names(verified: Corpus) -> None:
    certified(verified)
    left = verified.root / "ws" / "plans" / PLAN / "targets-00000.parquet"
    left.write_bytes(b"what a kill before the last step leaves")
    with pytest.raises(WrongState):
        certified(verified)
    assert not left.exists()


def test_r3_a_model_that_learned_from_the_scope_cannot_stand_in_for_itself(verified: Corpus) -> None:
    for after in ("rec-2014", "rec-none"):
        measured = Measured("rec-2014", after, "faces-panel")
        request = Request(ORDER, ADA, verified.root / "out", measured, None, False, "own knowledge")
        with pytest.raises((InputError, NotFound)):
            certify(verified.ws, request)


def test_a_source_that_goes_on_giving_can_be_ordered_away_again(verified: Corpus) -> None:
    """The whole life twice: what the first order took is no obstacle to the second, and does not come back by it."""
    certified(verified)
    again = verified.corpus / "okcupid-again"
    (again / "in").mkdir(parents=True)
    (again / "in" / "new.jpg").write_bytes(innocent(77))
    taken = verified.take_in(again / "in", OKCUPID)
    assert taken.new == 1
    verified.open_order()
    verified.plan("order-0002")
    verified.approve("plan-0002-1")
    verified.apply("plan-0002-1")
    seen = verified.verify("order-0002")
    assert seen.passed
    assert not again.exists()
    made = certified(verified, order="order-0002")
    assert stranger(made.certificate).returncode == 0


def test_the_retained_sources_can_be_used_on(verified: Corpus) -> None:
    certified(verified)
    verified.freeze("faces-after", PANEL)
    assert len(list(verified.open_dataset("faces-after"))) == 4
