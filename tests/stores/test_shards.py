"""Replacing a file of many members: nobody sees half of it, a kill loses nothing, and zeros reach only what nobody reads."""

import errno
import mmap
import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from shard_work import NEW, OLD, held_open, put_new, refuse, write_new

from unsee.core.errors import PathEscape, StoreUnreachable
from unsee.stores import beneath, overwriting, shards
from unsee.stores.contract import Skipped
from unsee.testing.faults import kill_everywhere
from unsee.testing.processes import as_an_ordinary_user
from unsee.testing.syscalls import fail_at_every_system_call, kill_at_every_system_call

AFTER = OLD[:10] + NEW


@pytest.fixture
def root(tmp_path):
    reset(tmp_path)
    return tmp_path


def reset(root):
    subprocess.run(["/bin/rm", "-rf", *root.iterdir()], check=True)
    (root / "deep").mkdir()
    (root / "deep" / "a.tar").write_bytes(OLD)
    (root / "deep" / "a.tar").chmod(0o640)
    (root / "deep" / "b.tar").write_bytes(b"another")


@pytest.fixture
def in_place(root):
    if not overwriting.in_place(root.stat().st_dev):
        pytest.fail("the temporary directory is on no file system that writes in place: run these tests on ext4")


def everything(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_shard_is_replaced_with_its_mode_and_nothing_is_left_beside_it(root):
    assert shards.replace(str(root), "deep/a.tar", write_new) is False, "no zeros were asked for"
    assert everything(root) == {"deep/a.tar": AFTER, "deep/b.tar": b"another"}
    assert stat.S_IMODE((root / "deep" / "a.tar").stat().st_mode) == 0o640


def test_the_new_file_is_on_the_disk_before_it_takes_its_place(root, monkeypatch):
    done = []
    for name in ("fsync", "rename"):
        honest = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _n=name, _h=honest, **k: (done.append(_n), _h(*a, **k))[1])
    shards.replace(str(root), "deep/a.tar", write_new)
    assert done == ["fsync", "rename", "fsync"]


def test_who_objects_last_is_heard_and_the_shard_stays(root):
    def objects(old):
        raise LookupError(os.pread(old, 3, 0))

    before = everything(root)
    with pytest.raises(LookupError):
        shards.replace(str(root), "deep/a.tar", write_new, last=objects)
    assert everything(root) == before


def test_what_cannot_be_written_leaves_the_shard_as_it_was(root):
    before = everything(root)
    with pytest.raises(LookupError):
        shards.replace(str(root), "deep/a.tar", refuse)
    assert everything(root) == before
    for absent in ("deep/none.tar", "none/a.tar"):
        with pytest.raises(FileNotFoundError):
            shards.replace(str(root), absent, write_new)
    (root / "deep" / "link.tar").symlink_to(root / "deep" / "a.tar")
    with pytest.raises(PathEscape):
        shards.replace(str(root), "deep/link.tar", write_new)
    with pytest.raises(StoreUnreachable):
        shards.replace(str(root / "unmounted"), "deep/a.tar", write_new)
    assert {**everything(root), "deep/link.tar": b""} == {**before, "deep/link.tar": b""}


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("killer", [kill_everywhere, kill_at_every_system_call])
def test_a_kill_anywhere_shows_the_old_file_or_the_new_one_and_the_same_call_finishes(root, in_place, zero, killer):
    seen = []
    for killed in killer(partial(put_new, str(root), zero), reset=partial(reset, root)):
        visible = {path.name: path.read_bytes() for path in root.glob("deep/[!.]*")}
        assert visible in ({"a.tar": OLD, "b.tar": b"another"}, {"a.tar": AFTER, "b.tar": b"another"}), killed
        seen.append(visible["a.tar"])
        left = [name for name in os.listdir(root / "deep") if name.startswith(".")]  # noqa: PTH208  hidden ones too
        assert shards.left_over(str(root), "deep/a.tar") == bool(left), killed
        put_new(str(root), zero)
        assert everything(root) == {"deep/a.tar": AFTER, "deep/b.tar": b"another"}, killed
    assert seen[0] == OLD and seen[-1] == AFTER


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_disk_that_fails_is_an_error_and_both_files_are_whole(root, in_place, error):
    for failed in fail_at_every_system_call(partial(put_new, str(root), True), reset=partial(reset, root), error=error):
        what = failed.call.split()[0]
        if what in {"fsync", "write", "pwrite64", "copy_file_range", "openat", "rename", "link", "unlink"}:
            made_writable = error == errno.EACCES and what == "openat" and failed.call.endswith(".unsee-replaced.a.tar")
            assert isinstance(failed.raised, OSError) or failed.returned is made_writable, failed
        assert (root / "deep" / "a.tar").read_bytes() in {OLD, AFTER}, failed
        put_new(str(root), True)
        assert everything(root) == {"deep/a.tar": AFTER, "deep/b.tar": b"another"}, failed


