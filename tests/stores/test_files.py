import errno
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import PathEscape, StoreError, StoreUnreachable
from unsee.core.evidence import Gone
from unsee.core.ids import StoreId
from unsee.stores import files, overwriting, removal
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.files import FileStore
from unsee.stores.names import spell
from unsee.testing.faults import run_killed_at

BOTH = pytest.mark.parametrize("overwrite", [False, True])
NOBODY = 65534


def store_at(root, *, overwrite=False):
    return FileStore(StoreId("s"), str(root), overwrite=overwrite)


def write(path, data=b"bytes of a photo"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def listed(store):
    return {(m.object, m.selector): m for m in store.scan() if isinstance(m, Member)}


def skipped(store):
    return {(s.object, s.selector): s.reason for s in store.scan() if isinstance(s, Skipped)}


@contextmanager
def unprivileged():
    """As an ordinary user: root may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else 0


@pytest.fixture
def open_place():
    """A directory that an ordinary user can reach; pytest's own are closed to others."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    for path in [place, *place.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(place)


NAMES = st.binary(min_size=1, max_size=12).filter(lambda n: b"/" not in n and b"\0" not in n and n not in {b".", b".."})
TREES = st.dictionaries(
    st.lists(NAMES, max_size=3).map(tuple), st.dictionaries(NAMES, st.binary(max_size=50), max_size=4), max_size=5
)


@given(tree=TREES, overwrite=st.booleans(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_tree_of_any_names_is_listed_erased_and_otherwise_left(tree, overwrite, data):
    with tempfile.TemporaryDirectory() as place:
        truth = {}
        for parts, contents in tree.items():
            directory = Path(place, *map(os.fsdecode, parts))
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                continue  # a file of this name was made first
            for name, content in contents.items():
                path = directory / os.fsdecode(name)
                if not path.is_dir():
                    path.write_bytes(content)
                    truth["/".join(map(spell, parts)) or ".", spell(name)] = content
        store = store_at(place, overwrite=overwrite)
        assert {key: m.size_bytes for key, m in listed(store).items()} == {key: len(c) for key, c in truth.items()}
        assert not skipped(store)
        assert {key: store.read(*key) for key in truth} == truth

        going = data.draw(st.sets(st.sampled_from(sorted(truth))) if truth else st.just(set()))
        for object_name in {o for o, _ in going}:
            selectors = sorted(n for o, n in going if o == object_name)
            stamps = store.stamps(object_name, selectors)
            assert store.erase(
                object_name, [Target(s, t) for s, t in zip(selectors, stamps, strict=True)]
            ).erased == tuple(selectors)
            assert store.probe(object_name, selectors) == ()
        assert {key: store.read(*key) for key in listed(store)} == {k: c for k, c in truth.items() if k not in going}
        assert ".unsee-erasing" not in {name for _, names, _ in os.walk(place) for name in names}


def test_what_is_no_regular_file_is_named_with_its_reason_and_never_followed(tmp_path):
    outside = write(tmp_path / "outside" / "secret.jpg")
    root = tmp_path / "root"
    write(root / "real.jpg")
    (root / "to-file").symlink_to(outside)
    (root / "to-directory").symlink_to(outside.parent)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # socket paths are short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    store = store_at(root)
    assert set(listed(store)) == {(".", "real.jpg")}
    assert {name: reason.split(",")[0] for (_, name), reason in skipped(store).items()} == {
        "to-file": "a symbolic link",
        "to-directory": "a symbolic link",
        "dangling": "a symbolic link",
        "loop": "a symbolic link",
        "fifo": "a fifo",
        "socket": "a socket",
    }
    for name in ("to-file", "fifo", "socket", "loop"):
        outcome = store.erase(".", [Target(name), Target("real.jpg", "another stamp")])
        assert [k.selector for k in outcome.kept] == [name, "real.jpg"]
        assert "not a regular file" in outcome.kept[0].reason
        assert (root / name).is_symlink() or (root / name).exists()
        assert store.stamps(".", [name]) == [None]
        with pytest.raises(StoreError, match=name):
            store.read(".", name)
    assert [r.where for r in store.probe(".", ["dangling", "fifo"])] == ["current: a symbolic link", "current: a fifo"]
    assert outside.read_bytes() == b"bytes of a photo"


def test_a_directory_replaced_by_a_link_is_refused_not_followed(tmp_path):
    write(tmp_path / "outside" / "a" / "x.jpg")
    write(tmp_path / "root" / "a" / "x.jpg")
    store = store_at(tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "a")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "outside" / "a")
    for act in (
        lambda: store.erase("a", [Target("x.jpg")]),
        lambda: store.probe("a", ["x.jpg"]),
        lambda: store.read("a", "x.jpg"),
    ):
        with pytest.raises(PathEscape, match="symbolic link"):
            act()
    assert (tmp_path / "outside" / "a" / "x.jpg").exists()


def test_an_object_that_became_a_file_is_absent(tmp_path):
    write(tmp_path / "a")
    store = store_at(tmp_path)
    assert store.erase("a", [Target("x")]).absent == ("x",)
    assert store.erase("a/b", [Target("x")]).absent == ("x",)
    assert (tmp_path / "a").exists()


def test_the_root_may_be_a_link_but_not_a_file_or_nothing(tmp_path):
    write(tmp_path / "real" / "x.jpg")
    (tmp_path / "link").symlink_to("real")
    assert set(listed(store_at(tmp_path / "link"))) == {(".", "x.jpg")}
    for bad in (tmp_path / "real" / "x.jpg", tmp_path / "absent", "nul\0"):
        with pytest.raises(StoreUnreachable, match="cannot be opened"):
            list(store_at(bad).scan())


def test_a_path_longer_than_the_system_takes_at_once_is_no_obstacle(tmp_path):
    long = "seventeen-letters"
    script = f"import os\nfor n in range(300): os.mkdir('{long}'), os.chdir('{long}')\nopen('x.jpg', 'w').close()"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    store = store_at(tmp_path)
    ((object_name, selector),) = listed(store)
    assert object_name == "/".join([long] * 300)
    assert store.erase(object_name, [Target(selector)]).erased == ("x.jpg",)
    assert listed(store) == {}
    subprocess.run(["rm", "-rf", long], cwd=tmp_path, check=True)  # pytest's own removal recurses


def test_a_tree_too_deep_to_be_anything_but_an_attack_is_cut_off_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "DEEPEST", 2)
    write(tmp_path / "1" / "2" / "3" / "x.jpg")
    write(tmp_path / "1" / "2" / "y.jpg")
    assert set(listed(store_at(tmp_path))) == {("1/2", "y.jpg")}
    assert skipped(store_at(tmp_path)) == {("1/2/3", ""): "more than 2 directories deep, not looked into"}


def test_scan_holds_nothing_open_while_the_caller_works(tmp_path):
    for n in range(3):
        write(tmp_path / f"d{n}" / "x.jpg")
    before = open_files()
    scan = store_at(tmp_path).scan()
    next(scan)
    assert open_files() == before
    shutil.rmtree(tmp_path / "d1")
    rest = list(scan)
    assert [type(f) for f in rest] == [Skipped, Member]
    assert rest[0].object == "d1"
    assert "went away" in rest[0].reason


def test_a_name_too_long_for_the_file_system_is_absent(tmp_path):
    assert store_at(tmp_path).erase(".", [Target("x" * 300)]).absent == ("x" * 300,)
    assert store_at(tmp_path).erase("y" * 300, [Target("x")]).absent == ("x",)


# Hard links


@BOTH
def test_a_hard_link_outside_the_request_keeps_the_member_and_its_name(tmp_path, overwrite):
    one = write(tmp_path / "a" / "one.jpg")
    (tmp_path / "b").mkdir()
    os.link(one, tmp_path / "b" / "two.jpg")
    store = store_at(tmp_path, overwrite=overwrite)
    write(tmp_path / "a" / "other.jpg")
    for _ in range(2):  # asked again, it says the same: the name is still there to be judged
        outcome = store.erase("a", [Target("one.jpg"), Target("other.jpg")])
        (kept,) = outcome.kept
        assert kept.selector == "one.jpg"
        assert "1 other hard link outside" in kept.reason
        assert str(one.stat().st_ino) in kept.reason
    assert one.read_bytes() == (tmp_path / "b" / "two.jpg").read_bytes() == b"bytes of a photo"
    (tmp_path / "b" / "two.jpg").unlink()
    assert store.erase("a", [Target("one.jpg")]).erased == ("one.jpg",)


@BOTH
def test_a_file_all_of_whose_links_are_wanted_is_erased(tmp_path, overwrite):
    one = write(tmp_path / "one.jpg")
    for name in ("two.jpg", "three.jpg"):
        os.link(one, tmp_path / name)
    store = store_at(tmp_path, overwrite=overwrite)
    assert len(store.erase(".", [Target("one.jpg"), Target("two.jpg")]).kept) == 2
    assert store.erase(".", [Target("one.jpg"), Target("two.jpg"), Target("three.jpg")]).erased == (
        "one.jpg",
        "two.jpg",
        "three.jpg",
    )
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_links_are_all_kept_when_the_last_one_cannot_go(tmp_path, overwrite, monkeypatch):
    one = write(tmp_path / "one.jpg")
    os.link(one, tmp_path / "two.jpg")
    fail_on(monkeypatch, "rename" if overwrite and in_place(tmp_path) else "unlink", b"one.jpg", errno.EPERM)
    outcome = store_at(tmp_path, overwrite=overwrite).erase(".", [Target("one.jpg"), Target("two.jpg")])
    assert outcome.erased == ()
    assert [k.selector for k in outcome.kept] == ["one.jpg", "two.jpg"]
    assert one.read_bytes() == b"bytes of a photo"


# What goes wrong


def fail_on(monkeypatch, call, name, code):
    """The real call, but for one name, as a failing disk or a full one would."""
    real = getattr(os, call)

    def faulty(first, *args, **kwargs):
        if name is None or first == name:
            raise OSError(code, os.strerror(code))
        return real(first, *args, **kwargs)

    monkeypatch.setattr(os, call, faulty)


def in_place(path):
    return overwriting.in_place(path.stat().st_dev)


@pytest.mark.parametrize(
    "code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EBUSY, errno.ENOSPC, errno.EDQUOT]
)
@BOTH
def test_what_cannot_be_removed_is_kept_with_its_reason_and_stops_nothing(tmp_path, monkeypatch, code, overwrite):
    for name in "abc":
        write(tmp_path / name)
    call = "rename" if overwrite and in_place(tmp_path) else "unlink"
    fail_on(monkeypatch, call, b"b", code)
    outcome = store_at(tmp_path, overwrite=overwrite).erase(".", [Target(n) for n in "abc"])
    assert outcome.erased == ("a", "c")
    assert [(k.selector, os.strerror(code) in k.reason) for k in outcome.kept] == [("b", True)]
    assert (tmp_path / "b").read_bytes() == b"bytes of a photo"


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o555])
@BOTH
def test_no_permission_is_said_for_each_member(open_place, mode, overwrite):
    write(open_place / "closed" / "x.jpg")
    write(open_place / "open" / "y.jpg")
    for path in (open_place / "open", open_place / "open" / "y.jpg", open_place / "closed"):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    (open_place / "open" / "y.jpg").chmod(0o444)
    (open_place / "closed").chmod(mode)
    store = store_at(open_place, overwrite=overwrite)
    with unprivileged():
        outcome = store.erase("closed", [Target("x.jpg")])
        (kept,) = outcome.kept
        assert "Permission denied" in kept.reason
        if mode == 0o000:
            assert "Permission denied" in skipped(store)["closed", ""]
        if mode == 0o444:  # its names can be read, not looked at
            assert "Permission denied" in skipped(store)["closed", "x.jpg"]
        if mode in {0o000, 0o444}:
            with pytest.raises(StoreError, match="cannot be looked at"):
                store.probe("closed", ["x.jpg"])
        assert ("open", "y.jpg") in listed(store)
        assert store.erase("open", [Target("y.jpg")]).erased == ("y.jpg",), "read-only files of ours go"
    (open_place / "closed").chmod(0o755)
    assert (open_place / "closed" / "x.jpg").read_bytes() == b"bytes of a photo"


