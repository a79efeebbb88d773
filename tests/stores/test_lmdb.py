"""LMDB beyond the contract: what environments can be, what programs do with them meanwhile, and damaged ones (R6, R8)."""

import errno
import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.lmdb import open_lmdb, pages, writing
from unsee.testing.stores import raw_places, store_id

MAP = 1 << 27
WRITER = """
import lmdb, sys
environment = lmdb.open(sys.argv[1], map_size=1 << 24, max_dbs=4, readonly=sys.argv[2] == "reads")
with environment.begin() as transaction:
    print(transaction.get(b"a.jpg")[:4].decode(), flush=True)
    sys.stdin.readline()
    print(transaction.get(b"a.jpg")[:4].decode(), flush=True)
environment.close()
"""


def stored(tmp_path, **options):
    return open_lmdb(store_id(), str(tmp_path), options)


def fill(at, rows, database=None, commits=1, **flags):
    with lmdb.open(str(at), map_size=MAP, max_dbs=8) as environment:
        handle = environment.open_db(database, **flags)
        for n in range(commits):
            with environment.begin(write=True, db=handle) as transaction:
                for key, value in rows[n::commits]:
                    transaction.put(key, value)


def read(at, database=None):
    with (
        lmdb.open(str(at), readonly=True, lock=False, max_dbs=8) as environment,
        environment.begin(db=environment.open_db(database, create=False)) as transaction,
    ):
        return list(transaction.cursor())


def selectors(store):
    return [found.selector for found in store.scan() if isinstance(found, Member)]


def data(n, size=5000):
    return b"%04d" % n + hashlib.shake_256(b"%d" % n).digest(size)


def test_values_of_any_size_in_deep_trees_stay_as_they_were(tmp_path):
    rows = [(b"%06d.jpg" % n, data(n, n * 37 % 9000)) for n in range(600)]
    fill(tmp_path / "e", rows, commits=7)
    store = stored(tmp_path)
    assert dict(store.read_many("e/data.mdb", ["000300.jpg"])) == {"000300.jpg": rows[300][1]}
    outcome = store.erase("e/data.mdb", [Target(f"{n:06d}.jpg") for n in range(0, 600, 3)])
    assert (len(outcome.erased), outcome.kept) == (200, ())
    assert read(tmp_path / "e") == [row for n, row in enumerate(rows) if n % 3]
    assert not any(raw_places(store, [data(n, 60) for n in range(3, 600, 3)]).values())


def test_the_kinds_of_databases_and_the_map_stay(tmp_path):
    numbers = [(struct.pack("=Q", n), data(n)) for n in (1, 256, 70_000)]
    fill(tmp_path / "e", numbers, b"numbers", integerkey=True)
    fill(tmp_path / "e", [(b"k", b"v%d" % n) for n in range(400)] + [(b"l", b"one")], b"many", dupsort=True)
    fill(tmp_path / "e", [(b"k", struct.pack("=I", n)) for n in range(2000)], b"fixed", dupsort=True, dupfixed=True)
    fill(tmp_path / "e", [(b"zz", b"plain")])
    fill(tmp_path / "e", [], b"empty")
    store = stored(tmp_path)
    listed = selectors(store)
    many = f"many/k/{hashlib.sha256(b'v7').hexdigest()}"
    assert {"numbers/256", "zz", many} <= set(listed)
    assert len(listed) == len(set(listed)) == 1 + 3 + 401 + 2000
    fixed = f"fixed/k/{hashlib.sha256(struct.pack('=I', 1999)).hexdigest()}"
    outcome = store.erase("e/data.mdb", [Target("numbers/256"), Target(many), Target(fixed)])
    assert (len(outcome.erased), outcome.kept) == (3, ())
    assert read(tmp_path / "e", b"numbers") == [numbers[0], numbers[2]]
    assert dict.fromkeys(v for _, v in read(tmp_path / "e", b"many")).keys() == {
        *(b"v%d" % n for n in range(400) if n != 7),
        b"one",
    }
    assert len(read(tmp_path / "e", b"fixed")) == 1999
    assert read(tmp_path / "e", b"empty") == []
    with lmdb.open(str(tmp_path / "e"), map_size=0, max_dbs=8) as environment:
        assert environment.info()["map_size"] == MAP
        flags = environment.open_db(b"fixed", create=False)
        with environment.begin() as transaction:
            assert {"dupsort": True, "dupfixed": True}.items() <= flags.flags(transaction).items()


