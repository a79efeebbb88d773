"""Recall and separation on real portraits, which may be read for evaluation. Skipped where the set is absent."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.match.closure import Digests, find_copies
from unsee.match.pictures import Picture, examine
from unsee.match.search import neighbours

SET = Path(os.environ.get("UNSEE_LONDON_SET", Path(__file__).parents[3] / "shared/data/london-set"))
pytestmark = [pytest.mark.london, pytest.mark.skipif(not SET.is_dir(), reason="the London face set is not here")]


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    return sorted(SET.glob("*/*.jpg"))


@pytest.fixture(scope="module")
def originals(photos) -> Digests:
    return Digests.of(examine(path.read_bytes()) for path in photos)


QUALITY = {"q50": 50, "q10": 10, "thumbnail": 50}
RESHAPE = {
    "25 %": lambda image: image.resize((image.width // 4, image.height // 4), Image.Resampling.BICUBIC),
    "thumbnail": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


def _changed(path: Path, change: str) -> Picture:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        reshape = RESHAPE.get(change, lambda same: same)
        reshape(image.convert("RGB")).save(buffer, "JPEG", quality=QUALITY.get(change, 85))
    return examine(buffer.getvalue())


@pytest.mark.parametrize("change", ["q50", "q10", "25 %", "thumbnail", "mirrored", "turned"])
def test_changed_copies_are_found_and_attributed(photos, originals, change):
    copies = find_copies(originals, Digests.of(_changed(path, change) for path in photos))
    assert [(c.candidate, c.original) for c in copies] == [(n, n) for n in range(len(photos))]


def test_distinct_photos_stay_apart_in_every_orientation(originals):
    """Portraits of one studio are as alike as photos get; no two are told to be copies of one another."""
    everything = np.arange(len(originals))
    for at in everything:
        others = everything[everything != at]
        scope = Digests(
            *(column[[at]] for column in (originals.sha256, originals.pixels, originals.pdq, originals.quality))
        )
        rest = Digests(
            *(column[others] for column in (originals.sha256, originals.pixels, originals.pdq, originals.quality))
        )
        assert list(find_copies(scope, rest)) == []
    found = neighbours(originals.pdq, originals.pdq, radius=256)
    apart = found.distance[found.query != found.corpus]
    assert apart.min() > 31