@BOTH
def test_when_the_disk_does_not_confirm_nothing_is_called_erased(tmp_path, monkeypatch, overwrite):
    write(tmp_path / "x.jpg")
    fail_on(monkeypatch, "fsync", None, errno.EIO)
    outcome = store_at(tmp_path, overwrite=overwrite).erase(".", [Target("x.jpg"), Target("absent.jpg")])
    assert (outcome.erased, outcome.absent) == ((), ())
    assert {k.selector for k in outcome.kept} == {"x.jpg", "absent.jpg"}
    monkeypatch.undo()
    outcome = store_at(tmp_path, overwrite=overwrite).erase(".", [Target("x.jpg")])
    assert not outcome.kept
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_directory_flush_is_flushed_whole(tmp_path, monkeypatch):
    write(tmp_path / "x.jpg")
    fail_on(monkeypatch, "fsync", None, errno.EINVAL)
    called = []
    monkeypatch.setattr(os, "sync", lambda: called.append(True))
    assert store_at(tmp_path).erase(".", [Target("x.jpg")]).erased == ("x.jpg",)
    assert called == [True]


def test_a_directory_is_flushed_once_after_the_last_removal(tmp_path):
    for n in range(50):
        write(tmp_path / f"{n}.jpg")
    calls = run_killed_at(Call(store_at(tmp_path), [Target(f"{n}.jpg") for n in range(50)]), 0).calls
    assert calls == ("posix.unlink",) * 50 + ("posix.fsync",)


