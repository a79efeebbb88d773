"""Tar shards: what every reader sees after an erasure, formats, names, links, and shards that somebody reads."""

import fcntl
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import webdataset

from unsee.core.errors import InvalidValue, PathEscape, StoreError
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import overwriting
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.registry import open_store
from unsee.stores.tar import archive, compact, headers, inplace

LONG = "people/" + "x" * 120 + "/" + "y" * 90 + ".jpg"


def store_at(root, mode="in-place"):
    return open_store(StoreId("shards"), "tar", str(root), {"mode": mode})


def data_of(name):
    return (name.encode() + b"|") * 200


def write(path, names, format=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=format) as writer:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.uname, entry.mtime = len(data_of(name)), "dana", 1_700_000_000
            writer.addfile(entry, io.BytesIO(data_of(name)))


def members(store, object_name="a.tar"):
    return {m.selector: m for m in store.scan() if isinstance(m, Member) and m.object == object_name}


def skipped(store):
    return [s for s in store.scan() if isinstance(s, Skipped)]


def targets(store, *selectors, object_name="a.tar"):
    return [Target(s, stamp) for s, stamp in zip(selectors, store.stamps(object_name, selectors), strict=True)]


def through_tarfile(path, mode):
    with path.open("rb") as file, tarfile.open(fileobj=file, mode=mode) as reader:
        return {e.name: reader.extractfile(e).read() for e in reader if e.isreg()}


def through_webdataset(path):
    with path.open("rb") as stream:
        return {f["fname"]: f["data"] for f in webdataset.tariterators.tar_file_iterator(stream)}


def through_tar(path, program="tar"):
    into = path.with_suffix(".out")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    subprocess.run([program, "-xf", str(path), "-C", str(into)], check=True, capture_output=True)
    return {str(f.relative_to(into)): f.read_bytes() for f in into.rglob("*") if f.is_file()}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["in-place", "compact"])
def test_every_reader_passes_over_what_was_erased(tmp_path, format, mode):
    names = ["0.jpg", LONG, "1.jpg", "1.json", LONG.replace("y", "z"), "ä.jpg"]
    path = tmp_path / "a.tar"
    write(path, names, format)
    size = path.stat().st_size
    store = store_at(tmp_path, mode)
    outcome = store.erase("a.tar", targets(store, LONG, "1.jpg", "ä.jpg"))
    assert (set(outcome.erased), outcome.kept) == ({LONG, "1.jpg", "ä.jpg"}, ())
    kept = {name: data_of(name) for name in ("0.jpg", "1.json", LONG.replace("y", "z"))}
    for reader_mode in ("r", "r:", "r|", "r|*"):
        assert through_tarfile(path, reader_mode) == kept
    assert through_webdataset(path) == kept
    assert through_tar(path) == kept
    if shutil.which("bsdtar"):
        assert through_tar(path, "bsdtar") == kept
    assert (path.stat().st_size == size) == (mode == "in-place")


def test_no_name_owner_or_time_is_left_in_a_void(tmp_path):
    path = tmp_path / "a.tar"
    write(path, [LONG])
    store = store_at(tmp_path)
    assert store.erase("a.tar", targets(store, LONG)).erased == (LONG,)
    raw = path.read_bytes()
    for trace in (b"xxx", b"yyy", b"dana", b"people", oct(1_700_000_000)[2:].encode()):
        assert trace not in raw
    (void,) = archive.listing(os.open(path, os.O_RDONLY), "").voids
    assert raw[:512] == headers.void_header(void.end - 512, archive.DONE)
    assert not raw[512:].strip(b"\0")


def test_how_gone_follows_the_file_system(tmp_path):
    write(tmp_path / "a.tar", ["0.jpg", "1.jpg"])
    store = store_at(tmp_path)
    expected = Gone.D3 if overwriting.in_place(tmp_path.stat().st_dev) else Gone.D2
    assert store.capability().best_gone is expected
    assert store.erase("a.tar", [Target("0.jpg")]).gone is expected


def test_an_erasure_goes_straight_to_the_place_that_the_stamp_remembers(tmp_path):
    path = tmp_path / "a.tar"
    write(path, ["0.jpg", "1.jpg", "2.jpg"])
    store = store_at(tmp_path)
    (target,) = targets(store, "2.jpg")
    raw = bytearray(path.read_bytes())
    raw[148:156] = b"garbage!"  # whoever goes through the headers stops at the first
    path.write_bytes(raw)
    assert store.erase("a.tar", [target]).erased == ("2.jpg",)
    assert data_of("2.jpg")[:50] not in path.read_bytes()


