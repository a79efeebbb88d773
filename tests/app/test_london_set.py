"""A real data set whose people agreed to research and testing: readable for that, refused for training, with the reason."""

from __future__ import annotations

import csv
import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from small_corpus import ADA, DANA, RESEARCH, TRAIN, Corpus, agree, copy_of, policy
from unsee.app import agreements, registry
from unsee.books import retention
from unsee.core.errors import PolicyRefusal
from unsee.core.parties import AgreementStatus
from unsee.core.rules import Entry

PLACE = Path(os.environ.get("UNSEE_LONDON_SET", Path(__file__).resolve().parents[3] / "shared" / "data" / "london-set"))
NAME = "london-set"

pytestmark = [
    pytest.mark.london,
    pytest.mark.skipif(not (PLACE / "photos.csv").is_file(), reason=f"there is no London set in {PLACE}"),
]


@pytest.fixture(scope="module")
def london(tmp_path_factory: pytest.TempPathFactory, built_corpus: Corpus) -> Corpus:
    """A workspace that has taken the set in, for each person a consent to `evaluate` and nothing else."""
    corpus = copy_of(built_corpus, tmp_path_factory.mktemp("london") / "small")
    folder = corpus.root / NAME
    folder.mkdir()
    for part in ("neutral", "smiling"):
        shutil.copytree(PLACE / part, folder / part)
    with (PLACE / "photos.csv").open(newline="") as read, (folder / "photos.csv").open("w", newline="") as written:
        rows = list(csv.DictReader(read))
        consent = {"consent": "evaluate", "consent_notice": "lab-and-web-studies", "consent_from": "2017-01-01"}
        writer = csv.DictWriter(written, [*rows[0], *consent])
        writer.writeheader()
        writer.writerows({**row, **consent} for row in rows)
    registry.add_source(
        corpus.ws,
        NAME,
        title="Face Research Lab London Set",
        kind="acquired-dataset",
        issuer="Face Research Lab",
        collected_on=date(2017, 5, 30),
        data_classes=["photo", "demographics"],
        geography="UK",
        legacy=False,
    )
    policy(corpus, NAME, "evaluate", TRAIN)
    agreements.draft(
        corpus.ws,
        "london-terms",
        source=NAME,
        document=corpus.document,
        purposes=["evaluate", "test-fairness"],
        prohibitions=["train"],
        valid_from=date(2017, 4, 1),
        valid_until=None,
        person=DANA,
        terms=RESEARCH,
    )
    agree(corpus, "london-terms")
    with corpus.ws.act() as tx:  # a lab keeps its stimuli longer than the default schedule, and says so
        for data_class in ("photo", "other"):
            retention.set_entry(tx, data_class, Entry(7300, "a published test set; CC BY 4.0"), person=ADA)
    taken = corpus.take_in(folder, NAME)
    assert (taken.new, taken.refused, taken.rows_without_file, taken.consents) == (204, [], [], 102)
    return corpus


@pytest.mark.parametrize("purpose", ["evaluate", "test-fairness"])
def test_it_may_be_read_for_what_its_people_agreed_to(london: Corpus, purpose: str) -> None:
    name = f"london-{purpose}"
    frozen = london.freeze(name, NAME, purpose=purpose)
    assert (len(frozen.items), frozen.override) == (204, None)
    reader = london.open_dataset(name, purpose)
    assert len({s.person for s in reader}) == 102


@pytest.mark.parametrize("purpose", [TRAIN, "train"])
def test_it_is_refused_for_training_with_the_reason(london: Corpus, purpose: str) -> None:
    with pytest.raises(PolicyRefusal) as caught:
        london.freeze("london-train", NAME, purpose=purpose)
    assert [(d.code, len(d.items)) for d in caught.value.details] == [("purpose-not-agreed", 204)]
    assert f"{NAME}: agreed for evaluate, test-fairness, not for {purpose}" in caught.value.message


def test_a_set_frozen_for_testing_opens_for_no_training(london: Corpus) -> None:
    london.freeze("london-for-tests", NAME, purpose="evaluate")
    with pytest.raises(PolicyRefusal, match=f"was frozen for evaluate, not for {TRAIN}"):
        london.open_dataset("london-for-tests", TRAIN)


def test_even_with_an_agreement_to_training_each_person_is_asked(london: Corpus) -> None:
    agreements.draft(
        london.ws,
        "london-more",
        source=NAME,
        document=london.document,
        purposes=[TRAIN],
        prohibitions=[],
        valid_from=date(2017, 4, 1),
        valid_until=None,
        person=DANA,
        terms=RESEARCH,
    )
    agree(london, "london-more")
    try:
        with pytest.raises(PolicyRefusal) as caught:
            london.freeze("london-train", NAME)
        assert [(d.code, len(d.items)) for d in caught.value.details] == [("no-consent", 204)]
    finally:
        agreements.move(london.ws, "london-more", AgreementStatus.TERMINATED, person=ADA, note="")
