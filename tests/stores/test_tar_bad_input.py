"""Tar shards that are cut off, lie, or are none: said with the shard and the place, and nothing else lost."""

import gzip
import io
import subprocess
import tarfile

import pytest
import zstandard

from unsee.core.errors import StoreError
from unsee.core.ids import StoreId
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.registry import open_store
from unsee.stores.tar import headers, pax


@pytest.fixture
def store(tmp_path):
    return open_store(StoreId("shards"), "tar", str(tmp_path))


def tar(*names, size=1000, **kw):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", **kw) as writer:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = size
            writer.addfile(entry, io.BytesIO(name[:1].encode() * size))
    return made.getvalue()


def header(name, size, kind=b"0", link=b""):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, link.decode()
    return entry.tobuf(tarfile.USTAR_FORMAT)


def broken(store, name="a.tar"):
    """What a scan says of a shard that breaks off."""
    (found,) = [s for s in store.scan() if isinstance(s, Skipped) and s.object == name and not s.selector]
    return found.reason


def names(store, name="a.tar"):
    return [m.selector for m in store.scan() if isinstance(m, Member) and m.object == name]


NO_TARS = {
    "text": (b"this is no tar archive, but text. " * 40, "at byte 0: it is no tar archive"),
    "short": (b"short", "at byte 0: the archive is cut off inside a header, 507 bytes are missing"),
    "a truncated header": (tar("0.jpg")[:300], "at byte 0: the archive is cut off inside a header"),
    "truncated data": (tar("0.jpg")[:1000], "at byte 1,536: the archive is cut off, or a size lies"),
    "a wrong checksum": (tar("0.jpg", "1.jpg").replace(b"1.jpg", b"9.jpg", 1), "at byte 1,536: the checksum"),
    "a lying size": (
        header("0.jpg", 7 << 30) + b"0" * 1024,
        "a size lies: 7,516,191,744 bytes of '0.jpg' are missing",
    ),
    "a size beyond any file": (
        (b"0.jpg".ljust(124, b"\0") + b"\x80" + b"\xff" * 11).ljust(512, b"\0"),
        "at byte 0",
    ),
    "a link with data": (header("0.jpg", 1000, b"1", b"1.jpg") + b"0" * 1024, "an entry without data gives a size"),
    "a volume label with data": (header("label", 1000, b"V") + b"0" * 1024, "an entry without data gives a size"),
    "two extended headers": (header("x", 0, b"x") * 2 + header("0.jpg", 0), "a member has two extended headers"),
    "an extended header without member": (header("x", 0, b"x"), "cut off between an extended header and its member"),
    "a huge extended header": (header("x", 1 << 30, b"x") + b"0" * 9999, "an extended header of 1,073,741,824 bytes"),
    "a global name": (
        header("g", 16, b"g") + b"16 path=aaaaaaa\n".ljust(512, b"\0") + header("0.jpg", 0),
        "a global header sets 'path' for all members",
    ),
    "a lying record": (header("x", 16, b"x") + b"99 path=aaaaaaa\n".ljust(512, b"\0"), "not as long as it says"),
    "garbage after the end": (tar("0.jpg") + b"garbage" * 100, "bytes that are no tar header follow the end"),
}


@pytest.mark.parametrize("what", NO_TARS)
def test_a_broken_shard_is_skipped_with_the_place_and_its_targets_are_kept(store, tmp_path, what):
    data, reason = NO_TARS[what]
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "good.tar").write_bytes(tar("good.jpg"))
    assert reason in broken(store)
    (kept,) = store.erase("a.tar", [Target("9.jpg")]).kept
    assert "at byte" in kept.reason
    assert (tmp_path / "a.tar").read_bytes() == data
    for look in (
        lambda: store.probe("a.tar", ["9.jpg"]),
        lambda: store.read("a.tar", "9.jpg"),
        lambda: store.stamps("a.tar", ["9.jpg"]),
    ):
        with pytest.raises(StoreError, match="at byte"):
            look()
    assert names(store, "good.tar") == ["good.jpg"]
    assert store.erase("good.tar", [Target("good.jpg")]).erased == ("good.jpg",)


def test_what_comes_before_the_break_can_be_erased_in_place_but_not_by_rewriting(store, tmp_path):
    data = tar("0.jpg", "1.jpg", "2.jpg")[: 1536 * 2 + 700]
    (tmp_path / "a.tar").write_bytes(data)
    assert names(store) == ["0.jpg", "1.jpg"]
    compacting = open_store(StoreId("shards"), "tar", str(tmp_path), {"mode": "compact"})
    (kept,) = compacting.erase("a.tar", [Target("0.jpg")]).kept
    assert "cannot be rewritten" in kept.reason
    assert (tmp_path / "a.tar").read_bytes() == data
    outcome = store.erase("a.tar", [Target("0.jpg"), Target("2.jpg")])
    assert (outcome.erased, [k.selector for k in outcome.kept]) == (("0.jpg",), ["2.jpg"])
    assert (tmp_path / "a.tar").read_bytes()[1536:] == data[1536:]


