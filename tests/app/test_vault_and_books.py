"""The vault in the life of a workspace: sealed photos are recorded copies, and one order takes them by their key (R8)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_corpus import ADA, MEMBERS, OKCUPID, PANEL, Corpus, holders, marker
from unsee.app import registry, vault
from unsee.app.vault import Sealed
from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, StoreError
from unsee.stores import overwriting
from unsee.stores.vault import VaultStore, keeping
from unsee.stores.vault.ring import State, opened


@pytest.fixture(autouse=True)
def _on_a_disk_that_writes_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever file system the tests run on: what is claimed on others is tested beside the store."""
    monkeypatch.setattr(overwriting, "in_place", lambda _device: True)


def quiet(_what: str, _done: int, _total: int) -> None:
    """No progress."""


def begin(corpus: Corpus) -> VaultStore:
    (corpus.root / "held").mkdir()
    held = corpus.root / "held"
    vault.create_vault(corpus.ws, "vault", corpus.root / "vault", keys=held / "ring", wrap=f"file:{held / 'master'}")
    return vault.vault(corpus.ws, "vault")[1]


def seal(corpus: Corpus, source: str = OKCUPID, origin: str = "corpus", *, remove_plain: bool = False) -> Sealed:
    return vault.seal(corpus.ws, "vault", origin, source=source, remove_plain=remove_plain, on_progress=quiet)


def okcupid_files(corpus: Corpus) -> dict[Path, bytes]:
    return {p: marker(p) for p in (corpus.corpus / "okcupid").rglob("*.jpg")}


def test_r8_one_order_destroys_the_key_and_with_it_every_copy(small: Corpus) -> None:
    store = begin(small)
    markers = okcupid_files(small)
    done = seal(small, remove_plain=True)
    assert (done.sealed, done.removed, done.left) == (13, 13, []), "12 photos and the list that came with them"
    assert not any((small.corpus / "okcupid").rglob("*.jpg"))
    assert list(holders(markers, small.root / "vault", small.root / "held")) == []
    trained_on = [sample.data for sample in small.open_dataset("faces-panel")]
    assert seal(small, PANEL, remove_plain=True).removed > 0
    assert [sample.data for sample in small.open_dataset("faces-panel")] == trained_on, "training reads on"
    shutil.copytree(small.root / "vault", small.root / "backup-of-vault")

    small.ready()
    applied = small.apply()
    assert applied.gone["D4"] == 13
    assert small.verify().passed
    backup = VaultStore(store.id, str(small.root / "backup-of-vault"), store.keys, store.wrap)
    assert not any(m for m in backup.scan() if getattr(m, "stamp", "") and m.object == OKCUPID)
    assert not (small.root / "vault" / OKCUPID).exists(), "tidied"
    with opened(store.keys) as keys:
        assert sum(s is not None and s.state is State.LIVE for s in keys.slots()) == 3, "the panel's source and people"


def test_r8_an_order_claims_less_while_a_copy_of_the_ring_is_out(small: Corpus) -> None:
    begin(small)
    seal(small, remove_plain=True)
    made = vault.back_up_keys(small.ws, "vault", small.root / "held" / "copy", person=ADA)
    assert made.out
    small.ready()
    assert "D4" not in small.apply().gone
    _row, can = next((r, c) for r, c in registry.all_stores(small.ws) if r.id == "vault")
    assert "is not declared destroyed" in can.limits[0]
    vault.copy_destroyed(small.ws, "vault", made.number, person=ADA)
    assert {"KeyRingCopied", "KeyRingCopyDeclaredDestroyed", "PhotosSealed"} <= set(small.facts())