def test_a_member_that_moved_is_found_by_its_stamp(tmp_path):
    write(tmp_path / "a.tar", ["0.jpg", "1.jpg", "2.jpg"])
    store = store_at(tmp_path)
    before = targets(store, "2.jpg")
    write(tmp_path / "a.tar", ["00.jpg", "0.jpg", "1.jpg", "2.jpg"])
    assert targets(store, "2.jpg") != before
    assert store.erase("a.tar", before).erased == ("2.jpg",)
    assert set(members(store)) == {"00.jpg", "0.jpg", "1.jpg"}


def test_other_bytes_of_the_same_size_and_time_are_another_member(tmp_path):
    path = tmp_path / "a.tar"
    write(path, ["0.jpg", "1.jpg"])
    store = store_at(tmp_path)
    before = targets(store, "0.jpg")
    path.write_bytes(path.read_bytes().replace(b"0.jpg|0.jpg|", b"9.jpg|9.jpg|"))
    assert [k.reason for k in store.erase("a.tar", before).kept] == ["it changed after it was listed"]
    assert b"9.jpg|9.jpg|" in path.read_bytes()


def test_samples_are_what_webdataset_groups(tmp_path):
    write(tmp_path / "a.tar", ["a/0.jpg", "a/0.seg.png", "a.b/1.JPG", ".hidden", "README"])
    samples = {name: member.sample for name, member in members(store_at(tmp_path)).items()}
    assert samples == {"a/0.jpg": "a/0", "a/0.seg.png": "a/0", "a.b/1.JPG": "a.b/1", ".hidden": "", "README": ""}


