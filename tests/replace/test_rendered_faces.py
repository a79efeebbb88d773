"""Rendered people: the same pixels from the same numbers, and each photo a picture of its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import InvalidValue
from unsee.match import pdq, pictures
from unsee.replace.faces import SIDE, Population, Tone, render
from unsee.replace.folder import jpeg

MIXED = {"light": 4, "mid": 4, "dark": 4}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), tone=st.sampled_from(list(Tone)), photo=st.integers(0, 5_000))
def test_every_person_and_photo_renders_to_a_picture_with_contrast(seed: int, tone: Tone, photo: int) -> None:
    pixels = render(Population(seed, {tone: 1}).people[0], photo)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 8


def test_a_photo_does_not_depend_on_what_else_was_rendered() -> None:
    one = Population(5, {"light": 3})
    many = Population(5, {"light": 30})
    alone = render(one.people[2], 7)
    for photo in range(3):
        render(many.people[1], photo)
    assert np.array_equal(render(many.people[2], 7), alone)
    assert one.people[2] == many.people[2]


def test_seed_person_and_photo_each_make_another_picture() -> None:
    people = Population(5, MIXED).people
    base = render(people[0], 0)
    others = (render(people[0], 1), render(people[1], 0), render(Population(6, MIXED).people[0], 0))
    assert all(np.abs(base.astype(int) - other).mean() > 8 for other in others)


def test_groups_have_their_number_are_shuffled_and_do_not_overlap_in_tone() -> None:
    population = Population(9, {"light": 30, "mid": 20, "dark": 10})
    tones = [person.tone for person in population.people]
    assert [tones.count(tone) for tone in (Tone.LIGHT, Tone.MID, Tone.DARK)] == [30, 20, 10]
    assert len(set(tones[:12])) > 1
    green = {tone: [p.identity.skin[1] for p in population.people if p.tone is tone] for tone in Tone}
    assert min(green[Tone.LIGHT]) > max(green[Tone.MID])
    assert min(green[Tone.MID]) > max(green[Tone.DARK])


@given(seed=st.integers(0, 10**12))
@settings(max_examples=10, deadline=None)
def test_no_two_people_share_an_id_and_ids_show_no_order(seed: int) -> None:
    ids = [person.id for person in Population(seed, {"mid": 40}).people]
    assert len(set(ids)) == 40
    assert all(len(name) == 7 and name[0] == "u" and name[1:].isdigit() for name in ids)
    assert ids != sorted(ids)


@pytest.mark.parametrize(
    ("seed", "tones"), [(-1, {"light": 1}), (1, {"green": 1}), (1, {"light": -1}), (1, {}), (1, {"light": 1_000_001})]
)
def test_a_population_that_cannot_be_is_refused(seed: int, tones: dict[str, int]) -> None:
    with pytest.raises(InvalidValue):
        Population(seed, tones)


def test_no_two_photos_pass_for_near_duplicates_but_a_shrunk_copy_does() -> None:
    """40 photos each of 50 people: what the near-duplicate search has to tell apart."""
    people = Population(77, {"light": 17, "mid": 17, "dark": 16}).people
    found = [pictures.examine(jpeg(person, photo)) for person in people for photo in range(40)]
    assert min(picture.pdq_quality for picture in found) >= pdq.MIN_QUALITY
    bits = (
        np.array([np.unpackbits(np.frombuffer(picture.pdq, np.uint8)) for picture in found], dtype=np.float32) * 2 - 1
    )
    distance = (256 - bits @ bits.T) / 2
    np.fill_diagonal(distance, 256)
    assert distance.min() > pdq.RADIUS + 9
    copies = [pictures.examine(jpeg(people[0], photo, quality=55)) for photo in range(20)]
    gap = [
        np.unpackbits(np.frombuffer(c.pdq, np.uint8) ^ np.frombuffer(o.pdq, np.uint8)).sum()
        for c, o in zip(copies, found, strict=False)
    ]
    assert max(gap) <= pdq.RADIUS
