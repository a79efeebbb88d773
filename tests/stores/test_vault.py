"""The vault: what its format detects, what a destroyed key destroys, and when that is not claimed (R7, R8)."""

import errno
import os
import pickle
import shutil
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, StoreError, StoreUnreachable, WrongState
from unsee.core.evidence import Gone
from unsee.stores import overwriting
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.registry import open_store
from unsee.stores.vault import index, keeping, layout, ring, wrapping
from unsee.stores.vault.sealed import (
    HEADER_BYTES,
    TAG_BYTES,
    Header,
    Unsound,
    cipher_of,
    decrypt,
    encrypt,
    parse,
    plain_bytes,
)
from unsee.stores.vault.sealing import ToSeal
from unsee.stores.vault.store import VaultStore, create
from unsee.stores.vault.wrapping import FileWrapper
from unsee.testing.faults import kill_everywhere
from unsee.testing.stores import marked, store_id
from unsee.testing.syscalls import fail_at_every_system_call

SOURCE = "okcupid-2014"
PEOPLE = {"a1": b"ann", "a2": b"ann", "b1": b"ben", "n1": b""}


@pytest.fixture(autouse=True)
def _on_a_disk_that_writes_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever file system the tests run on. Killed children see the real one: they may claim less, never other bytes."""
    monkeypatch.setattr(overwriting, "in_place", lambda _device: True)


def make(at: Path, **options: object) -> VaultStore:
    (at / "keys").mkdir(parents=True, exist_ok=True)
    FileWrapper(str(at / "master")).create()
    store = VaultStore(store_id(), str(at / "vault"), str(at / "keys" / "ring"), f"file:{at / 'master'}", **options)
    create(store)
    return store


def fill(store: VaultStore, *objects: str) -> VaultStore:
    for name in objects or (SOURCE, "panel"):
        store.seal(name, [ToSeal(s, [marked(name, s)], who) for s, who in PEOPLE.items()])
    return store


@pytest.fixture
def store(tmp_path: Path) -> VaultStore:
    return fill(make(tmp_path))


def listed(store: VaultStore, name: str = SOURCE) -> list[str]:
    return sorted(found.selector for found in store.scan() if isinstance(found, Member) and found.object == name)


def every(*selectors: str) -> list[Target]:
    return [Target(selector) for selector in selectors or PEOPLE]


def file_at(store: VaultStore, selector: str, name: str = SOURCE) -> Path:
    return next(Path(store.location).glob(f"{name}/*/??/{index.file_of(selector).hex()}"))


def slot_states(store: VaultStore) -> list[ring.State | None]:
    with ring.opened(store.keys) as keys:
        return [slot.state if slot else None for slot in keys.slots()]


# The format of one file


HEADER = Header(1, bytes(8), 2, bytes(8), bytes(range(32)), "a.jpg", 16)


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_is_sealed_opens_whatever_pieces_it_came_in(data: bytes, cuts: list[int]) -> None:
    edges = pairwise([0, *sorted(min(c, len(data)) for c in cuts), len(data)])
    cipher = cipher_of(HEADER, SOURCE, b"s" * 32, b"p" * 32)
    body = b"".join(encrypt(cipher, [data[a:b] for a, b in edges], 16))
    assert decrypt(cipher, memoryview(body), 16) == data
    assert plain_bytes(HEADER_BYTES + len(body), 16) == len(data)


@given(data=st.binary(min_size=1, max_size=100), change=st.data())
@settings(max_examples=120, deadline=None)
def test_no_change_of_a_sealed_file_opens(data: bytes, change: st.DataObject) -> None:
    cipher = cipher_of(HEADER, SOURCE, b"s" * 32, b"p" * 32)
    chunks = list(encrypt(cipher, [data], 16))
    whole = b"".join(chunks)
    kind = change.draw(st.sampled_from(["cut", "flip", "swap", "drop", "double", "more"]))
    at = change.draw(st.integers(0, len(whole) - 1))
    other = change.draw(st.integers(0, len(chunks) - 1))
    if kind == "cut":
        body = whole[:at]
    elif kind == "flip":
        body = whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :]
    elif kind == "swap":
        body = b"".join([*chunks[1:], chunks[0]])
    elif kind == "drop":
        body = b"".join(c for n, c in enumerate(chunks) if n != other)
    elif kind == "double":
        body = b"".join(c for n, c in enumerate(chunks) for _ in range(1 + (n == other)))
    else:
        body = whole + bytes(at + 1)
    if body == whole:
        return
    with pytest.raises(Unsound):
        decrypt(cipher, memoryview(body), 16)


@given(st.binary(max_size=HEADER_BYTES + 10))
def test_bytes_that_are_no_header_are_refused(data: bytes) -> None:
    with pytest.raises(Unsound):
        parse(data)


@pytest.mark.parametrize("byte", range(0, HEADER_BYTES, 7))
def test_a_changed_header_byte_opens_nothing(byte: int) -> None:
    cipher = cipher_of(HEADER, SOURCE, b"s" * 32, b"p" * 32)
    body = b"".join(encrypt(cipher, [b"photo"], HEADER.chunk_bytes))
    packed = bytearray(HEADER.pack())
    packed[byte] ^= 1
    with pytest.raises(Unsound):
        found = parse(bytes(packed))
        decrypt(cipher_of(found, SOURCE, b"s" * 32, b"p" * 32), memoryview(body), found.chunk_bytes)


def test_files_of_any_size_are_sealed_in_chunks(tmp_path: Path) -> None:
    store = make(tmp_path)
    data = os.urandom(3 * (256 << 10))  # the last chunk is full
    for name, size in {"empty": 0, "one": 1, "exact": len(data), "more": len(data) - 5}.items():
        store.seal("big", [ToSeal(name, (data[i : min(i + 70_001, size)] for i in range(0, size, 70_001)))])
        assert store.read("big", name) == data[:size]
        assert [m.size_bytes for m in store.scan() if isinstance(m, Member) and m.selector == name] == [size]


# Tampering and bad input: a clear error that names the member


def test_flips_cuts_and_swaps_of_files_are_found_out(store: VaultStore) -> None:
    ann, ben = file_at(store, "a1"), file_at(store, "b1")
    good = ann.read_bytes()
    size = len(good)
    for spoiled in (
        good[:-1], good[: HEADER_BYTES + TAG_BYTES], good[:HEADER_BYTES], good[:50], b"", good + b"x", ben.read_bytes(),
        good[: size - 3] + bytes([good[-3] ^ 1]) + good[-2:], file_at(store, "a1", "panel").read_bytes(),
    ):  # fmt: skip
        ann.write_bytes(spoiled)
        with pytest.raises(StoreError, match="'a1' in 'okcupid-2014'"):
            store.read(SOURCE, "a1")
        assert store.read(SOURCE, "b1") == marked(SOURCE, "b1")
    ann.write_bytes(good)
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")


def test_a_link_or_device_in_the_place_of_a_file_is_not_followed(store: VaultStore, tmp_path: Path) -> None:
    ann = file_at(store, "a1")
    ann.rename(tmp_path / "elsewhere")
    ann.symlink_to(tmp_path / "elsewhere")
    for act in (store.read, lambda o, s: store.probe(o, [s]), lambda o, s: store.stamps(o, [s])):
        with pytest.raises(StoreError):
            act(SOURCE, "a1")
    ann.unlink()
    os.mkfifo(ann)
    with pytest.raises(StoreError, match="fifo"):
        store.read(SOURCE, "a1")


def test_another_or_lost_master_key_opens_nothing_and_erasing_works_without_it(
    store: VaultStore, tmp_path: Path
) -> None:
    other = VaultStore(store.id, store.location, store.keys, f"file:{tmp_path / 'other'}")
    FileWrapper(str(tmp_path / "other")).create()
    with pytest.raises(StoreError, match="does not open this key"):
        other.read(SOURCE, "a1")
    (tmp_path / "master").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        store.read(SOURCE, "a1")
    assert listed(store) == sorted(PEOPLE), "a lost master key is no erasure: it may be found again"
    assert store.probe(SOURCE, ["a1"]) != ()
    assert store.erase(SOURCE, every()).gone is Gone.D4


@pytest.mark.parametrize("spoil", ["mode", "short", "long"])
def test_a_master_key_that_is_none_or_open_to_others_is_refused(store: VaultStore, tmp_path: Path, spoil: str) -> None:
    master = tmp_path / "master"
    if spoil == "mode":
        master.chmod(0o644)
    else:
        master.write_bytes(bytes(31 if spoil == "short" else 33))
    with pytest.raises(StoreError):
        store.read(SOURCE, "a1")


def test_a_lost_ring_is_never_taken_for_an_erasure(store: VaultStore) -> None:
    Path(store.keys).unlink()
    for act in (
        lambda: list(store.scan()), lambda: store.read(SOURCE, "a1"), lambda: store.probe(SOURCE, ["a1"]),
        lambda: store.erase(SOURCE, every()), lambda: store.stamps(SOURCE, ["a1"]), store.capability, lambda: store.tidy([SOURCE]),
    ):  # fmt: skip
        with pytest.raises(StoreUnreachable, match="key ring"):
            act()


def test_a_ring_of_another_vault_makes_members_unknown_not_absent(store: VaultStore, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    stranger = VaultStore(store.id, store.location, fill(make(tmp_path / "b")).keys, store.wrap)
    found = list(stranger.scan())
    assert [type(f) for f in found] == [Skipped, Skipped]
    assert "does not know key" in found[0].reason
    outcome = stranger.erase(SOURCE, every())
    assert len(outcome.kept) == len(PEOPLE)
    assert listed(store) == sorted(PEOPLE)
    with pytest.raises(StoreError):
        stranger.probe(SOURCE, ["a1"])


def test_a_damaged_slot_harms_no_other_and_can_still_be_destroyed(store: VaultStore) -> None:
    with ring.opened(store.keys) as keys:
        (slot,) = [s.number for s in keys.slots() if s and s.kind is ring.Kind.SOURCE and s.number > 0]
    with Path(store.keys).open("r+b") as file:
        file.seek((1 + ring.COPIES + slot) * ring.SECTOR + 100)
        file.write(b"torn")
    assert [f.object for f in store.scan() if isinstance(f, Skipped)] == ["panel"]
    assert listed(store) == sorted(PEOPLE)
    assert store.erase("panel", every()).kept[0].reason.endswith("is damaged")
    life = layout.lives(store.location, "panel")[0]
    with ring.opened(store.keys, change=True) as keys:
        keys.destroy([(life.slot, life.key_id)], now=1)
    assert store.probe("panel", list(PEOPLE)) == ()
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")


def test_bytes_that_are_no_ring_are_refused(store: VaultStore, tmp_path: Path) -> None:
    for data in (b"", b"x" * 5000, Path(store.keys).read_bytes()[:300]):
        Path(store.keys).write_bytes(data)
        with pytest.raises(StoreError):
            list(store.scan())
    Path(store.keys).unlink()
    os.mkfifo(store.keys)
    with pytest.raises(StoreError):
        list(store.scan())


def test_a_lost_index_is_made_again_from_the_files(store: VaultStore) -> None:
    next(Path(store.location).glob(f"{SOURCE}/*/{index.NAME}")).unlink()
    assert [f.object for f in store.scan() if isinstance(f, Skipped)] == [SOURCE]
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1"), "reading does not need it"
    assert store.reindex() == len(PEOPLE)
    assert listed(store) == sorted(PEOPLE)
    assert store.reindex() == 0
    outcome = store.erase(SOURCE, every("a1", "a2"))
    assert (outcome.gone, listed(store)) == (Gone.D4, ["b1", "n1"])


def test_an_index_of_an_old_backup_hides_nothing(store: VaultStore, tmp_path: Path) -> None:
    path = next(Path(store.location).glob(f"{SOURCE}/*/{index.NAME}"))
    shutil.copy(path, tmp_path / "old")
    store.seal(SOURCE, [ToSeal("late", [marked(SOURCE, "late")], b"eve")])
    shutil.copy(tmp_path / "old", path)
    (lost,) = [f for f in store.scan() if isinstance(f, Skipped)]
    assert "no file of the index" in lost.reason
    outcome = store.erase(SOURCE, every("late"))
    assert (outcome.erased, outcome.gone) == (("late",), Gone.D4)
    assert listed(store) == sorted(PEOPLE)
    store.seal(SOURCE, [ToSeal("later", [marked(SOURCE, "later")], b"eve")])
    shutil.copy(tmp_path / "old", path)
    assert "later" in store.erase(SOURCE, every(*PEOPLE, "later")).erased


def test_a_damaged_index_is_an_error_not_an_empty_object(store: VaultStore) -> None:
    path = next(Path(store.location).glob(f"{SOURCE}/*/{index.NAME}"))
    path.write_bytes(b"no database" * 500)
    assert [f.object for f in store.scan() if isinstance(f, Skipped)] == [SOURCE]
    assert [k.reason for k in store.erase(SOURCE, every("a1")).kept] != []


def test_names_and_options_that_cannot_be(store: VaultStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="wrap"):
        open_store(store_id(), "vault", "/somewhere", {})
    with pytest.raises(InvalidValue, match="lie in the vault"):
        open_store(store_id(), "vault", "/a/b", {"wrap": "file:/m", "keys": "/a/b/ring"})
    with pytest.raises(InvalidValue, match="no key wrapper 'kms'"):
        VaultStore(store.id, store.location, store.keys, "kms:eu/1").read(SOURCE, "a1")
    with pytest.raises(InvalidValue):
        wrapping.open_wrapper("master")
    opened = open_store(store_id(), "vault", "/a/b/", {"wrap": "file:/m"})
    assert isinstance(opened, VaultStore)
    assert opened.keys == "/a/b.keys"
    with pytest.raises(InvalidValue, match="longer than"):
        store.seal(SOURCE, [ToSeal("n" * 131, [b""])])
    with pytest.raises(InvalidValue, match="twice"):
        store.seal(SOURCE, [ToSeal("x", [b""]), ToSeal("x", [b""])])
    with pytest.raises(StoreError, match="already"):
        store.seal(SOURCE, [ToSeal("a1", [b"another"])])
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")
    with pytest.raises(AlreadyExists):
        create(store)


# Erasing


def test_destroying_a_source_s_key_is_one_sector_whatever_lies_under_it(store: VaultStore) -> None:
    before = Path(store.keys).read_bytes()
    outcome = store.erase(SOURCE, every())
    assert (set(outcome.erased), outcome.gone) == (set(PEOPLE), Gone.D4)
    after = Path(store.keys).read_bytes()
    changed = {n // ring.SECTOR for n in range(len(before)) if before[n] != after[n]}
    assert len(changed) == 1, "in place, and nothing else of the ring"
    assert len(after) == len(before)
    assert listed(store) == []
    assert store.probe(SOURCE, list(PEOPLE)) == ()
    assert file_at(store, "a1").exists(), "ciphertext without a key may wait"
    assert store.tidy([SOURCE, "panel"]) == (SOURCE,)
    assert not (Path(store.location) / SOURCE).exists()
    assert slot_states(store).count(ring.State.LIVE) == 3, "the keys of its people are gone too"
    assert listed(store, "panel") == sorted(PEOPLE)


def test_a_person_who_loses_all_loses_the_key_others_keep_theirs(store: VaultStore) -> None:
    outcome = store.erase(SOURCE, every("a1", "a2"))
    assert (outcome.erased, outcome.gone) == (("a1", "a2"), Gone.D4)
    assert listed(store) == ["b1", "n1"]
    assert listed(store, "panel") == sorted(PEOPLE)
    assert slot_states(store).count(ring.State.DESTROYED) == 1
    for selector in ("b1", "n1"):
        assert store.read(SOURCE, selector) == marked(SOURCE, selector)


@pytest.mark.parametrize("going", [["a1"], ["n1"], ["a1", "b1"]])
def test_some_photos_of_a_person_go_by_their_files_and_never_as_d4(store: VaultStore, going: list[str]) -> None:
    outcome = store.erase(SOURCE, every(*going))
    assert (outcome.erased, outcome.gone) == (tuple(going), Gone.D2)
    assert listed(store) == sorted(set(PEOPLE) - set(going))
    assert not list(Path(store.location).glob(f"{SOURCE}/*/??/{index.file_of(going[0]).hex()}"))


def test_with_overwrite_files_that_go_without_their_key_are_zeroed(tmp_path: Path) -> None:
    store = fill(make(tmp_path, overwrite=True))
    assert store.erase(SOURCE, every("a1")).gone is Gone.D3


def test_every_copy_and_backup_of_the_vault_is_unreadable_at_once(store: VaultStore, tmp_path: Path) -> None:
    """R8, D4: the copy was made before, and is never touched."""
    for name in ("backup", "replica"):
        shutil.copytree(store.location, tmp_path / name)
    copies = [VaultStore(store.id, str(tmp_path / n), store.keys, store.wrap) for n in ("backup", "replica")]
    assert all(c.read(SOURCE, "a1") == marked(SOURCE, "a1") for c in copies)
    store.erase(SOURCE, every())
    store.erase("panel", every("a1", "a2"))
    for copy in copies:
        assert listed(copy) == []
        assert copy.probe(SOURCE, list(PEOPLE)) == ()
        for name, selector in ((SOURCE, "a1"), (SOURCE, "n1"), ("panel", "a2")):
            with pytest.raises(StoreError, match="was destroyed"):
                copy.read(name, selector)
        assert copy.read("panel", "b1") == marked("panel", "b1")


def test_plain_text_never_reaches_the_disk(store: VaultStore, tmp_path: Path) -> None:
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert all(marked(name, s)[:32] not in held for name in (SOURCE, "panel") for s in PEOPLE)
    assert b"ann" not in held, "nor whose a photo is"


def test_a_source_that_comes_back_gets_another_key(store: VaultStore) -> None:
    store.erase(SOURCE, every())
    fill(store, SOURCE)
    assert len(layout.lives(store.location, SOURCE)) == 2
    assert listed(store) == sorted(PEOPLE)
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")
    assert store.tidy([SOURCE]) == ()
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")


# When D4 is not claimed (R8)


def test_r8_no_d4_while_a_copy_of_the_ring_is_out(store: VaultStore, tmp_path: Path) -> None:
    copy = keeping.back_up(store, tmp_path / "ring.copy")
    fill(store, "later")  # its keys are not in the copy
    assert store.capability().best_gone is Gone.D2
    assert "Copy 0" in store.capability().limits[0]
    assert [v.name for v in store.history(SOURCE)] == [v.name for v in store.history("panel")] != []
    assert store.erase("later", every()).gone is Gone.D4
    outcome = store.erase(SOURCE, every())
    assert (set(outcome.erased), outcome.gone) == (set(PEOPLE), Gone.D2)
    assert ["not called D4: Copy 0" in note for note in outcome.notes] == [True]
    assert not list(Path(store.location).glob(f"{SOURCE}/*/??/*")), "so the ciphertext went as well"
    old = VaultStore(store.id, store.location, str(tmp_path / "ring.copy"), store.wrap)
    assert old.read("panel", "a1") == marked("panel", "a1"), "the copy does open what it holds"
    assert keeping.declare_destroyed(store, copy.number, "Ada").destroyed_by == "Ada"
    assert store.capability().best_gone is Gone.D4
    assert store.history("panel") == ()
    assert store.erase("panel", every("a1", "a2")).gone is Gone.D4


def test_r8_ciphertext_that_came_back_counts_while_a_copy_of_its_key_is_out(store: VaultStore, tmp_path: Path) -> None:
    copy = keeping.back_up(store, tmp_path / "ring.copy")
    shutil.copytree(Path(store.location) / SOURCE, tmp_path / "saved")
    store.erase(SOURCE, every())
    shutil.copytree(tmp_path / "saved", Path(store.location) / SOURCE, dirs_exist_ok=True)
    assert {r.selector for r in store.probe(SOURCE, list(PEOPLE))} == set(PEOPLE)
    assert "not declared destroyed" in store.probe(SOURCE, ["a1"])[0].where
    store.erase(SOURCE, every())
    assert store.probe(SOURCE, list(PEOPLE)) == ()
    keeping.declare_destroyed(store, copy.number, "Ada")
    assert store.probe(SOURCE, list(PEOPLE)) == ()


def test_r8_no_d4_for_a_hard_linked_ring_or_one_that_may_be_written_elsewhere(
    store: VaultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(store.keys, store.keys + "-2")
    assert "hard link" in store.capability().limits[0]
    assert store.erase(SOURCE, every()).gone is Gone.D2
    Path(store.keys + "-2").unlink()
    monkeypatch.setattr(overwriting, "in_place", lambda _device: False)
    assert "write elsewhere" in store.capability().limits[0]
    assert store.erase("panel", every("a1", "a2")).gone is Gone.D2


@dataclass(frozen=True)
class Escrowing:
    """A keeper that says that it keeps things, around the built-in one."""

    inner: FileWrapper

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return self.inner.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return self.inner.unwrap(wrapped, context)

    def escrow(self) -> str:
        return "the provider keeps deleted keys for 30 days"


def test_r8_no_d4_where_the_keeper_of_the_master_key_escrows(
    store: VaultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Point:
        name, value = "kms", "a_package:open"

        @staticmethod
        def load():
            return lambda rest: Escrowing(FileWrapper(rest))

    monkeypatch.setattr(
        wrapping, "entry_points", lambda group, name="kms": [Point] if (group, name) == (wrapping.GROUP, "kms") else []
    )
    kms = VaultStore(store.id, store.location, store.keys, f"kms:{tmp_path / 'master'}")
    assert kms.read(SOURCE, "a1") == marked(SOURCE, "a1")
    assert "30 days" in kms.capability().limits[0]
    assert kms.erase(SOURCE, every()).gone is Gone.D2
    monkeypatch.setattr(Point, "load", staticmethod(lambda: 1 / 0))
    with pytest.raises(StoreError, match="cannot be loaded"):
        kms.read("panel", "a1")


def test_r7_a_ring_restored_from_an_old_backup_is_found_out_and_erased_again(store: VaultStore, tmp_path: Path) -> None:
    shutil.copytree(store.location, tmp_path / "backup")
    shutil.copy(store.keys, tmp_path / "old-ring")  # nobody registered it
    store.erase(SOURCE, every())
    store.erase("panel", every("a1", "a2"))
    store.tidy([SOURCE])
    assert store.probe(SOURCE, ["a1"]) == ()
    shutil.copy(tmp_path / "old-ring", store.keys)
    found = store.probe(SOURCE, list(PEOPLE))
    assert {r.selector for r in found} == set(PEOPLE), "its ciphertext is gone here, but any copy of it opens again"
    assert "in the key ring again" in found[0].where
    assert {r.selector for r in store.probe("panel", ["a1", "b1"])} == {"a1", "b1"}
    assert len(keeping.report(store).returned) == 2
    with pytest.raises(WrongState, match="old copy"):
        store.seal(SOURCE, [ToSeal("new", [b"x"])])
    shutil.copytree(tmp_path / "backup" / SOURCE, Path(store.location) / SOURCE)  # and the ciphertext with it
    assert store.read(SOURCE, "a1") == marked(SOURCE, "a1")
    assert store.erase(SOURCE, every()).gone is Gone.D4
    assert store.probe(SOURCE, list(PEOPLE)) == ()


def test_r7_the_same_order_again_destroys_keys_that_came_back_without_their_ciphertext(
    store: VaultStore, tmp_path: Path
) -> None:
    shutil.copy(store.keys, tmp_path / "old-ring")
    store.erase(SOURCE, every())
    store.tidy([SOURCE])
    shutil.copy(tmp_path / "old-ring", store.keys)
    assert store.probe(SOURCE, ["a1"]) != ()
    assert store.probe("panel", ["no-such"]) == (), "another object's keys are no matter of this one"
    outcome = store.erase(SOURCE, every())
    assert set(outcome.absent) == set(PEOPLE)
    assert store.probe(SOURCE, ["a1"]) == ()


def test_copies_of_the_ring_are_kept_account_of(store: VaultStore, tmp_path: Path) -> None:
    first = keeping.back_up(store, tmp_path / "copy-0")
    assert (tmp_path / "copy-0").read_bytes() == Path(store.keys).read_bytes(), "it knows itself as out"
    assert (tmp_path / "copy-0").stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidValue):
        keeping.back_up(store, tmp_path / "copy-0")
    with pytest.raises(InvalidValue, match="in the vault"):
        keeping.back_up(store, Path(store.location) / "copy")
    with pytest.raises(InvalidValue, match="at most"):
        keeping.back_up(store, tmp_path / ("n" * 241))
    assert keeping.back_up(store, tmp_path / "copy-1").number == 1
    keeping.declare_destroyed(store, first.number, "Ada")
    again = keeping.declare_destroyed(store, first.number, "Ben")
    assert again.destroyed_by == "Ada", "a fact is not overwritten"
    with pytest.raises(NotFound):
        keeping.declare_destroyed(store, 9, "Ada")
    report = keeping.report(store)
    assert [c.out for c in report.copies] == [False, True]
    assert (report.live, report.destroyed, report.damaged) == (6, 0, 0)
    assert [(s.object, s.state, s.members, s.people) for s in report.sources] == [
        (SOURCE, "live", 4, 2),
        ("panel", "live", 4, 2),
    ]


def test_the_register_of_copies_is_never_taken_for_empty_when_it_is_damaged(store: VaultStore, tmp_path: Path) -> None:
    keeping.back_up(store, tmp_path / "copy")
    with Path(store.keys).open("r+b") as file:
        file.seek(ring.SECTOR + 40)
        file.write(b"\xff")
    with pytest.raises(StoreError, match="unknown which copies"):
        store.capability()
    outcome = store.erase(SOURCE, every())
    assert outcome.gone is not Gone.D4
    assert len(outcome.kept) == len(PEOPLE)


# The master key changes


def test_rotation_rewraps_every_key_in_its_slot_and_reads_on(store: VaultStore, tmp_path: Path) -> None:
    FileWrapper(str(tmp_path / "new")).create()
    size = Path(store.keys).stat().st_size
    assert keeping.rotate(store, f"file:{tmp_path / 'new'}") == 2, "people's keys are wrapped under their source's"
    (tmp_path / "master").unlink()
    rotated = VaultStore(store.id, store.location, store.keys, f"file:{tmp_path / 'new'}")
    assert rotated.read(SOURCE, "a1") == marked(SOURCE, "a1")
    assert Path(store.keys).stat().st_size == size
    with pytest.raises(StoreError):
        keeping.rotate(rotated, f"file:{tmp_path / 'not-there'}")
    assert rotated.read(SOURCE, "b1") == marked(SOURCE, "b1")


class _Copied:
    """A world that is made anew from one filled vault: sealing waits for the disk."""

    def __init__(self, tmp_path: Path, act, **options) -> None:
        self.at, self.pristine, self.act = tmp_path / "world", tmp_path / "pristine", act
        self.pristine.mkdir()
        fill(make(self.pristine, **options))
        FileWrapper(str(self.pristine / "new")).create()
        self.options = options
        self.renew()

    @property
    def store(self) -> VaultStore:
        at = self.at
        return VaultStore(
            store_id(), str(at / "vault"), str(at / "keys" / "ring"), f"file:{at / 'master'}", **self.options
        )

    def renew(self) -> None:
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self.pristine, self.at)

    def __call__(self) -> object:
        return self.act(self.store)


def erase_all(store: VaultStore) -> object:
    return store.erase(SOURCE, every())


def erase_and_tidy(store: VaultStore) -> object:
    store.erase(SOURCE, every())
    return store.tidy([SOURCE])


def rotate_to_new(store: VaultStore) -> object:
    return keeping.rotate(store, f"file:{Path(store.location).parent / 'new'}")


def seal_more(store: VaultStore) -> object:
    return store.seal(
        SOURCE, [ToSeal("a3", [marked(SOURCE, "a3")], b"ann"), ToSeal("e1", [marked(SOURCE, "e1")], b"eve")]
    )


def back_up_ring(store: VaultStore) -> object:
    place = Path(store.keys + ".copy")
    return keeping.back_up(store, place)


def test_a_kill_while_a_source_goes_leaves_its_key_whole_or_destroyed(tmp_path: Path) -> None:
    world = _Copied(tmp_path, erase_and_tidy)
    for killed in kill_everywhere(world, reset=world.renew):
        states = slot_states(world.store)
        assert None not in states, killed
        readable = listed(world.store)
        assert readable in ([], sorted(PEOPLE)), killed
        for selector in readable:
            assert world.store.read(SOURCE, selector) == marked(SOURCE, selector)
        outcome = world.store.erase(SOURCE, every())
        assert not outcome.kept, killed
        assert outcome.gone is Gone.D4 or not outcome.erased
        world.store.tidy([SOURCE])
        assert world.store.probe(SOURCE, list(PEOPLE)) == ()
        assert not (Path(world.store.location) / SOURCE).exists(), killed
        assert [layout.destroyed(world.store.location, SOURCE) != set()] == [True], killed
        assert listed(world.store, "panel") == sorted(PEOPLE)
        assert world.store.read("panel", "a1") == marked("panel", "a1")


def test_a_kill_while_sealing_loses_nothing_and_leaves_nothing_unknown(tmp_path: Path) -> None:
    world = _Copied(tmp_path, seal_more)
    for killed in kill_everywhere(world, reset=world.renew):
        assert set(PEOPLE) <= set(listed(world.store)), killed
        for selector in listed(world.store):
            assert world.store.read(SOURCE, selector) == marked(SOURCE, selector)
        fresh = [s for s in ("a3", "e1") if s not in listed(world.store)]
        world.store.seal(SOURCE, [ToSeal(s, [marked(SOURCE, s)], b"eve") for s in fresh])
        assert listed(world.store) == sorted([*PEOPLE, "a3", "e1"]), killed
        assert world.store.erase(SOURCE, every(*PEOPLE, "a3", "e1")).gone is Gone.D4
        assert world.store.probe(SOURCE, ["a1", "a3", "e1"]) == ()


@pytest.mark.slow
def test_a_kill_while_the_first_photo_of_a_source_is_sealed(tmp_path: Path) -> None:
    world = _Copied(
        tmp_path, partial(VaultStore.seal, object_name="fresh", members=[ToSeal("x1", [b"x" * 99], b"xan")])
    )
    for killed in kill_everywhere(world, reset=world.renew):
        assert listed(world.store, "fresh") in ([], ["x1"]), killed
        if not listed(world.store, "fresh"):
            world.store.seal("fresh", [ToSeal("x1", [b"x" * 99], b"xan")])
        assert world.store.read("fresh", "x1") == b"x" * 99
        assert [f for f in world.store.scan() if isinstance(f, Skipped)] == [], killed
        assert world.store.erase("fresh", every("x1")).gone is Gone.D4


def test_a_kill_while_the_master_key_changes_is_resumed(tmp_path: Path) -> None:
    world = _Copied(tmp_path, rotate_to_new)
    for killed in kill_everywhere(world, reset=world.renew):
        assert None not in slot_states(world.store), killed
        rotate_to_new(world.store)
        rotated = VaultStore(store_id(), world.store.location, world.store.keys, f"file:{world.at / 'new'}")
        for selector in PEOPLE:
            assert rotated.read(SOURCE, selector) == marked(SOURCE, selector), killed


def test_r8_a_kill_while_the_ring_is_copied_never_leaves_an_unregistered_copy(tmp_path: Path) -> None:
    world = _Copied(tmp_path, back_up_ring)
    for killed in kill_everywhere(world, reset=world.renew):
        if Path(world.store.keys + ".copy").exists():
            assert world.store.capability().best_gone is Gone.D2, killed


@pytest.mark.slow
def test_a_disk_that_fails_at_any_call_is_said_and_harms_no_other(tmp_path: Path) -> None:
    world = _Copied(tmp_path, erase_all)
    for failed in fail_at_every_system_call(world, reset=world.renew, error=errno.EIO):
        assert listed(world.store, "panel") == sorted(PEOPLE), failed
        assert world.store.read("panel", "a1") == marked("panel", "a1"), failed
        if failed.raised is None and getattr(failed.returned, "erased", ()):
            assert world.store.probe(SOURCE, failed.returned.erased) == (), failed
        assert not world.store.erase(SOURCE, every()).kept, failed
        assert world.store.probe(SOURCE, list(PEOPLE)) == (), failed


def test_it_pickles_and_holds_nothing(store: VaultStore) -> None:
    again = pickle.loads(pickle.dumps(store))  # noqa: S301  made in this line
    assert again == store
    assert again.read(SOURCE, "a1") == marked(SOURCE, "a1")