def test_names_found_absent_are_flushed_too(tmp_path):
    """An earlier, killed call may have removed them without waiting for the disk."""
    assert run_killed_at(Call(store_at(tmp_path), [Target("gone.jpg")]), 0).calls == ("posix.fsync",)


class Call:
    """An erase of the root that pickles."""

    def __init__(self, store, targets):
        self.store, self.targets = store, targets

    def __call__(self):
        return self.store.erase(".", self.targets)


def test_a_target_listed_with_two_stamps_is_kept(tmp_path):
    write(tmp_path / "x.jpg")
    store = store_at(tmp_path)
    (stamp,) = store.stamps(".", ["x.jpg"])
    outcome = store.erase(".", [Target("x.jpg", stamp), Target("x.jpg", "another")])
    assert [k.selector for k in outcome.kept] == ["x.jpg"]
    assert (tmp_path / "x.jpg").exists()


# Overwriting


@pytest.fixture
def on_place_writing_disk(tmp_path):
    if not in_place(tmp_path):
        pytest.skip("the disk under the temporary directory does not write in place")
    return tmp_path


@contextmanager
def inode_of(path):
    """Opens the inode later on, also when it was unlinked. O_PATH holds it without having it open, so nobody reads it meanwhile."""
    held = os.open(path, os.O_PATH)
    try:
        yield lambda: open(f"/proc/self/fd/{held}", "rb")  # noqa: SIM115, PTH123
    finally:
        os.close(held)