def test_keys_that_are_no_text_are_spelled_and_found(tmp_path):
    rows = [(b"\xff\x00\\", data(1)), ("日本.jpg".encode(), data(2))]
    fill(tmp_path / "e", rows)
    store = stored(tmp_path)
    assert sorted(selectors(store)) == sorted([r"\xff\x00\\", "日本.jpg"])
    assert store.erase("e/data.mdb", [Target(r"\xff\x00\\")]).erased == (r"\xff\x00\\",)
    assert read(tmp_path / "e") == rows[1:]


def test_keys_group_as_samples_only_when_asked(tmp_path):
    fill(tmp_path / "e", [(b"a/1.jpg", b"x"), (b"a/1.seg.png", b"y"), (b"b", b"z")])
    assert {found.sample for found in stored(tmp_path).scan()} == {""}
    assert [found.sample for found in stored(tmp_path, samples="true").scan()] == ["a/1", "a/1", ""]


def test_what_programs_deleted_lies_in_free_pages_and_goes_with_any_erasure(tmp_path):
    fill(tmp_path / "e", [(b"a.jpg", data(1)), (b"b.jpg", data(2))])
    with lmdb.open(str(tmp_path / "e"), map_size=MAP) as environment, environment.begin(write=True) as transaction:
        transaction.delete(b"a.jpg")
    store = stored(tmp_path)
    assert raw_places(store, [data(1, 60)])[data(1, 60)], "the trap: deleted, and still there"
    commit = commit_of(tmp_path / "e" / "data.mdb")
    assert [held.removable for held in store.history("e/data.mdb")] == [True]
    assert store.erase("e/data.mdb", [Target("a.jpg")]).absent == ("a.jpg",)
    assert not raw_places(store, [data(1, 60)])[data(1, 60)]
    assert store.history("e/data.mdb") == ()
    assert commit_of(tmp_path / "e" / "data.mdb") == commit, "lock files hold it"
    inode = (tmp_path / "e" / "data.mdb").stat().st_ino
    store.erase("e/data.mdb", [Target("a.jpg")])
    assert (tmp_path / "e" / "data.mdb").stat().st_ino == inode, "nothing to do"
    with (tmp_path / "e" / "data.mdb").open("ab") as behind:  # pages that a writer grew the file by and did not need
        behind.write(data(3, 4092))
    store.erase("e/data.mdb", [Target("a.jpg")])
    assert not raw_places(store, [data(3, 60)])[data(3, 60)]


def commit_of(path):
    with path.open("rb") as file:
        return pages.Environment(file.fileno()).commit


def test_a_full_disk_or_a_copy_that_lost_something_keeps_the_environment(tmp_path, monkeypatch):
    fill(tmp_path / "e", [(b"a.jpg", data(1)), (b"b.jpg", data(2)), (b"c.jpg", data(3))])
    path, store = tmp_path / "e" / "data.mdb", stored(tmp_path)
    before = path.read_bytes()

    def full(*_asked):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        assert "full" in store.erase("e/data.mdb", [Target("a.jpg")]).kept[0].reason
    honest = writing.write
    monkeypatch.setattr(writing, "write", lambda new, known, rows, need: honest(new, known, [*rows][1:], need))
    assert "does not hold what" in store.erase("e/data.mdb", [Target("a.jpg")]).kept[0].reason
    assert path.read_bytes() == before


def test_a_page_that_two_branches_name_is_refused(tmp_path):
    fill(tmp_path / "e", [(b"%0200d" % n, b"") for n in range(90)])
    path = tmp_path / "e" / "data.mdb"
    with path.open("r+b") as file:
        root = pages.Environment(file.fileno()).main.root * 4096
        first, second = (root + at for at in struct.unpack("<HH", os.pread(file.fileno(), 4, root + 16)))
        os.pwrite(file.fileno(), os.pread(file.fileno(), 6, first), second)
    assert "stands twice" in next(iter(stored(tmp_path).scan())).reason


