"""The log: RFC 6962 against the plain reference, every tile tampered, kills at every write, one writer."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
from pathlib import Path

import pytest
from example_certificate import ORIGIN, key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unsee.attest import log as log_module
from unsee.attest.log import Log, commit, tile_path
from unsee.attest.notes import Checkpoint, open_checkpoint, sign_note, verifier_key
from unsee.core import merkle
from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, Tampered


def entry(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest()


def filled(directory: Path, sizes: list[int]) -> tuple[Log, list[bytes]]:
    log = Log.create(directory, ORIGIN, key("log"))
    entries: list[bytes] = []
    for size in sizes:
        fresh = [entry(len(entries) + i) for i in range(size)]
        assert log.append(fresh) == range(len(entries), len(entries) + size)
        entries += fresh
    return log, entries


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (273, 112, "tile/0/273.p/112"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (1000, 256, "tile/0/x001/000"),
    ],
)
def test_tile_paths_are_those_of_the_specification(number: int, width: int, path: str) -> None:
    assert tile_path(0, number, width) == path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.data())
def test_proofs_from_tiles_are_those_of_the_whole_tree(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    log, entries = filled(tmp_path_factory.mktemp("log") / "l", sizes)
    hashes = [merkle.leaf_hash(e) for e in entries]
    assert log.checkpoint() == Checkpoint(ORIGIN, len(entries), merkle.root(entries))
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    assert log.inclusion_proof(index, size) == merkle.inclusion_proof(hashes[:size], index)
    old = data.draw(st.integers(1, size))
    assert log.consistency_proof(old, size) == merkle.consistency_proof(hashes[:size], old)
    assert log.entries(index, size) == entries[index:size]


def test_a_tree_of_three_levels(tmp_path: Path) -> None:
    entries = [entry(i) for i in range(256 * 256 + 300)]
    log = Log.create(tmp_path / "l", ORIGIN, key("log"))
    log.append(entries[:70])
    log.append(entries[70:])
    assert log.checkpoint().root == merkle.root(entries)
    assert (tmp_path / "l/tile/2/000.p/1").stat().st_size == 32
    assert not (tmp_path / "l/tile/0/000.p").exists()  # partial tiles go once the full one is committed
    path = log.inclusion_proof(65_540, len(entries))
    assert merkle.root_from_inclusion(merkle.leaf_hash(entries[65_540]), 65_540, len(entries), path) == merkle.root(
        entries
    )


def test_many_batches_give_the_files_of_one(tmp_path: Path) -> None:
    one, entries = filled(tmp_path / "one", [700])
    many, _ = filled(tmp_path / "many", [1] * 5 + [250, 1, 1, 255, 188])
    assert one.note() == many.note()
    full = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one/tile").rglob("*") if p.is_file()]
    for name in full:
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert many.entries(0, 700) == entries


def test_append_at_adds_what_is_new_and_only_that(tmp_path: Path) -> None:
    log, entries = filled(tmp_path / "l", [300])
    before = log.note()
    assert log.append_at(290, entries[290:]) == range(290, 300)
    assert log.note() == before
    assert log.append_at(290, [*entries[290:], entry(300)]) == range(290, 301)
    assert log.checkpoint().root == merkle.root([*entries, entry(300)])
    with pytest.raises(Tampered, match="Entry 295"):
        log.append_at(290, [*entries[290:295], b"x" * 32, entry(296)])
    with pytest.raises(InvalidValue, match="cannot follow"):
        log.append_at(400, [entry(1)])
    assert log.append([]) == range(301, 301)


def test_entries_have_a_limit_and_salts_a_length(tmp_path: Path) -> None:
    log, _ = filled(tmp_path / "l", [1])
    log.append([b"", b"x" * 65_535])
    assert log.entries(1, 3) == [b"", b"x" * 65_535]
    with pytest.raises(InvalidValue):
        log.append([b"x" * 65_536])
    with pytest.raises(InvalidValue):
        commit(b"short", b"record")
    assert commit(b"s" * 32, b"r") == hashlib.sha256(b"s" * 32 + b"r").digest()


def test_what_is_not_there_has_no_proof(tmp_path: Path) -> None:
    log, _ = filled(tmp_path / "l", [10])
    for index, size in ((10, 10), (0, 11), (-1, 5), (0, 0)):
        with pytest.raises(IndexError):
            log.inclusion_proof(index, size)
    for old, new in ((0, 5), (6, 5), (5, 11)):
        with pytest.raises(IndexError):
            log.consistency_proof(old, new)
    with pytest.raises(IndexError):
        log.entries(0, 11)


def test_every_single_tile_tampered_is_noticed(tmp_path: Path) -> None:
    """Each tile is damaged in turn; a read of what it carries must fail. A proof that never reads a tile proves nothing."""
    log, _ = filled(tmp_path / "l", [256 * 2 + 77])
    size = log.checkpoint().size
    files = [p for p in (tmp_path / "l/tile").rglob("*") if p.is_file()]
    assert len(files) == 3 + 3 + 1
    for path in files:
        whole = path.read_bytes()
        for spoiled in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], b""):
            path.write_bytes(spoiled)
            with pytest.raises(Tampered):
                for index in range(0, size, 20):
                    log.inclusion_proof(index, size)
                log.inclusion_proof(size - 1, size)
                log.entries(0, size)
        path.unlink()
        with pytest.raises(Tampered, match="missing"):
            log.entries(0, size)
            log.inclusion_proof(0, size)
        path.write_bytes(whole)
    log.entries(0, size)


@pytest.mark.parametrize("name", ["tile/1/000.p/2", "tile/0/002.p/77", "tile/entries/002.p/77"])
def test_nothing_is_appended_to_a_changed_log(tmp_path: Path, name: str) -> None:
    log, _ = filled(tmp_path / "l", [256 * 2 + 77])
    path = tmp_path / "l" / name
    path.write_bytes(bytes([path.read_bytes()[5] ^ 1]) * path.stat().st_size)
    before = log.note()
    with pytest.raises(Tampered):
        log.append([entry(1)])
    assert log.note() == before


def test_rolled_back_log_is_noticed_by_whoever_kept_a_checkpoint(tmp_path: Path) -> None:
    log, _ = filled(tmp_path / "l", [40])
    shutil.copytree(tmp_path / "l", tmp_path / "old")
    log.append([entry(99)])
    kept = log.checkpoint()
    rolled_back = Log.open(tmp_path / "old", ORIGIN, key("log"))
    rolled_back.append([entry(7), entry(8)])
    now = rolled_back.checkpoint()
    proof = rolled_back.consistency_proof(kept.size, now.size)
    assert not merkle.is_consistent(kept.size, kept.root, now.size, now.root, proof)


def test_a_log_is_not_made_twice_nor_opened_with_another_key(tmp_path: Path) -> None:
    filled(tmp_path / "l", [3])
    with pytest.raises(AlreadyExists):
        Log.create(tmp_path / "l", ORIGIN, key("log"))
    with pytest.raises(Tampered):
        Log.open(tmp_path / "l", ORIGIN, key("someone else"))
    with pytest.raises(Tampered):
        Log.open(tmp_path / "l", "another.example", key("log"))
    with pytest.raises(NotFound):
        Log.open(tmp_path / "nothing", ORIGIN, key("log"))
    reader = Log.open(tmp_path / "l", ORIGIN, key("log").public)
    assert reader.checkpoint().size == 3
    with pytest.raises(InvalidValue, match="for reading"):
        reader.append([entry(1)])


class Killed(BaseException):
    pass


def test_a_kill_at_any_write_loses_nothing_and_a_second_try_gives_the_same_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [200, 100, 300]
    whole, entries = filled(tmp_path / "whole", batches)
    real = log_module.write_file
    step = 0
    while True:
        directory = tmp_path / f"killed-{step}"
        log = Log.create(directory, ORIGIN, key("log"))
        left = step

        def mortal(path: Path, data: bytes, **options: object) -> None:
            nonlocal left
            if left == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_name(".torn.tmp").write_bytes(data[: len(data) // 2])
                raise Killed
            left -= 1
            real(path, data)

        monkeypatch.setattr(log_module, "write_file", mortal)
        done, died = 0, False
        for size in batches:
            try:
                log.append_at(done, entries[done : done + size])
            except Killed:
                died = True
                monkeypatch.setattr(log_module, "write_file", real)
                log = Log.open(directory, ORIGIN, key("log"))
                held = log.checkpoint().size
                assert held in (done, done + size)
                assert log.entries(0, held) == entries[:held]
                log.append_at(done, entries[done : done + size])
            done += size
        assert log.note() == whole.note()
        assert log.entries(0, 600) == entries
        if not died:
            break
        step += 1
    assert step > 10


def test_leavings_of_another_killed_batch_are_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, entries = filled(tmp_path / "l", [100])
    real = log_module.write_file

    def no_checkpoint(path: Path, data: bytes, **options: object) -> None:
        if path.name == "checkpoint":
            raise Killed
        real(path, data)

    monkeypatch.setattr(log_module, "write_file", no_checkpoint)
    with pytest.raises(Killed):
        log.append([b"never committed %d" % i for i in range(300)])
    monkeypatch.setattr(log_module, "write_file", real)
    log.append([entry(i) for i in range(100, 410)])
    assert log.entries(0, 410) == [*entries, *(entry(i) for i in range(100, 410))]
    assert log.inclusion_proof(300, 410)


def _appender(directory: str, name: str, rounds: int) -> None:
    log = Log.open(Path(directory), ORIGIN, key("log"))
    for i in range(rounds):
        log.append([f"{name} {i} {j}".encode() for j in range(3)])


def test_two_writers_take_turns(tmp_path: Path) -> None:
    log, _ = filled(tmp_path / "l", [1])
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_appender, args=(str(tmp_path / "l"), name, 20)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert log.checkpoint().size == 1 + 2 * 20 * 3
    found = log.entries(1, 121)
    assert sorted(found) == sorted(f"{n} {i} {j}".encode() for n in "ab" for i in range(20) for j in range(3))


def test_checkpoints_are_signed_notes(tmp_path: Path) -> None:
    log, entries = filled(tmp_path / "l", [5])
    lines = log.note().split("\n")
    assert lines[:2] == [ORIGIN, "5"]
    assert lines[3] == ""
    assert lines[4].startswith(f"\u2014 {ORIGIN} ")
    assert verifier_key(ORIGIN, log.public_key).startswith(f"{ORIGIN}+")
    other = sign_note(log.checkpoint().body(), "witness.example", key("witness"))
    both = log.note() + other.rsplit("\n\n", 1)[1]
    assert open_checkpoint(both, ORIGIN, log.public_key) == Checkpoint(ORIGIN, 5, merkle.root(entries))
    for spoiled in (
        log.note().replace("\n5\n", "\n6\n"),
        log.note().replace("\u2014", "-"),
        "",
        "\n\n",
        log.note()[:-60],
    ):
        with pytest.raises(Tampered):
            open_checkpoint(spoiled, ORIGIN, log.public_key)
    with pytest.raises(InvalidValue):
        sign_note("x\n", "two words", key("log"))
    with pytest.raises(InvalidValue):
        sign_note("no newline", ORIGIN, key("log"))


@pytest.mark.parametrize(
    "body", ["a\n1\n", "a\n01\nAA==\n", "a\n1\nAA==\n", "a\n1\n!\n", "a\nb\nc\nd\n", "a b\n1\nAA==\n"]
)
def test_no_other_spelling_of_a_checkpoint(body: str) -> None:
    with pytest.raises(Tampered):
        Checkpoint.parse(body)


def test_the_known_answer_of_the_signed_note_specification() -> None:
    """The key hash is SHA-256(name, newline, 0x01, key), first four bytes: computed here by hand for one key."""
    public = key("log").public
    digest = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public.raw).digest()
    assert verifier_key(ORIGIN, public).split("+")[1] == digest[:4].hex()


def test_no_file_is_left_half_written(tmp_path: Path) -> None:
    filled(tmp_path / "l", [300, 300])
    assert not list((tmp_path / "l").rglob("*.tmp"))
    assert (tmp_path / "l/checkpoint").stat().st_mode & 0o777 == 0o644
