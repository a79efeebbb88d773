"""A machine that stops while a shard is erased in place: what was not flushed reached the disk in part, in any order (R4).

Kills of the process cannot show that: what it wrote stays in the page cache. So the writes are recorded with the flushes between
them, and the disk is made as it may be found: all that was flushed, and of the rest any 512-byte sectors.
"""

import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from unsee.core.ids import StoreId
from unsee.stores.contract import Member, Target
from unsee.stores.tar import TarStore, inplace

SECTOR = 512
NAMES = ["0.jpg", "long/" + "x" * 120 + ".jpg", "2.jpg", "3.jpg", "4.jpg"]
GOING = [NAMES[0], NAMES[1], NAMES[3]]


def data_of(name):
    return (name.encode() + b"|") * 150


@pytest.fixture
def shard(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as writer:
        for name in NAMES:
            entry = tarfile.TarInfo(name)
            entry.size = len(data_of(name))
            writer.addfile(entry, io.BytesIO(data_of(name)))
    return tmp_path / "a.tar"


def recorded(shard, monkeypatch):
    """The targets; and what an erasure did to the shard: (place, bytes) for a write, None for a flush."""
    store = TarStore(StoreId("shards"), str(shard.parent))
    stamps = {m.selector: m.stamp for m in store.scan() if isinstance(m, Member)}
    asked = [Target(name, stamps[name]) for name in GOING]
    done: list[tuple[int, bytes] | None] = []
    write = os.pwrite

    def pwrite(file, data, at):
        done.append((at, bytes(data)))
        return write(file, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        for flush in (os.fsync, os.fdatasync):
            patched.setattr(os, flush.__name__, lambda file, really=flush: (really(file), done.append(None)))
        assert store.erase("a.tar", asked).erased == tuple(GOING)
    return asked, done


def sectors(writes):
    for at, data in writes:
        for start in range(0, len(data), SECTOR):
            yield at + start, data[start : start + SECTOR]


def found_after_a_stop(before, done, chance):
    """The disk: what was flushed, and some of the sectors written after that."""
    flushed = max((n for n, one in enumerate(done) if one is None), default=-1)
    sure = list(sectors(one for one in done[: flushed + 1] if one is not None))
    open_ = [one for one in sectors(one for one in done[flushed + 1 :] if one is not None) if chance.random() < 0.5]
    chance.shuffle(open_)
    disk = bytearray(before)
    for at, data in sure + open_:
        disk[at : at + len(data)] = data
    return bytes(disk)


@pytest.mark.parametrize("batch_bytes", [1, 64 << 20])
def test_a_stop_at_any_moment_leaves_each_member_or_its_void_and_the_same_call_finishes(
    shard, monkeypatch, batch_bytes
):
    monkeypatch.setattr(inplace, "BATCH_BYTES", batch_bytes)
    before = shard.read_bytes()
    asked, done = recorded(shard, monkeypatch)
    chance = random.Random(5)
    store = TarStore(StoreId("shards"), str(shard.parent))
    for moment in range(len(done) + 1):
        for _ in range(6):
            shard.write_bytes(found_after_a_stop(before, done[:moment], chance))
            seen = {m.selector: store.read("a.tar", m.selector) for m in store.scan() if isinstance(m, Member)}
            assert seen == {name: data_of(name) for name in seen}
            assert set(NAMES) - set(GOING) <= set(seen)
            assert gone_from(shard) or store.probe("a.tar", GOING)
            assert store.erase("a.tar", asked).kept == ()
            assert gone_from(shard)


def gone_from(path: Path):
    raw = path.read_bytes()
    return not any(name.encode() in raw for name in GOING)


def test_what_was_reported_is_on_the_disk(shard, monkeypatch):
    before = shard.read_bytes()
    _asked, done = recorded(shard, monkeypatch)
    for seed in range(20):
        shard.write_bytes(found_after_a_stop(before, done, random.Random(seed)))
        assert gone_from(shard)