def meanwhile(tmp_path, how):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "e"), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_environment_that_is_open_for_writing_is_kept_and_whole(tmp_path):
    fill(tmp_path / "e", [(b"a.jpg", data(1)), (b"b.jpg", data(2))])
    store = stored(tmp_path)
    with meanwhile(tmp_path, "writes") as writer:
        assert writer.stdout.readline() == "0001\n"
        outcome = store.erase("e/data.mdb", [Target("a.jpg")])
        writer.communicate("\n")
    assert "open for writing" in outcome.kept[0].reason
    assert store.erase("e/data.mdb", [Target("a.jpg")]).erased == ("a.jpg",)


def test_a_reader_with_locks_keeps_its_view_and_a_later_writer_loses_nothing(tmp_path):
    """The lock file that the reader holds tells later programs which of the two meta pages to trust."""
    fill(tmp_path / "e", [(b"%d.jpg" % n, data(n)) for n in range(9)] + [(b"a.jpg", data(1))], commits=4)
    store = stored(tmp_path)
    with meanwhile(tmp_path, "reads") as reader:
        assert reader.stdout.readline() == "0001\n"
        assert store.erase("e/data.mdb", [Target("a.jpg")]).erased == ("a.jpg",)
        with lmdb.open(str(tmp_path / "e"), map_size=MAP) as environment:
            for n in range(20, 23):
                with environment.begin(write=True) as transaction:
                    assert transaction.stat()["entries"] == 9 + n - 20
                    transaction.put(b"%d.jpg" % n, data(n))
        assert reader.communicate("\n")[0] == "0001\n"
    assert sorted(read(tmp_path / "e")) == sorted((b"%d.jpg" % n, data(n)) for n in (*range(9), 20, 21, 22))


def test_a_commit_meanwhile_is_seen(tmp_path):
    fill(tmp_path / "e", [(b"%03d" % n, data(n, 60_000)) for n in range(600)])
    scan = stored(tmp_path).scan()
    assert isinstance(next(scan), Member)
    fill(tmp_path / "e", [(b"new", data(2))])
    assert "wrote to the environment" in next(found for found in scan if isinstance(found, Skipped)).reason


def damaged(path, at, number, size=8):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(number.to_bytes(size, "little"))


@pytest.mark.parametrize(
    ("hurt", "says"),
    [
        (lambda path: os.truncate(path, path.stat().st_size - 4096), "truncated"),
        (lambda path: os.truncate(path, 100), "does not begin"),
        (lambda path: [damaged(path, n * 4096 + 20, 9, 4) for n in (0, 1)], "does not begin"),
        (lambda path: [damaged(path, n * 4096 + 128, 1 << 60) for n in (0, 1)], "beyond the end"),
        (lambda path: [damaged(path, n * 4096 + 128, 1) for n in (0, 1)], "neither a branch nor a leaf"),
    ],
)
def test_damaged_environments_are_said_and_left(tmp_path, hurt, says):
    fill(tmp_path / "e", [(b"%03d" % n, data(n)) for n in range(40)])
    path = tmp_path / "e" / "data.mdb"
    hurt(path)
    before, store = path.read_bytes(), stored(tmp_path)
    (skipped,) = store.scan()
    assert says in skipped.reason
    assert says in store.erase("e/data.mdb", [Target("001")]).kept[0].reason
    with pytest.raises(StoreError, match=says):
        store.probe("e/data.mdb", ["001"])
    assert path.read_bytes() == before


def test_any_byte_may_be_wrong_and_no_process_ends(tmp_path):
    fill(tmp_path / "e", [(b"%03d" % n, data(n, 300)) for n in range(60)] + [(b"big", data(1))])
    path, store = tmp_path / "e" / "data.mdb", stored(tmp_path)
    whole = path.read_bytes()
    for at in [*range(0, 152, 3), *range(4096, 4248, 3), *range(8192, len(whole), 397)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert list(store.scan()) is not None
        for _, one in store.read_many("e/data.mdb", ["big"]):
            assert isinstance(one, bytes | StoreError)


def test_hard_links_and_options(tmp_path):
    fill(tmp_path / "e", [(b"a.jpg", data(1))])
    Path(tmp_path / "e" / "other").hardlink_to(tmp_path / "e" / "data.mdb")
    assert "hard links" in stored(tmp_path).erase("e/data.mdb", [Target("a.jpg")]).kept[0].reason
    with pytest.raises(InvalidValue):
        stored(tmp_path, value="pickle")