def test_sealing_goes_on_where_it_stopped_and_reads_back_before_it_removes(
    small: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(small)
    monkeypatch.setattr(vault, "BATCH", 4)
    real, calls = VaultStore.seal, []

    def stop(self: VaultStore, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VaultStore, "seal", stop)
    with pytest.raises(StoreError, match="full"):
        seal(small, remove_plain=True)
    assert len(list((small.corpus / "okcupid").rglob("*.jpg"))) == 12, "nothing in plain was removed"
    done = seal(small, remove_plain=True)
    assert (done.there, done.sealed, done.removed) == (8, 5, 13)
    again = seal(small)
    assert (again.there, again.sealed) == (0, 0), "there is nothing in plain any more"


def test_a_sealed_copy_that_does_not_read_back_keeps_its_plain_file(small: Corpus) -> None:
    store = begin(small)
    seal(small)
    (spoiled,) = sorted(Path(store.location).glob(f"{OKCUPID}/*/??/*"))[:1]
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    done = seal(small, remove_plain=True)
    assert (done.removed, len(done.left)) == (12, 1)
    assert "its plain file stays" in done.left[0].reason
    assert len([p for p in (small.corpus / "okcupid").rglob("*") if p.is_file()]) == 1


def test_a_plain_file_that_cannot_be_erased_is_named(small: Corpus) -> None:
    begin(small)
    photo = min((small.corpus / "okcupid").rglob("*.jpg"))
    (small.root / "other-name").hardlink_to(photo)
    done = seal(small, remove_plain=True)
    assert [(x.selector, "hard link" in x.reason) for x in done.left] == [(photo.name, True)]
    assert (done.removed, photo.exists()) == (12, True)


def test_what_was_changed_since_intake_is_left_and_named(small: Corpus) -> None:
    begin(small)
    photo = min((small.corpus / "okcupid").rglob("*.jpg"))
    photo.write_bytes(photo.read_bytes() + b"more")
    done = seal(small)
    assert (done.sealed, [x.reason for x in done.left]) == (12, ["it is not what was taken in"])


def test_items_that_an_order_blocks_are_left_where_its_plan_found_them(small: Corpus) -> None:
    begin(small)
    small.open_order()
    done = seal(small, remove_plain=True)
    assert (done.sealed, done.removed, done.blocked) == (0, 0, 13)


def test_a_folder_of_a_store_is_sealed_alone(small: Corpus) -> None:
    begin(small)
    done = seal(small, origin=str(small.corpus / "okcupid" / "part-001"))
    assert done.sealed == len(list((small.corpus / "okcupid" / "part-001").glob("*.jpg")))
    assert seal(small, origin=str(small.corpus / "okcupid" / "part-00")).sealed == 0, "a name is no beginning of one"
    with pytest.raises(NotFound):
        seal(small, origin=str(small.root / "nowhere"))
    with pytest.raises(NotFound):
        seal(small, "no-such-source")
    with pytest.raises(InvalidValue, match="not a vault"):
        vault.vault(small.ws, "corpus")
    with pytest.raises(InvalidValue, match="into itself"):
        seal(small, MEMBERS, "vault")


def test_vault_ring_and_master_key_lie_apart(small: Corpus) -> None:
    root, ws = small.root, small.ws
    (root / "held").mkdir()
    with pytest.raises(InvalidValue, match="overlaps store"):
        vault.create_vault(ws, "around", root, keys=root.parent / "k", wrap=f"file:{root.parent}/m")
    master = f"file:{root / 'held' / 'master'}"
    for location, keys, wrap in (
        (root / "vault", root / "vault" / "ring", master),
        (root / "vault", root / "held" / "ring", f"file:{root / 'vault' / 'master'}"),
        (root / "vault", small.corpus / "ring", master),
        (small.corpus / "vault", root / "held" / "ring", master),
        (root, root.parent / "ring", f"file:{root.parent / 'master'}"),
    ):
        with pytest.raises(InvalidValue):
            vault.create_vault(ws, "vault", location, keys=keys, wrap=wrap)
    assert not (root / "vault").exists()
    assert not (root / "held" / "master").exists()
    begin_again = vault.create_vault(ws, "vault", root / "vault", keys=None, wrap=master)
    assert begin_again == ("vault", True)
    assert "beside the vault" in vault.vault(ws, "vault")[1].capability().limits[0]
    with pytest.raises(InvalidValue, match="overlaps store vault"):
        vault.create_vault(ws, "vault-2", root / "vault", keys=root / "held" / "ring", wrap=master)
    with pytest.raises(AlreadyExists):
        vault.create_vault(ws, "vault-2", root / "vault-2", keys=root / "vault.keys", wrap=master)


def test_after_a_rotation_the_books_name_the_new_master_key(small: Corpus) -> None:
    begin(small)
    seal(small)
    count, wrap = vault.rotate(small.ws, "vault", f"file:{small.root / 'held' / 'new'}", person=ADA)
    assert (count, wrap) == (1, f"file:{small.root / 'held' / 'new'}")
    (small.root / "held" / "master").unlink()
    store = vault.vault(small.ws, "vault")[1]
    member = next(m for m in store.scan() if getattr(m, "stamp", ""))
    assert store.read(member.object, member.selector)
    assert keeping.report(store).against == ()
    assert "KeysRewrapped" in small.facts()