def test_zeros_are_claimed_where_nobody_has_the_old_file_open(root, in_place):
    with held_open(root / "deep" / "b.tar"):  # another file that is open does not matter
        assert shards.replace(str(root), "deep/a.tar", write_new, zero=True) is True
    assert everything(root) == {"deep/a.tar": AFTER, "deep/b.tar": b"another"}


def test_only_the_stretches_that_are_named_hold_zeros(root, in_place, monkeypatch):
    held = []
    monkeypatch.setattr(shards.overwriting, "zero", lambda _file: held.append("whole"))
    monkeypatch.setattr(shards.overwriting, "zero_range", lambda _file, start, end: held.append((start, end)))
    assert shards.replace(str(root), "deep/a.tar", write_new, zero=True, ranges=[(0, 3), (5, 7)]) is True
    assert held == [(0, 3), (5, 7)]


def test_the_old_inode_holds_zeros_afterwards(root, in_place, monkeypatch):
    held = []
    unlink = os.unlink

    def look(name, *, dir_fd):
        if name.startswith(shards.OLD):
            held.append((root / "deep" / os.fsdecode(name)).read_bytes())
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", look)
    shards.replace(str(root), "deep/a.tar", write_new, zero=True)
    assert held == [bytes(len(OLD))]


@pytest.mark.parametrize("reader", ["open", "mapped", "in another process"])
def test_whoever_has_the_old_file_open_reads_it_to_its_end_and_no_zeros_are_claimed(root, in_place, reader):
    path = root / "deep" / "a.tar"
    if reader == "in another process":
        other = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"f = open({str(path)!r}, 'rb'); print('open', flush=True); input(); print(f.read())",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout.readline() == "open\n"
        assert shards.replace(str(root), "deep/a.tar", write_new, zero=True) is False
        assert other.communicate("\n")[0] == f"{OLD!r}\n"
    else:
        with held_open(path) as file:
            memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
            if reader == "mapped":
                os.close(file)  # the map alone keeps it
            assert shards.replace(str(root), "deep/a.tar", write_new, zero=True) is False
            assert memory[:] == OLD
            memory.close()
    assert everything(root) == {"deep/a.tar": AFTER, "deep/b.tar": b"another"}


def test_a_read_only_shard_is_zeroed_but_not_under_a_reader(root, in_place):
    path = root / "deep" / "a.tar"
    path.chmod(0o440)
    with held_open(path) as file:
        outcome = as_an_ordinary_user(partial(put_new, str(root), True))
        assert outcome.returned is False, outcome.words
        assert os.pread(file, len(OLD), 0) == OLD
    reset(root)
    path.chmod(0o440)
    assert as_an_ordinary_user(partial(put_new, str(root), True)).returned is True
    assert path.read_bytes() == AFTER
    assert stat.S_IMODE(path.stat().st_mode) == 0o440


def test_alone_tells_readers_writers_and_maps_from_nobody(root):
    path = root / "deep" / "a.tar"
    with held_open(path, os.O_RDWR) as file:
        with shards.alone(file) as nobody:
            assert nobody
        for flags in (os.O_RDONLY, os.O_WRONLY):
            with held_open(path, flags), shards.alone(file) as nobody:
                assert not nobody
        with held_open(path) as reading:
            memory = mmap.mmap(reading, 0, prot=mmap.PROT_READ)
            os.close(reading)
            with shards.alone(file) as nobody:
                assert not nobody, "a map counts, also when its descriptor is closed"
            memory.close()
        with shards.alone(file) as nobody:
            assert nobody


def test_who_opens_the_file_while_somebody_is_alone_with_it_waits(root):
    path = root / "deep" / "a.tar"
    with held_open(path, os.O_RDWR) as file:
        with shards.alone(file) as nobody:
            assert nobody
            other = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.3)
            os.pwrite(file, b"NEW", 0)
        assert other.communicate()[0] == b"NEW" + OLD[3:]