def test_overwriting_claims_d3_and_the_blocks_hold_zeros(on_place_writing_disk):
    """The inode that was unlinked holds zeros."""
    root = on_place_writing_disk
    data = os.urandom(3_000_000)
    path = write(root / "x.jpg", data)
    store = store_at(root, overwrite=True)
    assert store.capability().best_gone is Gone.D3
    with inode_of(path) as again:
        outcome = store.erase(".", [Target("x.jpg")])
        with again() as file:
            assert file.read() == bytes(len(data))
    assert (outcome.erased, outcome.gone) == (("x.jpg",), Gone.D3)
    with write(root / "y.jpg", data).open("rb") as held:
        assert store_at(root).erase(".", [Target("y.jpg")]).gone is Gone.D2
        assert held.read() == data


def test_zeros_reach_the_disk_only_after_the_move_has(on_place_writing_disk):
    """Or a power cut could leave zeros under the member's own name."""
    write(on_place_writing_disk / "x.jpg")
    calls = run_killed_at(Call(store_at(on_place_writing_disk, overwrite=True), [Target("x.jpg")]), 0).calls
    assert tuple(call for call in calls if not call.startswith("_io.")) == (  # those close the list of mounts, read
        "posix.mkdir",
        "posix.rename",
        "posix.fsync",
        "posix.fsync",
        "open to write",
        "posix.pwrite",
        "posix.fsync",
        "posix.unlink",
        "posix.rmdir",
        "posix.fsync",
    )


