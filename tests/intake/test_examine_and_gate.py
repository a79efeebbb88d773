"""One photo from file to verdict."""

from __future__ import annotations

import io
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.intake.examine import Photo, Refused, examine_bytes, examine_photo
from unsee.intake.gate import Verdict, judge
from unsee.intake.metadata import find_metadata, pair, read_metadata
from unsee.intake.walk import list_folder
from unsee.match.pictures import Limits
from unsee.match.suppression import SuppressionKey, Suppressor, seal

SET = Path(os.environ.get("UNSEE_LONDON_SET", Path(__file__).parents[3] / "shared/data/london-set"))


def a_jpeg(seed: int, side: int = 40) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "1.jpg").write_bytes(a_jpeg(1))
    (tmp_path / "2.jpg").write_bytes(a_jpeg(2))
    (tmp_path / "cut.jpg").write_bytes(a_jpeg(3)[:-300])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "large.jpg").write_bytes(a_jpeg(4, 400))
    return tmp_path


def test_a_folder_is_examined_photo_by_photo_across_processes(folder):
    listing = list_folder(folder)
    limits = Limits(max_pixels=100 * 100)
    work = partial(examine_photo, listing.folder, limits=limits)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(work, (*listing.files, "absent.jpg", "../escape.jpg")))
    assert results == [work(name) for name in (*listing.files, "absent.jpg", "../escape.jpg")]
    taken = {r.file: r for r in results if isinstance(r, Photo)}
    refused = {r.file: r.reason for r in results if isinstance(r, Refused)}
    assert set(taken) == {"1.jpg", "2.jpg"}
    assert taken["1.jpg"].size_bytes == (folder / "1.jpg").stat().st_size
    assert "cut off" in refused["cut.jpg"]
    assert "known format" in refused["notes.txt"]
    assert "400 × 400" in refused["large.jpg"]
    assert "cannot be read" in refused["absent.jpg"]
    assert "leads out" in refused["../escape.jpg"]


def test_a_file_above_the_byte_limit_is_refused_without_being_read_whole(folder):
    (folder / "huge.jpg").write_bytes(b"\xff\xd8" + bytes(100_000))
    result = examine_photo(str(folder), "huge.jpg", Limits(max_bytes=5000))
    assert isinstance(result, Refused)
    assert "more than 5,000" in result.reason


def photos(*seeds: int) -> list[Photo]:
    found = [examine_bytes(f"{seed}.jpg", a_jpeg(seed)) for seed in seeds]
    return [photo for photo in found if isinstance(photo, Photo)]


def test_r38_the_gate_keeps_out_what_is_suppressed_and_adds_nothing_twice():
    key = SuppressionKey(bytes(32))
    mine = photos(1, 2, 3)
    suppressor = Suppressor(key, [seal(key, mine[1].picture)])
    here = {(mine[2].file, mine[2].picture.sha256), (mine[1].file, mine[1].picture.sha256)}
    judged = judge(mine, suppressed=suppressor.match([p.picture for p in mine]), here=here)
    assert [one.verdict for one in judged] == [Verdict.ADMITTED, Verdict.SUPPRESSED, Verdict.ALREADY_HERE]
    assert "suppression list (identical bytes)" in judged[1].reason
    assert judged[1].match is not None
    assert [one.photo for one in judged] == mine


def test_the_same_bytes_under_another_name_are_another_copy():
    (photo,) = photos(1)
    (judged,) = judge([photo], suppressed=[None], here={("other.jpg", photo.picture.sha256)})
    assert judged.verdict is Verdict.ADMITTED


def test_the_gate_wants_an_answer_for_each_photo():
    with pytest.raises(ValueError, match="shorter"):
        judge(photos(1, 2), suppressed=[None], here=set())


@pytest.mark.london
@pytest.mark.skipif(not SET.is_dir(), reason="the London face set is not here")
def test_a_real_folder_is_read_whole():
    metadata = find_metadata(SET)
    assert metadata is not None
    listing = list_folder(SET, metadata=metadata)
    paired = pair(listing, read_metadata(metadata))
    results = [examine_photo(listing.folder, name) for name in listing.files]
    assert [r.file for r in results if isinstance(r, Refused)] == ["README.md"]
    assert len(paired.rows) == len(results) - 1 == 204
    assert paired.without_row == ("README.md",)
    assert paired.refused == ()
    assert len({row.person for row in paired.rows.values()}) == 102
    assert not [one for one in listing.left_out if not one.expected]