def test_a_hard_link_elsewhere_is_counted_and_its_bytes_are_its_own_until_zeroed(root):
    os.link(root / "deep" / "a.tar", root / "other-name")
    with shards.opened(str(root), "deep/a.tar") as file:
        assert shards.other_names(file) == 1
    with shards.opened(str(root), "deep/b.tar") as file:
        assert shards.other_names(file) == 0
    shards.replace(str(root), "deep/a.tar", write_new)
    assert (root / "other-name").read_bytes() == OLD, "replacing never writes into the old file"


def test_sweep_takes_what_belongs_to_one_shard_only(root):
    deep = root / "deep"
    for name in (b"a.tar", b"b.tar"):
        (deep / os.fsdecode(shards.BESIDE + name)).write_bytes(OLD)
        (deep / os.fsdecode(shards.OLD + name)).write_bytes(OLD)
    with beneath.directory(str(root), "deep") as directory:
        shards.sweep(directory, b"a.tar")
        shards.sweep(directory, b"a.tar")
    assert set(everything(root)) == {
        "deep/a.tar",
        "deep/b.tar",
        f"deep/{os.fsdecode(shards.BESIDE)}b.tar",
        f"deep/{os.fsdecode(shards.OLD)}b.tar",
    }
    assert not shards.left_over(str(root), "deep/a.tar")
    assert shards.left_over(str(root), "deep/b.tar")
    assert not shards.left_over(str(root), "none/b.tar")


def test_sweep_never_zeroes_the_shard_itself_under_its_second_name(root, in_place):
    """A kill between the link and the rename leaves two names of one file."""
    os.link(root / "deep" / "a.tar", root / "deep" / os.fsdecode(shards.OLD + b"a.tar"))
    with beneath.directory(str(root), "deep") as directory:
        shards.sweep(directory, b"a.tar")
    assert everything(root) == {"deep/a.tar": OLD, "deep/b.tar": b"another"}


def test_only_regular_files_of_the_store_are_opened(root):
    (root / "deep" / "link.tar").symlink_to("/etc/passwd")
    (root / "out").symlink_to("/etc")
    os.mkfifo(root / "pipe.tar")
    with shards.opened(str(root), "deep/none.tar") as file:
        assert file is None
    with shards.opened(str(root), "none/a.tar") as file:
        assert file is None
    for leads_out in ("deep/link.tar", "out/passwd", "../a.tar", ".", ""):
        with pytest.raises(PathEscape), shards.opened(str(root), leads_out):
            pass
    for odd in ("pipe.tar", "deep"):
        with pytest.raises(OSError, match="it is a"), shards.opened(str(root), odd):
            pass


def test_find_lists_files_by_suffix_and_says_what_it_passes_over(root):
    (root / "deep" / "link.tar").symlink_to("/etc/passwd")
    (root / "deep" / ".hidden.tar").touch()
    (root / ".cache").mkdir()
    (root / ".cache" / "c.tar").touch()
    (root / "deep" / "notes.txt").touch()
    (root / "z.tar").touch()
    os.mkfifo(root / "pipe.tar")
    found = list(shards.find(str(root), (".tar",)))
    assert [name for name in found if isinstance(name, str)] == ["z.tar", "deep/a.tar", "deep/b.tar"]
    assert {(s.object, s.reason.split(",")[0]) for s in found if isinstance(s, Skipped)} == {
        ("deep/link.tar", "a symbolic link"),
        ("pipe.tar", "a fifo"),
    }
    with pytest.raises(StoreUnreachable):
        list(shards.find(str(root / "unmounted"), (".tar",)))


@pytest.mark.parametrize("supported", [True, False])
def test_ranges_are_copied_in_the_kernel_or_by_hand(root, supported, monkeypatch):
    if not supported:

        def refuse(*_, **__):
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    source, target = root / "deep" / "a.tar", root / "copy"
    with held_open(source) as old, held_open(target, os.O_RDWR | os.O_CREAT) as new:
        shards.copy_range(old, new, 5, 100)
        shards.copy_range(old, new, len(OLD) - 7, 7)
        with pytest.raises(OSError, match="the file ended"):
            shards.copy_range(old, new, len(OLD) - 7, 8)
    assert target.read_bytes()[:107] == OLD[5:105] + OLD[-7:]


def test_a_stamp_changes_with_the_file_and_with_nothing_else(root):
    def stamp():
        with shards.opened(str(root), "deep/a.tar") as file:
            return shards.stamp_of(file)

    first = stamp()
    assert stamp() == first
    shards.replace(str(root), "deep/a.tar", lambda old, new: shards.copy_range(old, new, 0, len(OLD)))
    assert stamp() != first, "another inode"
    second = stamp()
    path = Path(root, "deep", "a.tar")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert stamp() != second
