"""HDF5 beyond the contract: what a copy must keep, what it refuses, and damaged files (R6, R8)."""

import hashlib
import os

import h5py
import numpy as np
import pytest

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.hdf5 import copying, members, open_hdf5
from unsee.testing.stores import raw_places, store_id


def stored(tmp_path, **options):
    return open_hdf5(store_id(), str(tmp_path), options)


def data(n, size=3000):
    return np.frombuffer(b"%04d" % n + hashlib.shake_256(b"%d" % n).digest(size - 4), "u1")


def write(tmp_path, **how):
    return h5py.File(tmp_path / "f.h5", "w", **how)


def test_what_is_in_a_file_stays_but_for_what_goes(tmp_path):
    with write(tmp_path, userblock_size=1024, track_order=True) as file:
        file.attrs["licence"], file.attrs["numbers"] = "own", np.arange(5)
        people = file.create_group("people", track_order=True)
        for n in (3, 1, 2):
            people.create_dataset(f"{n}.jpg", data=data(n), chunks=(512,), compression="gzip", shuffle=True)
            people[f"{n}.jpg"].attrs["caption"] = f"person {n}"
        people.create_dataset("filled", (10, 4), "f4", fillvalue=7.5, maxshape=(None, 4), chunks=(2, 4))
        file["text"], file["nothing"], file["opaque"] = "a caption", h5py.Empty("f4"), np.void(b"\1\2\0")
        file["soft"], file["out"] = h5py.SoftLink("/people/1.jpg"), h5py.ExternalLink("../secret.h5", "/x")
    with (tmp_path / "f.h5").open("r+b") as raw:
        raw.write(b"user block")
    store = stored(tmp_path)
    found = list(store.scan())
    assert {f.selector for f in found if isinstance(f, Skipped)} == {"/soft", "/out"}
    assert "people/2.jpg" in {f.selector for f in found if isinstance(f, Member)}
    assert store.erase("f.h5", [Target("people/1.jpg")]).erased == ("people/1.jpg",)
    assert (tmp_path / "f.h5").read_bytes()[:10] == b"user block"
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file.userblock_size, file.attrs["licence"], file.attrs["numbers"].tolist()) == (
            1024,
            "own",
            [0, 1, 2, 3, 4],
        )
        assert list(file["people"]) == ["3.jpg", "2.jpg", "filled"]
        one, filled = file["people/2.jpg"], file["people/filled"]
        assert (one[()].tobytes(), one.chunks, one.compression, one.shuffle) == (
            data(2).tobytes(),
            (512,),
            "gzip",
            True,
        )
        assert one.attrs["caption"] == "person 2"
        assert (filled.fillvalue, filled.maxshape, filled.chunks, filled[9, 3]) == (7.5, (None, 4), (2, 4), 7.5)
        assert (file["text"][()], file["opaque"][()].tobytes()) == (b"a caption", b"\1\2\0")
        assert isinstance(file["nothing"][()], h5py.Empty)
        assert file.get("soft", getlink=True).path == "/people/1.jpg"
        assert file.get("out", getlink=True).filename == "../secret.h5"


@pytest.mark.parametrize(
    "made", [{}, {"chunks": (4, 30)}, {"chunks": (4, 30), "compression": "gzip", "maxshape": (None, 30)}]
)
@pytest.mark.parametrize("going", [[3], list(range(1, 20)), list(range(20))])
def test_rows_go_with_all_that_is_beside_them(tmp_path, monkeypatch, made, going):
    if made:  # several stretches
        monkeypatch.setattr(copying, "rows_at_once", lambda _held: 4)
    rows = np.stack([data(n, 30) for n in range(20)])
    with write(tmp_path) as file:
        file.create_dataset("train/x", data=rows, **made)
        file["train/y"], file["train/name"] = np.arange(20), [f"{n:02d}.jpg" for n in range(20)]
        file["train/mean"], file["mean"] = np.zeros(30), np.arange(20)
        file["train/x"].attrs["unit"] = "byte"
    store = stored(tmp_path, data="train/x", key="train/name")
    outcome = store.erase("f.h5", [Target(f"{n:02d}.jpg") for n in going])
    assert (len(outcome.erased), outcome.kept) == (len(going), ())
    stays = [n for n in range(20) if n not in going]
    with h5py.File(tmp_path / "f.h5") as file:
        train = file["train"]
        assert train["y"][()].tolist() == stays
        assert train["x"][()].tobytes() == rows[stays].tobytes()
        assert (train["x"].chunks, train["x"].compression) == (made.get("chunks"), made.get("compression"))
        assert train["x"].attrs["unit"] == "byte"
        assert (train["mean"].shape, file["mean"].shape) == ((30,), (20,))
    assert not any(raw_places(store, [rows[n].tobytes() for n in going]).values())