@pytest.mark.parametrize(
    "name", ["../up.jpg", "/etc/passwd", "a/../../b.jpg", "line\nbreak.jpg", "back\\slash.jpg", "\\@x.jpg"]
)
def test_odd_names_are_listed_read_and_erased_and_never_followed(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    write(root / "a.tar", [name, "0.jpg"])
    store = store_at(root)
    (selector,) = set(members(store)) - {"0.jpg"}
    assert store.read("a.tar", selector) == data_of(name)
    assert store.erase("a.tar", targets(store, selector)).erased == (selector,)
    assert store.probe("a.tar", [selector]) == ()
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


def test_no_two_names_have_one_selector_and_what_names_nothing_is_refused(tmp_path):
    write(tmp_path / "a.tar", ["a\\@b", "a\\\\@b", "a\nb", "a\\x0ab"])
    store = store_at(tmp_path)
    assert len(members(store)) == 4
    for selector, member in members(store).items():
        assert store.stamps("a.tar", [selector]) == [member.stamp]
    for wrong in ("a\nb", "a\\@b", "", "a\\x62"):
        with pytest.raises(PathEscape):
            store.erase("a.tar", [Target(wrong)])


def twice(path, name="0.jpg", *, same=False):
    with tarfile.open(path, "w") as writer:
        for data in (b"first " * 100, b"other.jpg" * 9, (b"first " if same else b"later ") * 100):
            entry = tarfile.TarInfo("other.jpg" if data.startswith(b"other") else name)
            entry.size = len(data)
            writer.addfile(entry, io.BytesIO(data))


def test_names_that_come_twice_have_selectors_of_their_own_which_stay(tmp_path):
    path = tmp_path / "a.tar"
    twice(path)
    store = store_at(tmp_path)
    first, later = sorted((s for s in members(store) if "\\@" in s), key=lambda s: store.read("a.tar", s))
    assert store.read("a.tar", "0.jpg") == b"later " * 100  # what `tar -x` leaves
    both = targets(store, first, later)
    assert store.erase("a.tar", both[:1]).erased == (first,)
    assert (b"first " in path.read_bytes(), b"later " in path.read_bytes()) == (False, True)
    assert store.stamps("a.tar", [first, later]) == [None, both[1].stamp]
    outcome = store.erase("a.tar", both)
    assert (outcome.absent, outcome.erased) == ((first,), (later,))
    assert set(members(store)) == {"other.jpg"}


def test_equal_entries_of_one_name_are_one_member_and_go_together(tmp_path):
    twice(tmp_path / "a.tar", same=True)
    store = store_at(tmp_path)
    assert set(members(store)) == {"0.jpg", "other.jpg"}
    assert store.erase("a.tar", targets(store, "0.jpg")).erased == ("0.jpg",)
    assert b"first " not in (tmp_path / "a.tar").read_bytes()


def linked(path):
    write(path, ["0.jpg", "1.jpg"])
    with tarfile.open(path, "a") as writer:
        for name, kind in (("link.jpg", tarfile.LNKTYPE), ("soft.jpg", tarfile.SYMTYPE), ("dir", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "0.jpg" if name != "dir" else ""
            writer.addfile(entry)


def test_a_hard_link_is_a_member_and_goes_with_what_it_points_to(tmp_path):
    linked(tmp_path / "a.tar")
    store = store_at(tmp_path)
    assert store.read("a.tar", "link.jpg") == data_of("0.jpg")
    assert [(s.selector, s.reason) for s in skipped(store)] == [
        ("soft.jpg", "a symbolic link, not a regular file"),
        ("dir/", "a directory, not a regular file"),
    ]
    (kept,) = store.erase("a.tar", targets(store, "0.jpg")).kept
    assert "'link.jpg'" in kept.reason
    assert store.read("a.tar", "0.jpg") == data_of("0.jpg")
    outcome = store.erase("a.tar", targets(store, "0.jpg", "link.jpg"))
    assert set(outcome.erased) == {"0.jpg", "link.jpg"}
    assert b"link.jpg" not in (tmp_path / "a.tar").read_bytes()
    assert store.read("a.tar", "1.jpg") == data_of("1.jpg")


@pytest.mark.parametrize("kind", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_members_of_gnu_tar(tmp_path, kind):
    source = tmp_path / "src"
    source.mkdir()
    wanted = {}
    for name in ("one.bin", "two.bin"):
        with (source / name).open("wb") as file:
            for n in range(30):
                file.seek(n * 65536)
                file.write(f"{name} piece {n} ".encode() * 50)
            file.truncate(40 * 65536)
        wanted[name] = (source / name).read_bytes()
    how = ["--format=gnu"] if kind == "gnu" else ["--format=posix", f"--sparse-version={kind}"]
    command = ["tar", "-C", str(source), "--sparse", *how, "-cf", str(tmp_path / "a.tar"), "one.bin", "two.bin"]
    subprocess.run(command, check=True)
    shutil.rmtree(source)
    store = store_at(tmp_path)
    assert {name: store.read("a.tar", name) for name in members(store)} == wanted
    assert (tmp_path / "a.tar").stat().st_size < len(wanted["one.bin"])
    assert store.erase("a.tar", targets(store, "one.bin")).erased == ("one.bin",)
    assert b"one.bin" not in (tmp_path / "a.tar").read_bytes()
    assert through_tarfile(tmp_path / "a.tar", "r") == {"two.bin": wanted["two.bin"]}
    assert store.read("a.tar", "two.bin") == wanted["two.bin"]


def test_sizes_beyond_octal_are_read_and_written():
    void = headers.void_header(1 << 40, archive.DONE)
    entry = tarfile.TarInfo.frombuf(void, "utf-8", "surrogateescape")
    assert (entry.size, entry.type, entry.name, entry.uname, entry.mtime) == (1 << 40, b"D", "__erased__/zeroed", "", 0)
    assert not entry.isreg()


def test_a_shard_that_somebody_reads_is_replaced_and_the_reader_reads_on(tmp_path):
    path = tmp_path / "a.tar"
    write(path, [f"{n}.jpg" for n in range(9)])
    store = store_at(tmp_path)
    inode = path.stat().st_ino
    with path.open("rb") as stream:
        reading = webdataset.tariterators.tar_file_iterator(stream)
        seen = [next(reading)["fname"]]
        outcome = store.erase("a.tar", targets(store, "5.jpg"))
        assert (outcome.erased, outcome.gone) == (("5.jpg",), Gone.D2)
        seen += [found["fname"] for found in reading]
    assert seen == [f"{n}.jpg" for n in range(9)]
    assert path.stat().st_ino != inode
    assert set(members(store)) == {f"{n}.jpg" for n in range(9) if n != 5}


def test_a_shard_with_another_name_is_kept(tmp_path):
    write(tmp_path / "a.tar", ["0.jpg"])
    (tmp_path / "backup").mkdir()
    os.link(tmp_path / "a.tar", tmp_path / "backup" / "b.saved")
    for mode in ("in-place", "compact"):
        (kept,) = store_at(tmp_path, mode).erase("a.tar", [Target("0.jpg")]).kept
        assert kept.reason == "the shard has 1 other hard link, which would still hold its bytes"
    with pytest.raises(StoreError, match="hard link"):
        compact(store_at(tmp_path), "a.tar")


def test_compact_takes_voids_out_and_copies_the_rest(tmp_path):
    path = tmp_path / "a.tar"
    write(path, [f"{n}.jpg" for n in range(9)])
    store = store_at(tmp_path)
    size = path.stat().st_size
    stamps = targets(store, "7.jpg")
    store.erase("a.tar", targets(store, "1.jpg", "2.jpg", "8.jpg"))
    assert path.stat().st_size == size
    freed = compact(store, "a.tar")
    assert freed == size - path.stat().st_size == 3 * 1536 + 3 * 512 * (len(data_of("1.jpg")) // 512 - 1)
    assert b"__erased__" not in path.read_bytes()
    assert compact(store, "a.tar") == 0
    assert through_tar(path) == {f"{n}.jpg": data_of(f"{n}.jpg") for n in (0, 3, 4, 5, 6, 7)}
    assert store.erase("a.tar", stamps).erased == ("7.jpg",)
    with pytest.raises(StoreError, match="No such file"):
        compact(store, "b.tar")


def test_bytes_in_a_void_that_a_kill_left_are_found_and_zeroed(tmp_path):
    path = tmp_path / "a.tar"
    write(path, ["0.jpg", "1.jpg"])
    store = store_at(tmp_path)
    asked = targets(store, "0.jpg")
    with path.open("r+b") as file:
        file.write(headers.void_header(headers.padded(len(data_of("0.jpg"))), archive.HALF))
    assert [r.where for r in store.probe("a.tar", ["0.jpg"])] == ["a half-erased entry at byte 0"]
    outcome = store.erase("a.tar", asked)
    assert (outcome.absent, outcome.kept) == (("0.jpg",), ())
    assert b"0.jpg|" not in path.read_bytes()
    assert store.probe("a.tar", ["0.jpg"]) == ()
    assert set(members(store)) == {"1.jpg"}


def test_a_void_that_says_zeroed_and_is_not_is_zeroed_by_the_call_for_what_lay_there(tmp_path):
    path = tmp_path / "a.tar"
    write(path, ["0.jpg", "1.jpg"])
    store = store_at(tmp_path)
    asked = targets(store, "0.jpg")
    with path.open("r+b") as file:
        file.write(headers.void_header(headers.padded(len(data_of("0.jpg"))), archive.DONE))
    assert store.erase("a.tar", asked).absent == ("0.jpg",)
    assert b"0.jpg|" not in path.read_bytes()


def test_tidy_removes_shards_of_voids_and_directories_that_this_empties(tmp_path):
    (tmp_path / "people" / "ann").mkdir(parents=True)
    write(tmp_path / "people" / "ann" / "a.tar", ["0.jpg"])
    write(tmp_path / "b.tar", ["0.jpg"])
    store = store_at(tmp_path)
    store.erase("people/ann/a.tar", [Target("0.jpg")])
    assert store.tidy(["people/ann/a.tar", "b.tar"]) == ("people/ann/a.tar", "people/ann", "people")
    assert [p.name for p in tmp_path.iterdir()] == ["b.tar"]


def test_options_are_checked(tmp_path):
    with pytest.raises(InvalidValue, match="no way to erase"):
        store_at(tmp_path, "soft")
    with pytest.raises(InvalidValue, match="no option"):
        open_store(StoreId("shards"), "tar", str(tmp_path), {"speed": "fast"})


def test_many_members_are_read_in_one_pass(tmp_path):
    write(tmp_path / "a.tar", ["0.jpg", "1.jpg", "2.jpg"])
    store = store_at(tmp_path)
    found = dict(store.read_many("a.tar", ["2.jpg", "9.jpg", "0.jpg"], limit_bytes=10_000))
    assert list(found) == ["0.jpg", "2.jpg", "9.jpg"]
    assert found["0.jpg"] == data_of("0.jpg")
    assert isinstance(found["9.jpg"], StoreError)
    small = dict(store.read_many("a.tar", ["1.jpg"], limit_bytes=10))
    assert isinstance(small["1.jpg"], StoreError)


def test_a_shard_that_may_not_be_written_to_is_replaced(tmp_path):
    path = tmp_path / "a.tar"
    write(path, ["0.jpg", "1.jpg"])
    path.chmod(0o444)
    store = store_at(tmp_path)
    assert store.erase("a.tar", targets(store, "0.jpg")).erased == ("0.jpg",)
    assert path.stat().st_mode & 0o777 == 0o444
    assert Path(path).read_bytes().count(b"1.jpg|") == 200


def test_who_waits_to_open_a_shard_gets_it_between_two_pieces_and_the_rest_is_rewritten(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    write(path, [f"{n}.jpg" for n in range(4)])
    store = store_at(tmp_path)
    asked = targets(store, "0.jpg", "1.jpg", "2.jpg")
    monkeypatch.setattr(inplace, "BATCH_BYTES", 1)
    leases = iter([fcntl.F_WRLCK, fcntl.F_RDLCK])  # the second is what fcntl says while somebody waits
    monkeypatch.setattr(inplace, "lease", lambda file: next(leases))
    inode = path.stat().st_ino
    outcome = store.erase("a.tar", asked)
    assert (outcome.erased, outcome.kept, outcome.absent) == (("0.jpg", "1.jpg", "2.jpg"), (), ())
    assert path.stat().st_ino != inode
    assert through_tarfile(path, "r") == {"3.jpg": data_of("3.jpg")}
