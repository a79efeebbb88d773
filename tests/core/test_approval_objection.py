"""R35: a plan is approved by two people, neither its author, none with a stake in a party."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.approval import NEEDED, objection
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Interest

ADA, BEN, DANA = PersonId("ada"), PersonId("ben"), PersonId("dana")
PARTIES = ("OkCupid", "Clarifai")


def stake(person, organisation, kind="equity"):
    return Interest("Holder", organisation, kind, date(2014, 1, 1), person)


def test_two_are_needed():
    assert NEEDED == 2


def test_nothing_stands_against_an_independent_person():
    assert objection(ADA, author=DANA, parties=PARTIES, interests=[]) is None
    assert objection(ADA, author=DANA, parties=PARTIES, interests=[], already=[BEN]) is None


def test_r35_an_author_does_not_approve():
    said = objection(DANA, author=DANA, parties=PARTIES, interests=[])
    assert said == "dana made this plan; an author does not approve"


def test_r35_whoever_has_a_stake_in_a_party_does_not_approve():
    said = objection(ADA, author=DANA, parties=PARTIES, interests=[stake(ADA, "OkCupid", "board")])
    assert said == "ada declared an interest (board) in OkCupid, a party to this hand-over"


@given(st.sampled_from(["OKCUPID", "okcupid", "oKcUpId"]), st.sampled_from(["OkCupid", "okcupid", "OKCUPID"]))
def test_r35_the_case_of_a_name_hides_no_interest(declared, party):
    assert objection(ADA, author=DANA, parties=[party], interests=[stake(ADA, declared)])


def test_letters_that_only_fold_are_the_same_too():
    assert objection(ADA, author=DANA, parties=["STRASSE AG"], interests=[stake(ADA, "Straße AG")])


def test_an_interest_in_someone_else_or_of_someone_else_does_not_count():
    others = [stake(ADA, "Elsewhere"), stake(BEN, "OkCupid"), stake(None, "OkCupid")]
    assert objection(ADA, author=DANA, parties=PARTIES, interests=others) is None


def test_one_person_does_not_count_twice():
    said = objection(ADA, author=DANA, parties=PARTIES, interests=[], already=[BEN, ADA])
    assert said == "ada has approved this plan already; another person is needed"


people = st.sampled_from([ADA, BEN, DANA])
stakes = st.lists(
    st.builds(stake, st.none() | people, st.sampled_from(["okcupid", "Clarifai", "Elsewhere"])), max_size=4
)


@given(people, people, stakes, st.lists(people, max_size=2), st.builds(stake, people, st.sampled_from(PARTIES)))
def test_one_more_interest_never_clears_anyone(person, author, interests, already, one_more):
    def refused(interests):
        return objection(person, author=author, parties=PARTIES, interests=interests, already=already) is not None

    assert refused([*interests, one_more]) >= refused(interests)


def test_r35_an_interest_declared_for_the_source_bars_whichever_organisation_it_names() -> None:
    held = Interest("Cleo", "Some Holding", "equity", date(2014, 1, 1), ADA, SourceId("okcupid-2014"))

    def against(person: PersonId, source: str) -> str | None:
        return objection(person, author=DANA, parties=PARTIES, interests=[held], source=SourceId(source))

    assert against(ADA, "okcupid-2014") is not None
    assert against(ADA, "panel") is None
    assert against(BEN, "okcupid-2014") is None