def test_an_empty_file_is_an_empty_shard(store, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "b.tar").write_bytes(bytes(10240))
    assert list(store.scan()) == []
    assert store.erase("a.tar", [Target("0.jpg")]).absent == ("0.jpg",)


def test_archives_behind_one_another_are_read_as_one(store, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar("0.jpg") + tar("1.jpg"))
    assert names(store) == ["0.jpg", "1.jpg"]
    assert store.erase("a.tar", [Target("1.jpg")]).erased == ("1.jpg",)
    listed = subprocess.run(["tar", "-itf", str(tmp_path / "a.tar")], check=True, capture_output=True, text=True)
    assert "1.jpg" not in listed.stdout
    assert b"1" * 1000 not in (tmp_path / "a.tar").read_bytes()


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.zst"])
def test_decompression_bombs_are_given_up(store, tmp_path, suffix):
    zeros = header("0.jpg", 1 << 27) + bytes(1 << 27) + bytes(1024)
    packed = zstandard.compress(zeros) if suffix.endswith("zst") else gzip.compress(zeros, 1)
    (tmp_path / f"a{suffix}").write_bytes(packed)
    assert "as a decompression bomb does" in broken(store, f"a{suffix}")
    (kept,) = store.erase(f"a{suffix}", [Target("0.jpg")]).kept
    assert "decompression bomb" in kept.reason
    assert (tmp_path / f"a{suffix}").read_bytes() == packed


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".tar.gz", lambda data: data[:-20]),
        (".tar.gz", lambda data: data + b"garbage"),
        (".tar.gz", lambda data: b"no gzip"),
        (".tar.zst", lambda data: data[:-20]),
        (".tar.zst", lambda data: data + b"garbage"),
        (".tar.zst", lambda data: b"no zstd"),
    ],
)
def test_packed_shards_that_cannot_be_unpacked_are_kept(store, tmp_path, suffix, damage):
    whole = tar("0.jpg", "1.jpg", size=5000)
    packed = damage(gzip.compress(whole) if suffix == ".tar.gz" else zstandard.compress(whole))
    (tmp_path / f"a{suffix}").write_bytes(packed)
    assert "it cannot be unpacked further" in broken(store, f"a{suffix}")
    assert store.erase(f"a{suffix}", [Target("0.jpg")]).kept
    assert (tmp_path / f"a{suffix}").read_bytes() == packed
    parts = []
    for part in store.raw():
        parts.append(part)
        if not isinstance(part, Skipped):
            list(part.pieces)
    assert any(isinstance(part, Skipped) for part in parts)


def test_packed_shards_of_several_streams_are_read_to_their_end(store, tmp_path):
    whole = tar("0.jpg", "1.jpg", size=5000)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole[:4000]) + gzip.compress(whole[4000:]))
    (tmp_path / "b.tar.zst").write_bytes(zstandard.compress(whole[:4000]) + zstandard.compress(whole[4000:]))
    for name in ("a.tar.gz", "b.tar.zst"):
        assert store.erase(name, [Target("0.jpg")]).erased == ("0.jpg",)
        assert names(store, name) == ["1.jpg"]
        assert store.read(name, "1.jpg") == b"1" * 5000


def test_a_sparse_member_too_large_to_unfold_is_not_read_but_erased(store, tmp_path):
    records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "0.jpg"),
        ("GNU.sparse.realsize", str(1 << 45)),
    ]
    text = b"".join(b"%d %s=%s\n" % (len(k) + len(v) + 5, k.encode(), v.encode()) for k, v in records)
    data = b"1\n0\n3\n".ljust(512, b"\0") + b"abc".ljust(512, b"\0")
    raw = (
        header("x", len(text), b"x")
        + text.ljust(512, b"\0")
        + header("GNUSparseFile.0/0.jpg", 515)
        + data
        + bytes(1024)
    )
    (tmp_path / "a.tar").write_bytes(raw)
    (member,) = store.scan()
    assert member.size_bytes == 1 << 45
    with pytest.raises(StoreError, match="too many to unfold"):
        store.read("a.tar", "0.jpg")
    assert store.erase("a.tar", [Target("0.jpg", member.stamp)]).erased == ("0.jpg",)


@pytest.mark.parametrize("numbers", [[0], [0, 5, 3, 5], [0, 11], [5, 1, 0, 1], [0, 1] * (pax.MOST_PIECES + 1)])
def test_sparse_maps_that_make_no_sense_are_refused(numbers):
    with pytest.raises(pax.Malformed):
        pax.pieces(numbers, 10)


def test_old_signed_checksums_are_right_too():
    block = bytearray(header("ä.jpg", 0))
    block[0] = 0xE4
    signed = sum(byte - 256 if byte > 127 else byte for at, byte in enumerate(block) if not 148 <= at < 156) + 256
    block[148:156] = b"%06o\0 " % signed
    (entry,) = headers.entries(_Bytes(bytes(block)))
    assert entry.regular


class _Bytes:
    def __init__(self, data):
        self.data, self.position = data, 0

    def read(self, length):
        piece = self.data[self.position : self.position + length]
        self.position += len(piece)
        return piece

    def skip(self, length):
        return len(self.read(length))
