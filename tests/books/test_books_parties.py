"""Sources, agreements, people, interests: what goes in comes out, names are given once, states are the last event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from book_writing import DANA, PANEL, a_source, undone

from unsee.books import agreements, facts, interests, parties
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import AgreementId, ItemSet, PersonId, SourceId
from unsee.core.parties import (
    Agreement,
    AgreementStatus,
    Interest,
    OnwardSharing,
    Party,
    Person,
    Scraped,
    SourceKind,
    Terms,
)

CONTRACT = Agreement(
    AgreementId("contract"),
    PANEL,
    ("giver", "taker"),
    ("train", "evaluate"),
    date(2024, 1, 1),
    None,
    "0" * 64,
    "no-data-subject",
    ("mass-surveillance",),
    terms=Terms(
        OnwardSharing.LISTED,
        ("A lab",),
        ("EU", "UK"),
        deletion_on_termination=True,
        consideration="none",
        recipient_category="research partners",
        channel="sftp",
        parties=(Party("giver", "controller", "1 High Street", "legal@giver.example"),),
    ),
)
ADA = Person(PersonId("ada"), "Ada L.", "Counsel", "taker", "ab" * 32)


@pytest.fixture
def tx(books):
    with undone(books) as tx:
        yield tx


def last_fact(tx):
    fact = facts.recent(tx.conn, 1)[0]
    return fact.kind, json.loads(fact.body)


def test_a_source_comes_back_as_it_was_registered(tx):
    source = a_source(
        "okcupid-2014",
        kind=SourceKind.PARTNER,
        issuer="OkCupid",
        data_classes=("photo", "location"),
        geography="US",
        legacy=True,
        origin="members of the site",
        classification="confidential",
        generation_method="uploaded",
        intended_purpose="training",
        original_purpose="dating",
        scraped=Scraped.TARGETED,
        retention_days=365,
        registered_on=date(2014, 9, 1),
    )
    parties.register_source(tx, source)
    kind, body = last_fact(tx)
    assert (kind, body["source"], body["legacy"]) == ("SourceRegistered", "okcupid-2014", True)
    assert parties.source(tx.conn, source.id) == source
    assert [s.id for s in parties.all_sources(tx.conn)] == ["okcupid-2014", "panel"]
    assert parties.items_of_source(tx.conn, source.id) == parties.documents_of_source(tx.conn, source.id) == ItemSet()
    with pytest.raises(AlreadyExists, match="already a source 'okcupid-2014'"):
        parties.register_source(tx, source)


@pytest.mark.parametrize(
    "look", [parties.source, parties.source_no, parties.items_of_source, parties.documents_of_source]
)
def test_an_unknown_source_is_an_error(tx, look):
    with pytest.raises(NotFound, match="There is no source 'nobody'"):
        look(tx.conn, SourceId("nobody"))


def test_an_agreement_has_the_state_of_its_last_event(tx):
    agreements.draft(tx, CONTRACT, person=DANA)
    assert agreements.agreement(tx.conn, CONTRACT.id) == CONTRACT
    for status in (AgreementStatus.IN_REVIEW, AgreementStatus.APPROVED, AgreementStatus.TERMINATED):
        agreements.move(tx, CONTRACT.id, status, person=DANA, note="so it was decided")
        assert agreements.agreement(tx.conn, CONTRACT.id) == replace(CONTRACT, status=status)
        kind, body = last_fact(tx)
        assert (kind, body["status"], body["by"]) == ("AgreementMoved", status, "dana")
    events = tx.conn.exec_driver_sql("SELECT status FROM agreement_events ORDER BY no").scalars().all()
    assert events == ["draft", "in-review", "approved", "terminated"]


def test_agreements_are_listed_each_once_with_their_own_state(tx):
    other = replace(CONTRACT, id=AgreementId("amendment"), valid_until=date(2030, 1, 1))
    for one in (CONTRACT, other):
        agreements.draft(tx, one, person=DANA)
    agreements.move(tx, CONTRACT.id, AgreementStatus.REJECTED, person=DANA, note="no")
    assert agreements.all_agreements(tx.conn) == [other, replace(CONTRACT, status=AgreementStatus.REJECTED)]


def test_an_agreement_needs_its_source_and_a_name_of_its_own(tx):
    with pytest.raises(NotFound, match="There is no source 'nobody'"):
        agreements.draft(tx, replace(CONTRACT, source=SourceId("nobody")), person=DANA)
    agreements.draft(tx, CONTRACT, person=DANA)
    with pytest.raises(AlreadyExists, match="already an agreement 'contract'"):
        agreements.draft(tx, CONTRACT, person=DANA)
    for look in (
        lambda: agreements.agreement(tx.conn, AgreementId("other")),
        lambda: agreements.move(tx, AgreementId("other"), AgreementStatus.APPROVED, person=DANA, note=""),
    ):
        with pytest.raises(NotFound, match="There is no agreement 'other'"):
            look()


def test_people_and_their_interests_come_back(tx):
    parties.add_person(tx, ADA)
    assert parties.person(tx.conn, ADA.id) == ADA
    assert parties.all_people(tx.conn) == [ADA]
    assert ADA.name not in facts.recent(tx.conn, 1)[0].body
    with pytest.raises(AlreadyExists, match="already a person 'ada'"):
        parties.add_person(tx, ADA)
    with pytest.raises(NotFound, match="There is no person 'ben'"):
        parties.person(tx.conn, PersonId("ben"))
    declared = [
        Interest("Max K.", "OkCupid", "equity", date(2014, 1, 1)),
        Interest("Ada L.", "Clarifai", "board", date(2014, 2, 1), ADA.id, PANEL),
    ]
    for interest in declared:
        interests.declare(tx, interest)
    assert interests.all_interests(tx.conn) == declared