def test_rows_without_a_key_are_named_by_digest(tmp_path):
    with write(tmp_path) as file:
        file["x"] = np.stack([data(1), data(2), data(1)])
    store = stored(tmp_path, data="x")
    name = hashlib.sha256(data(1)).hexdigest()
    assert store.erase("f.h5", [Target(name)]).erased == (name,)
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["x"][()].tobytes() == data(2).tobytes()


def test_a_dataset_of_two_names_goes_only_with_both(tmp_path):
    with write(tmp_path) as file:
        file["a"], file["b"] = data(1), data(2)
        file["deep/again"] = file["a"]
        file["deep/b too"] = file["b"]
    store = stored(tmp_path)
    assert "another name" in store.erase("f.h5", [Target("a")]).kept[0].reason
    assert set(store.erase("f.h5", [Target("a"), Target("deep/again")]).erased) == {"a", "deep/again"}
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["b"] == file["deep/b too"]


def refused(file, tmp_path, what):
    file["a"] = data(1)
    if what == "references":
        file.create_dataset("r", data=file["a"].ref, dtype=h5py.ref_dtype)
    elif what == "the attribute 'r'":
        file["a"].attrs.create("r", file["a"].ref, dtype=h5py.ref_dtype)
    elif what == "in another file":
        outside = str(tmp_path / "outside.bin")
        file.create_dataset("r", data=data(2), external=[(outside, 0, h5py.h5f.UNLIMITED)])
    elif what == "virtual":
        layout = h5py.VirtualLayout((3000,), "u1")
        layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (3000,))
        file.create_virtual_dataset("r", layout)
    elif what == "committed type":
        file["r"] = np.dtype("i4")
    elif what == "several names":
        file.create_group("g")["itself"] = file["/"]
    else:
        file.create_dataset("r", (1 << 50,), "u1", chunks=(1 << 20,), compression="gzip")


@pytest.mark.parametrize(
    "what",
    [
        "references",
        "the attribute 'r'",
        "in another file",
        "virtual",
        "committed type",
        "several names",
        "1,125,899,906,842,624 bytes",
    ],
)
def test_what_a_copy_would_break_is_refused_by_name(tmp_path, what):
    with write(tmp_path) as file:
        refused(file, tmp_path, what)
    before, store = (tmp_path / "f.h5").read_bytes(), stored(tmp_path)
    (skipped,) = store.scan()
    assert what in skipped.reason
    assert what in store.erase("f.h5", [Target("a")]).kept[0].reason
    with pytest.raises(StoreError, match=what):
        store.read("f.h5", "a")
    assert (tmp_path / "f.h5").read_bytes() == before


def test_who_opens_it_for_writing_meanwhile_is_heard_at_the_last_moment(tmp_path, monkeypatch):
    def broken(_file):
        raise StoreError("a program wants to write to it")

    with write(tmp_path) as file:
        file["a"] = data(1)
    before = (tmp_path / "f.h5").read_bytes()
    monkeypatch.setattr("unsee.stores.writers.still_out", broken)
    assert "wants to write" in stored(tmp_path).erase("f.h5", [Target("a")]).kept[0].reason
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"f.h5": before}


def test_a_write_that_failed_is_told_after_the_library_is_done(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    with (tmp_path / "f").open("rb") as closed:
        sink = copying.Sink(closed.fileno())
        assert sink.write(b"ab") == 2, "HDF5 does not survive less"
        with pytest.raises(OSError, match="Bad file descriptor"):
            sink.check()


def test_links_that_changed_are_no_copy():
    with pytest.raises(StoreError, match="links"):
        members._compare(copying.Contents(links={"/a": "b"}), copying.Contents(), frozenset())


def test_a_file_that_is_open_for_writing_is_kept(tmp_path):
    with write(tmp_path) as file:
        file["a"] = data(1)
        file.flush()
        assert stored(tmp_path).erase("f.h5", [Target("a")]).kept[0].reason
    assert stored(tmp_path).erase("f.h5", [Target("a")]).erased == ("a",)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_said_and_left(tmp_path, keep):
    with write(tmp_path) as file:
        file["a"], file["b"] = data(1), data(2)
    path, store = tmp_path / "f.h5", stored(tmp_path)
    os.truncate(path, int(path.stat().st_size * keep))
    before = path.read_bytes()
    assert all(isinstance(found, Skipped) for found in store.scan())
    assert store.erase("f.h5", [Target("a")]).kept
    with pytest.raises(StoreError):
        store.probe("f.h5", ["a"])
    assert path.read_bytes() == before


def test_options_are_checked(tmp_path):
    with pytest.raises(InvalidValue):
        stored(tmp_path, key="names")
    with write(tmp_path) as file:
        file["x"], file["names"] = np.stack([data(1), data(2)]), ["one"]
    assert "one key for each row" in next(iter(stored(tmp_path, data="x", key="names").scan())).reason
    assert "Datasets: 'names', 'x'" in next(iter(stored(tmp_path, data="y").scan())).reason