def test_a_reader_never_sees_a_half_zeroed_file(on_place_writing_disk):
    """At every kill the name shows all the bytes or is gone."""
    root = on_place_writing_disk
    data = os.urandom(100_000)
    store, n = store_at(root, overwrite=True), 0
    while True:
        n += 1
        write(root / "x.jpg", data)
        outcome = run_killed_at(Call(store, [Target("x.jpg")]), n)
        if not hasattr(outcome, "n"):
            break
        if (root / "x.jpg").exists():
            assert (root / "x.jpg").read_bytes() == data
        else:
            assert [r.selector for r in store.probe(".", ["x.jpg"])] == ["x.jpg"] or not list(root.rglob("x.jpg"))
        (residue, *_) = [*store_at(root).probe(".", ["x.jpg"]), None]
        assert residue is None or residue.where in {"current", ".unsee-erasing"}
    assert n > 6


@pytest.mark.parametrize("mapped", [False, True])
def test_no_zeros_are_written_under_a_reader_and_d2_is_claimed(on_place_writing_disk, mapped):
    root = on_place_writing_disk
    data = os.urandom(100_000)
    write(root / "read.jpg", data)
    write(root / "not-read.jpg", data)
    store = store_at(root, overwrite=True)
    with (root / "read.jpg").open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        if mapped:
            file.close()
        done = store.erase(".", [Target("read.jpg"), Target("not-read.jpg")])
        assert set(done.erased) == {"read.jpg", "not-read.jpg"} and done.gone is Gone.D2
        assert memory[:] == data
        memory.close()
    assert not list(root.iterdir())
    write(root / "again.jpg", data)
    assert store.erase(".", [Target("again.jpg")]).gone is Gone.D3


@BOTH
def test_what_a_killed_overwriting_left_is_listed_probed_and_finished(tmp_path, overwrite):
    write(tmp_path / "a" / removal.WAITING / "x.jpg")
    write(tmp_path / "a" / removal.WAITING / "of-another-order.jpg")
    write(tmp_path / "a" / "x.jpg", b"came back under the same name")
    store = store_at(tmp_path, overwrite=overwrite)
    assert ("a/.unsee-erasing", "x.jpg") in listed(store)
    assert [r.where for r in store.probe("a", ["x.jpg"])] == ["current", "a/.unsee-erasing"]
    assert store.erase("a", [Target("x.jpg")]).erased == ("x.jpg",)
    assert store.probe("a", ["x.jpg"]) == ()
    assert set(listed(store)) == {("a/.unsee-erasing", "of-another-order.jpg")}


