"""R34, R29: the giver's privacy policy as it was at collection has to allow what was agreed; later edits widen nothing."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from unsee.core.ids import AgreementId, SourceId
from unsee.core.parties import Agreement, PrivacyPolicy, Source, SourceKind, Terms
from unsee.core.privacy import contradictions, deciding
from unsee.core.purposes import PARENT

COLLECTED = date(2014, 9, 1)


def a_source(kind=SourceKind.PARTNER, **changes):
    return Source(SourceId("okcupid"), "t", kind, "OkCupid", COLLECTED, **changes)


def agreed(*purposes, category="research partners"):
    terms = Terms(recipient_category=category)
    return Agreement(AgreementId("a"), SourceId("okcupid"), (), purposes, COLLECTED, None, "0" * 64, terms=terms)


def policy(since, *purposes, names=("Research  Partners",)):
    return PrivacyPolicy(SourceId("okcupid"), since, "1" * 64, purposes, tuple(names))


def test_r34_what_the_policy_allows_is_agreed():
    held = [policy(date(2013, 1, 1), "train", "evaluate")]
    assert contradictions(agreed("train-face-recognition", "test-fairness"), a_source(), held) == ()


def test_r34_a_purpose_or_a_recipient_that_the_policy_does_not_name_contradicts():
    held = [policy(date(2013, 1, 1), "evaluate", names=["advertisers", "courts"])]
    assert contradictions(agreed("train", "evaluate"), a_source(), held) == (
        "the privacy policy in force since 2013-01-01 allows evaluate, not train",
        "the privacy policy in force since 2013-01-01 names advertisers, courts as recipients, not research partners",
    )
    (words,) = contradictions(agreed("evaluate", category=" "), a_source(), held)
    assert words == "the agreement does not say which of the policy's recipients the taker is (advertisers, courts)"


def test_r34_partners_and_acquired_datasets_need_a_snapshot():
    words = ("there is no snapshot of the giver's privacy policy that was in force on 2014-09-01",)
    for kind in (SourceKind.PARTNER, SourceKind.ACQUIRED_DATASET):
        assert contradictions(agreed("train"), a_source(kind), []) == words
    for kind in (SourceKind.PANEL, SourceKind.UPLOAD, SourceKind.SYNTHETIC, SourceKind.PUBLIC_DOMAIN):
        assert contradictions(agreed("train"), a_source(kind), []) == ()
    assert contradictions(agreed("train"), a_source(legacy=True), []) == ()


def test_r29_the_snapshot_in_force_at_collection_decides():
    narrow, wide = policy(date(2014, 9, 1), "evaluate"), policy(date(2014, 9, 2), "any")
    assert deciding([wide, narrow], COLLECTED) == narrow
    assert contradictions(agreed("train"), a_source(), [wide, narrow])
    assert contradictions(agreed("train"), a_source(), [wide]), (
        "what holds from the next day on says nothing of the day before"
    )


purposes = st.sampled_from(sorted(PARENT))
policies = st.builds(
    lambda since, allowed, names: policy(since, *allowed, names=names),
    st.dates(date(2014, 8, 30), date(2014, 9, 3)),
    st.lists(purposes, max_size=3),
    st.lists(st.sampled_from(["research partners", "advertisers"]), max_size=2),
)


@given(
    st.sampled_from(list(SourceKind)),
    st.lists(purposes, min_size=1, max_size=3),
    st.lists(policies, max_size=4),
    st.lists(purposes, max_size=3),
)
def test_r29_a_later_edit_never_widens(kind, wanted, held, new):
    later = policy(date(2014, 9, 2), *new)
    before = contradictions(agreed(*wanted), a_source(kind), held)
    assert not before or contradictions(agreed(*wanted), a_source(kind), [*held, later])


@given(st.lists(purposes, min_size=1, max_size=3), purposes, st.lists(policies, max_size=4))
def test_one_purpose_more_is_never_fewer_contradictions(wanted, more, held):
    before, after = (contradictions(agreed(*p), a_source(), held) for p in (wanted, [*wanted, more]))
    assert set(before) <= set(after)
