"""Who else got it: a photo leaves only on record, an order freezes, a confirmation opens, and the papers say so."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from small_corpus import ADA, DANA, MEMBERS, OKCUPID, ORDER, PANEL, TRAIN, Corpus, agree
from unsee.app import agreements, certification, disclosures, export, orders, recipients, registry, uses
from unsee.app.disclosures import Told
from unsee.app.export import Grounds
from unsee.core.errors import (
    AlreadyExists,
    BlockedByOrder,
    InputError,
    InvalidName,
    InvalidValue,
    NotFound,
    PolicyRefusal,
    SharingFrozen,
    WrongState,
)
from unsee.core.ids import RecipientId
from unsee.core.parties import OnwardSharing, Terms
from unsee.core.sharing import Recipient
from unsee.replace.folder import ConsentSpec, FolderSpec, write_folder
from unsee.testing.faults import Completed, run_killed_at

CLOUDY = "cloudy"
LAB = "lab"
OPEN = "open-faces"
"""A source whose people agreed to sharing."""


def add_recipient(small: Corpus, who: str, **changes: str) -> None:
    fields = {"name": who.title(), "address": "1 Long Road, Ghent", "phone": "+32 9 000", **changes}
    recipients.add(small.ws, Recipient(RecipientId(who), **fields), person=DANA)


@pytest.fixture
def books(small: Corpus) -> Corpus:
    """The small corpus with two recipients."""
    add_recipient(small, CLOUDY)
    add_recipient(small, LAB)
    return small


@pytest.fixture
def shareable(books: Corpus) -> Corpus:
    """With a source that may be shared, frozen for it."""
    may_share(books)
    return books


def may_share(books: Corpus, terms: Terms | None = None) -> None:
    consent = ConsentSpec(("share", TRAIN, "verify-1-to-1"), "notice-2024-2", date(2024, 1, 1))
    write_folder(
        FolderSpec(seed=9, tones={"mid": 2}, photos_per_person=2, consent=consent), books.corpus / "open", workers=1
    )
    registry.add_source(
        books.ws, OPEN, title="t", kind="panel", issuer="Open Faces", collected_on=date(2024, 2, 1),
        data_classes=["photo"], geography="US", legacy=False,
    )  # fmt: skip
    agreements.draft(
        books.ws, "agreement-open", source=OPEN, document=books.document, purposes=["share", TRAIN, "verify-1-to-1"],
        prohibitions=[], valid_from=date(2024, 1, 1), valid_until=None, person=DANA,
        terms=terms or Terms(OnwardSharing.ALLOWED),
    )  # fmt: skip
    agree(books, "agreement-open")
    books.take_in(books.corpus / "open", OPEN)
    books.freeze("to-share", OPEN, purpose="share")


def tell(books: Corpus, to: str = CLOUDY, **changes: object) -> object:
    fields = {"kind": "share", "on": date(2014, 9, 25), "purpose": TRAIN, "basis": "an e-mail", **changes}
    if not {"source", "dataset", "model"} & set(fields):
        fields["source"] = OKCUPID
    return disclosures.record(books.ws, Told(to, **fields), person=DANA)


def send(books: Corpus, where: Path, *, to: str = CLOUDY, dataset: str = "to-share") -> export.Exported:
    return export.export_dataset(
        books.ws, dataset, where, Grounds(to, "share", DANA), on_progress=lambda _what, _done, _total: None
    )


def frozen(books: Corpus, who: str = CLOUDY) -> tuple[str, ...]:
    return recipients.standing(books.ws, who).frozen_by


def instruct(books: Corpus, to: str | None = None) -> list[recipients.Sent]:
    return recipients.instruct(books.ws, ORDER, books.root / "packs", to=to, reply_to="", person=ADA)[0]


def reply(books: Corpus, name: str, *, confirms: bool) -> None:
    recipients.reply(books.ws, name, books.document, confirms=confirms, forward=False, note="", person=ADA)


# Recipients


@pytest.mark.parametrize("field", ["name", "address", "phone"])
def test_r15_a_recipient_has_name_address_and_phone(small: Corpus, field: str) -> None:
    with pytest.raises(InvalidValue, match=field):
        add_recipient(small, "acme", **{field: "  "})
    assert recipients.all_standings(small.ws) == []


@pytest.mark.parametrize("changes", [{"name": "a\x1bb"}, {"address": "x" * 1001}, {"category": "Third Party"}])
def test_what_is_no_plain_text_is_no_field_of_a_recipient(small: Corpus, changes: dict[str, str]) -> None:
    with pytest.raises((InvalidValue, InvalidName)):
        add_recipient(small, "acme", **changes)


def test_a_recipient_is_added_once(books: Corpus) -> None:
    with pytest.raises(AlreadyExists):
        add_recipient(books, CLOUDY)


# What went out by other means


def test_history_is_recorded_also_where_policy_would_have_refused_it(books: Corpus) -> None:
    found = tell(books)
    assert found.disclosed_on == date(2014, 9, 25)
    assert found.note.startswith("recorded afterwards; policy would refuse: legacy")
    assert len(found.items) == 13  # twelve photos, and the metadata that came with them
    assert set(found.data_classes) == {"photo", "demographics"}


def test_what_policy_permits_is_history_without_a_remark(shareable: Corpus) -> None:
    assert tell(shareable, dataset="to-share", on=date(2024, 6, 1), purpose="share").note == "recorded afterwards"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"on": date(2999, 1, 1)}, InvalidValue),
        ({"kind": "reader"}, InvalidValue),
        ({"source": OKCUPID, "dataset": "faces-2014"}, InputError),
        ({"model": "rec-2014"}, InputError),
        ({"kind": "model-delivery", "source": OKCUPID}, InputError),
        ({"dataset": "nothing"}, NotFound),
        ({"agreement": "nothing"}, NotFound),
    ],
)
def test_what_cannot_have_been_is_not_recorded(books: Corpus, changes: dict[str, object], error: type) -> None:
    with pytest.raises(error):
        tell(books, **changes)
    assert disclosures.listed(books.ws, source=None, to=None, readings=False) == []


# Shared, or not shared


def test_r18_not_shared_says_since_when_and_what_it_rests_on(books: Corpus) -> None:
    books.open_dataset("faces-panel")
    found = disclosures.report(books.ws, PANEL)
    assert not found.shared
    assert found.openings == {"faces-panel": 1}
    text = " ".join(found.sentences())
    first = min(str(at) for (at,) in books.sql("SELECT at FROM facts"))
    assert f"from {first} to " in text
    assert "NOT SHARED: the register shows nothing of source consented-panel" in text
    assert "Acme Vision declares that every way out is in the register" in text
    assert "Not checked: what went out before" in text
    assert found.coverage.log_entries == books.sql("SELECT count(*) FROM facts")[0][0]


def test_r18_a_delivered_model_makes_its_sources_shared(books: Corpus) -> None:
    tell(books, LAB, kind="model-delivery", model="rec-2014")
    for source, shared in ((OKCUPID, True), (PANEL, True), (MEMBERS, False)):
        found = disclosures.report(books.ws, source)
        assert found.shared is shared, source
    (obtained,) = disclosures.report(books.ws, OKCUPID).obtained
    assert (obtained.recipient.id, len(obtained.received.items), obtained.received.models) == (LAB, 0, ("rec-2014",))


def test_a_recipient_that_got_more_is_reported_with_what_it_got_of_the_source(books: Corpus) -> None:
    tell(books, dataset="faces-2014")
    (obtained,) = disclosures.report(books.ws, PANEL).obtained
    assert len(obtained.received.items) == 4
    assert len(obtained.received.disclosures[0].items) == 16


def test_r18_the_readers_opening_is_in_the_register(books: Corpus) -> None:
    books.open_dataset("faces-panel")
    (found,) = disclosures.listed(books.ws, source=None, to=None, readings=True)
    assert (found.kind, found.recipient, found.dataset, len(found.items)) == ("reader", None, "faces-panel", 4)


# Exports


def test_an_export_is_whole_checked_and_on_record(shareable: Corpus, tmp_path: Path) -> None:
    made = send(shareable, tmp_path / "out")
    assert (made.files, made.written) == (4, 4)
    (entry,) = disclosures.listed(shareable.ws, source=OPEN, to=CLOUDY, readings=True)
    assert (entry.kind, len(entry.items), entry.purpose) == ("export", 4, "share")
    taken = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (shareable.corpus / "open").rglob("*.jpg")}
    assert {p.stem for p in (tmp_path / "out" / "photos").rglob("*.jpg")} == taken
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path / "out", check=True, capture_output=True)


def test_running_an_export_again_records_nothing_twice_and_mends_it(shareable: Corpus, tmp_path: Path) -> None:
    first = send(shareable, tmp_path / "out")
    broken, missing, *_ = sorted((tmp_path / "out" / "photos").rglob("*.jpg"))
    broken.write_bytes(b"half")
    missing.unlink()
    again = send(shareable, tmp_path / "out")
    assert (again.disclosure.no, again.written) == (first.disclosure.no, 2)
    assert len(disclosures.listed(shareable.ws, source=None, to=None, readings=True)) == 1


def test_nothing_that_a_giver_wrote_gets_into_names_or_the_manifest(books: Corpus, tmp_path: Path) -> None:
    may_share(books)
    odd = books.corpus / "open" / '=cmd("x").jpg'
    shown = sorted((books.corpus / "open").rglob("*.jpg"))[0]
    with shown.open("rb") as file:
        odd.write_bytes(file.read() + b"\0")
    photos_csv = books.corpus / "open" / "photos.csv"
    head, row, *_ = photos_csv.read_text().splitlines()
    name = str(shown.relative_to(books.corpus / "open"))
    photos_csv.write_text(photos_csv.read_text() + row.replace(name, '"=cmd(""x"").jpg"') + "\n")
    assert name in row
    books.take_in(books.corpus / "open", OPEN)
    books.freeze("odd", OPEN, purpose="share")
    made = send(books, tmp_path / "out", dataset="odd")
    assert made.files == 5
    for line in (tmp_path / "out" / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split("  ")
        assert file == f"photos/{digest[:2]}/{digest}.jpg"
    assert head.startswith("file")


def test_what_may_not_be_shared_does_not_leave(books: Corpus, tmp_path: Path) -> None:
    books.freeze("mine", PANEL, purpose="share", override=True)
    for dataset in ("faces-panel", "mine"):
        with pytest.raises(PolicyRefusal):
            send(books, tmp_path / "out", dataset=dataset)
    assert not (tmp_path / "out").exists()
    assert disclosures.listed(books.ws, source=None, to=None, readings=True) == []


@pytest.mark.parametrize(
    ("terms", "geography", "leaves"),
    [
        (Terms(), "", False),
        (Terms(OnwardSharing.ALLOWED), "", True),
        (Terms(OnwardSharing.LISTED, (CLOUDY,)), "", True),
        (Terms(OnwardSharing.LISTED, ("Acme Cloud",)), "", True),
        (Terms(OnwardSharing.LISTED, (LAB,)), "", False),
        (Terms(OnwardSharing.ALLOWED, geography=("EU",)), "", False),
        (Terms(OnwardSharing.ALLOWED, geography=("EU",)), "eu", True),
    ],
)
def test_an_agreement_says_to_whom_photos_may_go_on(
    small: Corpus, tmp_path: Path, terms: Terms, geography: str, leaves: bool
) -> None:
    add_recipient(small, CLOUDY, name="ACME Cloud", geography=geography)
    may_share(small, terms)
    if leaves:
        assert send(small, tmp_path / "out").disclosure.agreement == "agreement-open"
    else:
        with pytest.raises(PolicyRefusal, match="lets it go on to ACME Cloud"):
            send(small, tmp_path / "out")


def test_an_export_into_a_place_that_holds_something_is_refused(shareable: Corpus, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        send(shareable, tmp_path / "full")
    for inside in (shareable.corpus / "out", shareable.root / "ws" / "reports" / "out", shareable.root):
        with pytest.raises(InvalidValue):
            send(shareable, inside)
    send(shareable, tmp_path / "out")
    with pytest.raises(AlreadyExists):
        send(shareable, tmp_path / "out", to=LAB)


def test_an_order_on_what_is_exported_stops_the_export_that_was_cut_short(shareable: Corpus, tmp_path: Path) -> None:
    send(shareable, tmp_path / "out")
    shareable.open_order(OPEN)
    with pytest.raises(SharingFrozen):
        send(shareable, tmp_path / "out")
    with pytest.raises(BlockedByOrder):
        send(shareable, tmp_path / "other", to=LAB)


@pytest.mark.parametrize("step", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_export_counts_as_disclosed_and_is_finished_by_the_same_command(
    shareable: Corpus, tmp_path: Path, step: int
) -> None:
    root = shareable.root
    shareable.close()
    calls = run_killed_at(partial(_send_in_child, root, tmp_path / "whole"), 0)
    assert isinstance(calls, Completed)
    for count, n in enumerate(range(1, len(calls.calls) + 1, step), 1):
        where = tmp_path / f"out-{n}"
        run_killed_at(partial(_send_in_child, root, where), n)
        photos = list(where.rglob("*.jpg"))
        before = len(disclosures.listed(shareable.ws, source=None, to=None, readings=True))
        if photos:
            assert before == count + 1, "a photo left before the register knew"
        made = send(shareable, where)
        assert made.files == 4
        assert len(disclosures.listed(shareable.ws, source=None, to=None, readings=True)) == count + 1
        assert not list(where.rglob("*.partial"))


def _send_in_child(root: Path, where: Path) -> None:
    send(Corpus(root), where)


# Models


def test_a_model_is_delivered_for_what_its_inputs_allow(shareable: Corpus, tmp_path: Path) -> None:
    shareable.freeze("open-train", OPEN)
    shareable.train("rec-open", "open-train")
    made = export.deliver_model(shareable.ws, "rec-open", tmp_path / "m", Grounds(LAB, "verify-1-to-1", DANA))
    assert (made.files, made.written) == (3, 3)
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path / "m", check=True, capture_output=True)
    again = export.deliver_model(shareable.ws, "rec-open", tmp_path / "m", Grounds(LAB, "verify-1-to-1", DANA))
    assert (again.written, again.disclosure.no) == (0, made.disclosure.no)
    assert uses.in_use(shareable.ws)["rec-open"].purposes == ("verify-1-to-1",)
    for model, purpose in (("rec-open", "identify-1-to-n"), ("rec-2014", "verify-1-to-1")):
        with pytest.raises(PolicyRefusal):
            export.deliver_model(shareable.ws, model, tmp_path / "n", Grounds(LAB, purpose, DANA))
    assert not (tmp_path / "n").exists()


# The story


def test_share_order_instruct_frozen_reply_open(shareable: Corpus, tmp_path: Path) -> None:
    books = shareable
    tell(books, dataset="faces-2014")  # a superset of the order's scope
    tell(books, LAB, kind="model-delivery", model="rec-2014", on=date(2015, 1, 1))
    assert frozen(books) == frozen(books, LAB) == ()
    books.open_order()
    assert frozen(books) == frozen(books, LAB) == (ORDER,)  # R17: from the moment it is received
    with pytest.raises(SharingFrozen):
        send(books, tmp_path / "out")
    sent = {s.instruction.recipient: s for s in instruct(books)}
    assert set(sent) == {CLOUDY, LAB}
    document = json.loads((sent[CLOUDY].directory / "instruction.json").read_text())
    assert document["data"]["items"] == 12  # of sixteen that it got
    assert document["data"]["models"] == []
    assert json.loads((sent[LAB].directory / "instruction.json").read_text())["data"]["models"] == ["rec-2014"]
    for pack in sent.values():
        data = (pack.directory / "instruction.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == pack.instruction.pack_sha256
        assert (books.root / "ws" / "instruments" / f"{pack.instruction.pack_sha256}.json").read_bytes() == data
        for file in json.loads(data)["files"]:
            assert hashlib.sha256((pack.directory / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    scope = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (books.corpus / "okcupid").rglob("*.jpg")}
    assert set((sent[CLOUDY].directory / "sha256.txt").read_text().splitlines()[1:]) == scope
    assert not (sent[LAB].directory / "sha256.txt").exists()
    assert instruct(books) == []  # told already
    reply(books, sent[CLOUDY].instruction.id, confirms=False)
    assert frozen(books) == (ORDER,)
    reply(books, sent[CLOUDY].instruction.id, confirms=True)
    reply(books, sent[CLOUDY].instruction.id, confirms=True)
    assert frozen(books) == ()
    assert frozen(books, LAB) == (ORDER,)
    (answered,) = recipients.standing(books.ws, CLOUDY).instructions
    assert [e.event for e in answered.events] == ["replied", "confirmed"]
    send(books, tmp_path / "out")
    tell(books, source=OKCUPID)  # it turns out that it got the metadata too: nothing confirmed that
    assert frozen(books) == (ORDER,)
    (supplement,) = instruct(books, CLOUDY)
    reply(books, supplement.instruction.id, confirms=True)
    assert frozen(books) == ()


def test_who_got_nothing_is_told_nothing(books: Corpus) -> None:
    books.open_order()
    assert instruct(books) == []
    with pytest.raises(WrongState):
        instruct(books, CLOUDY)


def test_no_digest_of_a_photo_is_kept_with_the_pack(books: Corpus) -> None:
    tell(books)
    books.open_order()
    instruct(books)
    kept = b"".join(p.read_bytes() for p in (books.root / "ws" / "instruments").iterdir())
    for photo in (books.corpus / "okcupid").rglob("*.jpg"):
        assert hashlib.sha256(photo.read_bytes()).hexdigest().encode() not in kept


# What the papers say


def certified(books: Corpus) -> dict[str, dict[str, object]]:
    """Carry the order out, certify it, and read the claims."""
    books.plan()
    books.approve()
    books.apply()
    books.verify()
    request = certification.Request(ORDER, ADA, books.root / "out", None, None, True, "own knowledge")
    certification.certify(books.ws, request)
    envelope = json.loads((books.root / "out" / "certificate.json").read_bytes())["dsseEnvelope"]
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]["claims"]


def test_r15_r16_the_certificate_lists_recipients_and_their_answers(books: Corpus) -> None:
    tell(books)
    tell(books, LAB, kind="model-delivery", model="rec-2014")
    books.open_order()
    sent = {s.instruction.recipient: s.instruction.id for s in instruct(books)}
    reply(books, sent[CLOUDY], confirms=True)
    claims = certified(books)
    plan = orders.find_plan(books.ws, ORDER).directory.summary
    assert [(r["id"], r["items"], r["models"]) for r in plan["recipients"]] == [
        (CLOUDY, 13, []),
        (LAB, 0, ["rec-2014"]),
    ]
    claim = claims["third-parties"]
    first, second = claim["value"]["list"]
    assert (first["name"], first["address"], first["phone"]) == ("Cloudy", "1 Long Road, Ghent", "+32 9 000")
    assert first["confirmed_at"] and first["instructed_at"]
    assert second["instructed_at"] and second["confirmed_at"] is None
    assert (
        "The register shows these recipients: Cloudy (confirmed); Lab (instructed, not confirmed)" in claim["statement"]
    )
    assert "recorded afterwards; policy would refuse" in first["received"]
    receipt = json.loads(next((books.root / "out" / "receipts").iterdir()).read_bytes())["receipt"]
    assert receipt["recipients_told"] == ["Cloudy", "Lab"]


def test_r18_the_certificate_says_not_shared_with_its_coverage(books: Corpus) -> None:
    books.open_order()
    claims = certified(books)
    claim = claims["third-parties"]
    assert claim["value"]["list"] == []
    assert claim["statement"].startswith(
        "The register shows no recipient. This rests on the register of disclosures (exports and shares: 0; "
    )
    assert claim["value"]["coverage"]["start"]
    (outside,) = (n for n in claims["not-verified"]["value"]["list"] if "register" in n["what"])
    assert "copies that were made outside of this tool" in outside["reason"]
