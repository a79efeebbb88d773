"""TFRecord and RecordIO beyond the contract: names of records, indexes beside files, checksums, damaged files (R6, R8)."""

import gzip
import hashlib
import os
import struct
import zlib
from contextlib import suppress

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_harnesses import MAGIC, examples, frame, records, unframe, write_examples, write_records
from tfrecord.reader import tfrecord_loader
from tfrecord.tools.tfrecord2idx import create_index
from tfrecord.writer import TFRecordWriter

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.tfrecord import checksums, open_tfrecord
from unsee.stores.tfrecord.examples import feature
from unsee.testing.stores import store_id


def stored(tmp_path, **options):
    return open_tfrecord(store_id(), str(tmp_path), options)


def data(n, size=500):
    return b"%04d" % n + hashlib.shake_256(b"%d" % n).digest(size)


def selectors(store):
    return [found.selector for found in store.scan() if isinstance(found, Member)]


@given(st.binary(max_size=5000))
def test_the_checksum_without_the_package_is_the_same(text):
    assert checksums.by_numpy(text) == crc32c.crc32c(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_example_or_an_error(text):
    with suppress(ValueError):
        assert feature(text, b"image/encoded") is None or b"image/encoded" in text


@pytest.mark.parametrize("cut", [b"\x0a\x05ab", b"\x09abc", b"\x0a\x05\x0a\x09abc"])
def test_a_field_that_is_longer_than_what_holds_it_is_no_example(cut):
    with pytest.raises(ValueError, match="longer than what holds it"):
        feature(cut, b"image/encoded")


def test_records_are_named_by_the_picture_they_hold(tmp_path):
    write_examples(tmp_path / "a.tfrecord", {"one": data(1), "two": data(2), "again": data(1)})
    name = hashlib.sha256(data(1)).hexdigest()
    store = stored(tmp_path)
    assert selectors(store) == [name, hashlib.sha256(data(2)).hexdigest()]
    assert store.erase("a.tfrecord", [Target(name)]).erased == (name,)
    assert examples(tmp_path / "a.tfrecord") == {"two": data(2)}


def test_numbers_and_other_features_name_records(tmp_path):
    writer = TFRecordWriter(str(tmp_path / "a.tfrecord"))
    writer.write({"n": (-7, "int"), "x": (data(1), "byte")}, {"frames": ([1, 2], "int")})
    writer.write({"n": ([8, 9], "int"), "x": ([data(2), b"z"], "byte")})
    writer.close()
    store = stored(tmp_path, key="n", data="x")
    assert dict(store.read_many("a.tfrecord", ["-7", "8"])) == {"-7": data(1), "8": data(2)}
    assert "no value in the key column" in next(iter(stored(tmp_path, key="m").scan())).reason


def test_opaque_records_are_members_too(tmp_path):
    with (tmp_path / "a.tfrecord").open("wb") as file:
        for one in (b"\xff" * 40, b"plain text"):
            head = struct.pack("<Q", len(one))
            file.write(head + TFRecordWriter.masked_crc(head) + one + TFRecordWriter.masked_crc(one))
    assert selectors(stored(tmp_path)) == [hashlib.sha256(one).hexdigest() for one in (b"\xff" * 40, b"plain text")]
    assert [type(f) for f in stored(tmp_path, data="x").scan()] == [Skipped]


@pytest.mark.parametrize("pack", [lambda raw: gzip.compress(raw[:900]) + gzip.compress(raw[900:]), zlib.compress])
def test_compressed_files_stay_compressed(tmp_path, pack):
    path = tmp_path / "train.tfrecord-00000-of-00001"
    write_examples(path, {f"{n}": data(n) for n in range(9)}, pack)
    store = stored(tmp_path, key="id")
    assert selectors(store) == [f"{n}" for n in range(9)]
    assert store.erase(path.name, [Target("4"), Target("8")]).erased == ("4", "8")
    raw = path.read_bytes()
    plain = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else zlib.decompress(raw)
    (tmp_path / "plain").write_bytes(plain)
    assert examples(tmp_path / "plain") == {f"{n}": data(n) for n in range(9) if n not in {4, 8}}


def test_the_index_of_the_package_is_renewed(tmp_path):
    path, index = tmp_path / "a.tfrecord", tmp_path / "a.index"
    write_examples(path, {f"{n}": data(n, 50 + n) for n in range(9)})
    create_index(str(path), str(index))
    (tmp_path / "a.idx").write_text("no index of records\n")
    stored(tmp_path, key="id").erase("a.tfrecord", [Target("0"), Target("5")])
    assert (tmp_path / "a.idx").read_text() == "no index of records\n"
    read = tfrecord_loader(str(path), str(index), {"id": "byte"}, shard=(1, 2))
    assert b"".join(bytes(row["id"]) for row in read).decode() in "1234678"
    create_index(str(path), str(tmp_path / "anew"))
    assert index.read_bytes() == (tmp_path / "anew").read_bytes()


def test_records_of_several_parts_and_their_index(tmp_path):
    odd = b"abcd" + MAGIC + b"efgh" + MAGIC * 2 + b"tail"
    rows = {"7": odd, "8": data(8), "9": b"x" + odd, "10": odd[:-1]}
    write_records(tmp_path / "a.rec", rows)
    store = stored(tmp_path, key="id")
    assert dict(store.read_many("a.rec", list(rows))) == rows
    left = tmp_path / ".unsee-erasing.a.idx.for-7"  # a killed call meant it for a file that never took its place
    left.write_text("7\t0\n")
    assert store.erase("a.rec", [Target("8"), Target("9")]).erased == ("8", "9")
    assert not left.exists()
    assert records(tmp_path / "a.rec") == {"7": odd, "10": odd[:-1]}
    places = {key: int(at) for key, at in (line.split("\t") for line in (tmp_path / "a.idx").read_text().splitlines())}
    assert places == dict(zip(["7", "10"], [at for at, _ in unframe((tmp_path / "a.rec").read_bytes())], strict=True))


def test_an_index_of_another_file_keeps_the_records(tmp_path):
    write_records(tmp_path / "a.rec", {"7": data(7), "8": data(8)})
    (tmp_path / "a.idx").write_text("7\t0\n8\t5\n")
    before = (tmp_path / "a.rec").read_bytes()
    assert "of another file" in stored(tmp_path, key="id").erase("a.rec", [Target("8")]).kept[0].reason
    assert (tmp_path / "a.rec").read_bytes() == before


def test_records_without_a_head_of_mxnet_are_taken_as_they_are_when_asked(tmp_path):
    (tmp_path / "a.rec").write_bytes(frame(b"short") + frame(data(1)))
    assert "data=record" in next(iter(stored(tmp_path).scan())).reason
    assert len(selectors(stored(tmp_path, data="record"))) == 2


@pytest.mark.parametrize(
    ("at", "flip", "says"),
    [
        (0, 1, "the length of the record at byte 0 does not match"),
        (7, 0x7F, "the length of the record at byte 0 does not match"),
        (100, 1, "the record at byte 0 does not match its checksum"),
        (-1, 1, "does not match its checksum"),
    ],
)
def test_damaged_records_are_said_with_their_place_and_nothing_is_touched(tmp_path, at, flip, says):
    path = tmp_path / "a.tfrecord"
    write_examples(path, {"one": data(1), "two": data(2)})
    raw = bytearray(path.read_bytes())
    raw[at] ^= flip
    path.write_bytes(raw)
    store = stored(tmp_path, key="id")
    assert any(isinstance(found, Skipped) and says in found.reason for found in store.scan())
    assert says in store.erase(path.name, [Target("one")]).kept[0].reason
    with pytest.raises(StoreError, match=says):
        store.probe(path.name, ["one"])
    assert path.read_bytes() == raw


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress])
@pytest.mark.parametrize("short", [1, 5, 30, 300])
def test_truncated_files_are_said(tmp_path, pack, short):
    path = tmp_path / "a.tfrecord"
    write_examples(path, {"one": data(1), "two": data(2)}, pack)
    os.truncate(path, path.stat().st_size - short)
    store = stored(tmp_path, key="id")
    assert "end" in next(iter(store.scan())).reason
    assert store.erase(path.name, [Target("one")]).kept


