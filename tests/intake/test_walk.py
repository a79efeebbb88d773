"""The folder that is handed over: its photos, and nothing outside it; what is left out is told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.intake import walk
from unsee.intake.walk import FolderUnreadable, NotReadable, escape_of, list_folder, read_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "handed over"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"a")
    (root / "b" / "ü.jpg").write_bytes(b"u")
    (root / "b" / "deep" / "z.jpg").write_bytes(b"zz")
    return root


def reasons(listing: walk.Listing) -> dict[str, str]:
    return {one.file: one.reason for one in listing.left_out}


def test_regular_files_are_listed_in_a_stable_order(folder):
    listing = list_folder(folder)
    assert listing.files == ("a.jpg", "b/deep/z.jpg", "b/ü.jpg")
    assert listing.left_out == ()
    assert [read_file(listing.folder, name, limit_bytes=9) for name in listing.files] == [b"a", b"zz", b"u"]


def test_what_is_no_photo_is_left_out_by_name(folder, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(secret)
    (folder / "linked folder").symlink_to(tmp_path)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.jpg").write_bytes(b"x")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "photos.csv").write_text("file\n")
    listing = list_folder(folder, metadata=folder / "photos.csv")
    assert listing.files == ("a.jpg", "b/deep/z.jpg", "b/ü.jpg")
    told = reasons(listing)
    assert set(told) == {"link.jpg", "linked folder", ".DS_Store", ".hidden", "pipe.jpg", "photos.csv"}
    assert "links are not followed" in told["link.jpg"]
    assert "links are not followed" in told["linked folder"]
    assert "regular file" in told["pipe.jpg"]
    assert "metadata" in told["photos.csv"]
    assert {one.file for one in listing.left_out if one.expected} == {".DS_Store", ".hidden", "photos.csv"}


def test_another_csv_is_left_to_be_refused_as_no_picture(folder):
    (folder / "other.csv").write_text("x")
    assert "other.csv" in list_folder(folder).files


def test_a_name_that_is_not_text_is_left_out_printably(folder):
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    ((name, reason),) = reasons(list_folder(folder)).items()
    assert "not UTF-8" in reason
    name.encode()


def test_a_folder_that_cannot_be_listed_is_told_and_the_rest_goes_on(folder, monkeypatch):
    scandir = os.scandir

    def forbidding(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    listing = list_folder(folder)
    assert listing.files == ("a.jpg", "b/ü.jpg")
    assert "Permission denied" in reasons(listing)["b/deep"]


def test_no_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FolderUnreadable, match="nowhere"):
        list_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FolderUnreadable, match="not a folder"):
        list_folder(tmp_path / "file")


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/passwd", "a\0b.jpg", "b/.."])
def test_names_that_lead_out_are_refused(folder, name):
    assert escape_of(name) is not None
    with pytest.raises(NotReadable):
        read_file(str(folder), name, limit_bytes=9)


@given(name=st.text(alphabet=st.sampled_from("ab./\\\0 "), max_size=12))
def test_no_name_without_objection_leads_out(name):
    if escape_of(name) is None:
        assert os.path.normpath(os.path.join("/root/folder", name)).startswith("/root/folder")  # noqa: PTH118


def test_a_link_put_there_after_the_listing_is_not_followed(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "z.jpg").write_bytes(b"secret")
    (folder / "late.jpg").symlink_to(tmp_path / "secret" / "z.jpg")
    (folder / "late").symlink_to(tmp_path / "secret")
    for name in ("late.jpg", "late/z.jpg"):
        with pytest.raises(NotReadable, match="cannot be read"):
            read_file(str(folder), name, limit_bytes=99)


def test_pipes_folders_and_absent_files_are_not_read(folder):
    os.mkfifo(folder / "pipe")
    for name in ("pipe", "b", "absent.jpg", "", "."):
        with pytest.raises(NotReadable):
            read_file(str(folder), name, limit_bytes=9)


def test_reading_stops_behind_the_limit(folder):
    (folder / "large").write_bytes(bytes(5000))
    assert len(read_file(str(folder), "large", limit_bytes=1000)) == 1001
    assert len(read_file(str(folder), "large", limit_bytes=5000)) == 5000


def test_a_file_that_grows_while_it_is_read_is_read_on(folder, monkeypatch):
    (folder / "growing").write_bytes(bytes(100))
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((*real(fd)[:6], 10, *real(fd)[7:])))
    assert len(read_file(str(folder), "growing", limit_bytes=1000)) == 100
    assert len(read_file(str(folder), "growing", limit_bytes=50)) == 51


def test_no_descriptor_leaks(folder):
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    for name in ("a.jpg", "b/deep/z.jpg", "absent", "b/absent/x", "../x"):
        with contextlib.suppress(NotReadable):
            read_file(str(folder), name, limit_bytes=9)
    assert held() == before
