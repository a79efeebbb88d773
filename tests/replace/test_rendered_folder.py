"""A rendered folder is like any giver's: files with EXIF, a metadata file that intake reads, the same bytes each time."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unsee.core.errors import AlreadyExists, InvalidValue, StoreError, UnknownPurpose
from unsee.intake.metadata import find_metadata, read_metadata
from unsee.replace.folder import ConsentSpec, FolderSpec, write_folder

CONSENT = ConsentSpec(("train", "evaluate"), "notice-2", date(2024, 1, 1), date(2034, 1, 1), share=0.6)
SPEC = FolderSpec(
    seed=3,
    tones={"light": 3, "mid": 3, "dark": 3},
    photos_per_person=3,
    consent=CONSENT,
    gps_share=0.6,
    people_per_directory=4,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rendered") / "deep" / "photos"
    counts: list[int] = []
    made = write_folder(SPEC, path, workers=1, on_photos=counts.append)
    assert (made.people, made.photos, sum(counts)) == (9, 27, 27)
    assert made.size_bytes == sum(p.stat().st_size for p in path.rglob("*.jpg"))
    return path


def test_two_workers_write_the_bytes_that_one_writes(folder: Path, tmp_path: Path) -> None:
    again = write_folder(SPEC, tmp_path / "again", workers=2)
    assert contents(again.directory) == contents(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_files_lie_in_sub_directories_under_names_of_their_own(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["part-000", "part-001", "part-002", "photos.csv"]
    assert len(list(folder.rglob("*.jpg"))) == 27


def test_intake_reads_the_metadata_file(folder: Path) -> None:
    path = find_metadata(folder)
    assert path is not None
    rows = read_metadata(path).rows
    assert set(rows) == {str(p.relative_to(folder)) for p in folder.rglob("*.jpg")}
    by_person: dict[str, set[bool]] = {}
    for row in rows.values():
        assert row.person is not None
        assert {name for name, _ in row.attributes} == {"age", "sex", "tone", "latitude", "longitude"}
        by_person.setdefault(row.person, set()).add(row.consent is not None)
    assert len(by_person) == 9
    assert all(len(states) == 1 for states in by_person.values())
    assert {True in states for states in by_person.values()} == {True, False}


def test_photos_carry_camera_time_and_for_some_the_place(folder: Path) -> None:
    rows = read_metadata(folder / "photos.csv").rows
    located = 0
    for name, row in rows.items():
        with Image.open(folder / name) as image:
            assert image.format == "JPEG"
            assert image.size == (112, 112)
            exif = image.getexif()
        assert exif[0x010F]
        assert exif[0x0110]
        assert row.taken is not None
        assert exif.get_ifd(0x8769)[0x9003].startswith(f"{row.taken:%Y:%m:%d} ")
        gps = exif.get_ifd(0x8825)
        if gps:
            located += 1
            degrees = sum(float(part) / 60**k for k, part in enumerate(gps[2]))
            assert abs(degrees - float(dict(row.attributes)["latitude"])) < 0.1
    assert 0 < located < len(rows)


def test_json_lines_say_what_csv_says(folder: Path, tmp_path: Path) -> None:
    made = write_folder(replace(SPEC, metadata_format="jsonl"), tmp_path / "lines", workers=1)
    with (folder / "photos.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    assert [json.loads(line) for line in made.metadata.read_text().splitlines()] == rows


def test_a_generator_names_itself_and_says_nothing_of_consent_or_place(tmp_path: Path) -> None:
    spec = FolderSpec(seed=1, tones={"mid": 1}, photos_per_person=2, cameras=(), attributes=("tone",))
    made = write_folder(spec, tmp_path / "synthetic", workers=1)
    assert made.metadata.read_text().splitlines()[0] == "file,person,taken,tone"
    with Image.open(next(made.directory.rglob("*.jpg"))) as image:
        exif = image.getexif()
    assert exif[0x0131] == "unsee synth"
    assert 0x010F not in exif


def test_more_photos_leave_the_first_ones_as_they_were(folder: Path, tmp_path: Path) -> None:
    more = write_folder(replace(SPEC, photos_per_person=4), tmp_path / "more", workers=1)
    written = contents(more.directory)
    assert all(written[name] == data for name, data in contents(folder).items() if name.endswith(".jpg"))


def test_what_is_there_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        write_folder(SPEC, folder)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AlreadyExists):
        write_folder(SPEC, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert write_folder(replace(SPEC, tones={"mid": 1}), tmp_path / "empty", workers=1).photos == 3


def test_a_killed_call_leaves_no_folder_and_the_next_one_finishes(folder: Path, tmp_path: Path) -> None:
    target, partial = tmp_path / "killed", tmp_path / ".killed.partial"
    code = (
        "from pathlib import Path; from unsee.replace.folder import FolderSpec, write_folder;"
        f"write_folder(FolderSpec(3, {{'mid': 400}}, 20), Path({str(target)!r}), workers=1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(partial.rglob("*.jpg")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not target.exists()
    write_folder(SPEC, target, workers=1)
    assert contents(target) == contents(folder)
    assert not partial.exists()


def test_a_photo_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        write_folder(SPEC, tmp_path / "full", workers=1)
    assert not (tmp_path / "full").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"photos_per_person": 0},
        {"photos_per_person": 3_001},
        {"people_per_directory": 0},
        {"quality": 101},
        {"gps_share": 1.5},
        {"attributes": ("income",)},
        {"taken_from": date(2020, 1, 1)},
        {"metadata_format": "xml"},
        {"consent": replace(CONSENT, share=-0.1)},
        {"consent": replace(CONSENT, purposes=())},
        {"consent": replace(CONSENT, valid_until=date(2023, 1, 1))},
    ],
)
def test_a_spec_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        replace(SPEC, **change)


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(UnknownPurpose):
        replace(SPEC, consent=replace(CONSENT, purposes=("sell",)))