def test_lying_lengths_and_bombs_take_no_memory(tmp_path):
    head = struct.pack("<Q", 1 << 40)
    (tmp_path / "a.tfrecord").write_bytes(head + TFRecordWriter.masked_crc(head) + b"x")
    zeros = zlib.compressobj(9, wbits=31)
    (tmp_path / "b.tfrecord").write_bytes(zeros.compress(bytes(1 << 26)) + zeros.flush())
    (tmp_path / "c.rec").write_bytes(MAGIC + struct.pack("<I", 5 << 29) + b"x")
    (tmp_path / "d.rec").write_bytes(MAGIC + struct.pack("<I", 2 << 29 | 1) + b"x...")
    found = {one.object: one.reason for one in stored(tmp_path).scan()}
    for name, says in {"a": "more than", "b": "checksum", "c": "unknown kind", "d": "do not follow"}.items():
        assert says in next(reason for place, reason in found.items() if place[0] == name)


def test_options_and_names(tmp_path):
    with pytest.raises(InvalidValue):
        stored(tmp_path, key=" ")
    write_examples(tmp_path / "train-00000-of-00002", {"one": data(1)})
    assert selectors(stored(tmp_path, key="id")) == []
    assert selectors(stored(tmp_path, key="id", prefix="train-,test-")) == ["one"]