def test_what_waits_with_a_link_elsewhere_is_not_overwritten(tmp_path):
    keep = write(tmp_path / "keep.jpg")
    (tmp_path / removal.WAITING).mkdir()
    os.link(keep, tmp_path / removal.WAITING / "x.jpg")
    (kept,) = store_at(tmp_path, overwrite=True).erase(".", [Target("x.jpg")]).kept
    assert kept.selector == "x.jpg"
    assert keep.read_bytes() == b"bytes of a photo"


def test_a_waiting_place_that_is_no_directory_keeps_the_member(on_place_writing_disk):
    root = on_place_writing_disk
    (root / removal.WAITING).symlink_to(root)
    write(root / "x.jpg")
    (kept,) = store_at(root, overwrite=True).erase(".", [Target("x.jpg")]).kept
    assert "cannot be made" in kept.reason
    assert (root / "x.jpg").exists()


def test_a_disk_that_fails_while_overwriting_keeps_the_member_and_says_where(on_place_writing_disk, monkeypatch):
    root = on_place_writing_disk
    for name in ("x.jpg", "y.jpg"):
        write(root / name)
    real, calls = os.pwrite, []

    def faulty(*args):
        calls.append(args)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, "pwrite", faulty)
    store = store_at(root, overwrite=True)
    outcome = store.erase(".", [Target("x.jpg"), Target("y.jpg")])
    assert outcome.erased == ("y.jpg",)
    assert "No space left" in outcome.kept[0].reason
    assert ".unsee-erasing" in outcome.kept[0].reason
    assert (".unsee-erasing", "x.jpg") in listed(store)
    assert store.erase(".", [Target("x.jpg")]).erased == ("x.jpg",)
    assert list(root.iterdir()) == []


def test_holes_stay_holes(on_place_writing_disk):
    root = on_place_writing_disk
    with (root / "sparse.bin").open("wb") as file:
        file.write(b"begin")
        file.truncate(1 << 40)  # overwriting a terabyte of nothing would fill the disk
        file.seek(1 << 39)
        file.write(b"middle")
    with inode_of(root / "sparse.bin") as again:
        assert store_at(root, overwrite=True).erase(".", [Target("sparse.bin")]).erased == ("sparse.bin",)
        with again() as file:
            assert file.read(5) == bytes(5)
            file.seek(1 << 39)
            assert file.read(6) == bytes(6)
            assert os.fstat(file.fileno()).st_blocks * 512 < 1 << 20


MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
28 27 254:16 / /journalled rw - ext4 /dev/vdb rw,data=journal
29 27 0:40 / /snap rw,relatime - btrfs /dev/vdc rw,space_cache
30 27 0:50 / / rw - overlay overlay rw,lowerdir=/l
31 27 259:1 / /with\\040space rw master:1 - xfs /dev/nvme0n1 rw
malformed line
"""


@pytest.mark.parametrize(
    ("device", "kind", "expected"),
    [
        ((254, 0), "ext4", True),
        ((254, 16), "ext4", False),
        ((0, 40), "btrfs", False),
        ((0, 50), "overlay", False),
        ((259, 1), "xfs", False),
        ((9, 9), None, False),
    ],
)
def test_only_file_systems_that_write_in_place_count(device, kind, expected):
    found = overwriting.file_system(os.makedev(*device), MOUNTS)
    assert (found and found[0]) == kind
    assert overwriting.in_place(os.makedev(*device), MOUNTS) is expected


def test_without_in_place_writing_d2_is_claimed_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(overwriting, "IN_PLACE", frozenset())
    path = write(tmp_path / "x.jpg")
    store = store_at(tmp_path, overwrite=True)
    assert store.capability().best_gone is Gone.D2
    assert "Overwriting was asked for" in store.capability().limits[0]
    with path.open("rb") as held:
        assert store.erase(".", [Target("x.jpg")]).gone is Gone.D2
        assert held.read() == b"bytes of a photo"


def test_plain_files_have_no_history(tmp_path):
    assert store_at(tmp_path).history(".") == ()
    with pytest.raises(PathEscape):
        store_at(tmp_path).history("..")
