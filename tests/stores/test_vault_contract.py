"""The vault through the contract suite: with a key a person, with people who keep other photos, and where no D4 can be claimed."""

import shutil
from pathlib import Path

import pytest

from unsee.core.evidence import Gone
from unsee.stores.contract import Target
from unsee.stores.vault import ring
from unsee.stores.vault.sealing import ToSeal
from unsee.stores.vault.store import VaultStore, create
from unsee.stores.vault.wrapping import FileWrapper
from unsee.testing.stores import StoreContract, marked, store_id


class VaultHarness:
    objects = ("okcupid-2014", "panel")
    escapes = (
        ("panel", "../passwd"),
        ("panel", ".."),
        ("panel", ""),
        ("panel", "deeper/alpha.jpg"),
        ("panel", "nul\0.jpg"),
        ("panel", "\\x2f"),
        ("..", "alpha.jpg"),
        (".", "alpha.jpg"),
        ("", "alpha.jpg"),
        ("/etc", "passwd"),
        ("panel/..", "alpha.jpg"),
        ("leads-out", "alpha.jpg"),
    )
    plain = False
    local = True

    def __init__(self, *, person=lambda selector: selector.encode(), overwrite=False, copied=False):
        self.person, self.overwrite, self.copied = person, overwrite, copied

        self.filled = None

    def make(self, at: Path) -> VaultStore:
        if self.filled is None:  # sealing waits for the disk: once is enough, a vault may be copied
            self.filled = at.with_name("filled")
            store = self.begin(self.filled)
            for object_name in self.objects:
                names = StoreContract.names
                store.seal(object_name, [ToSeal(n, [marked(object_name, n)], self.person(n)) for n in names])
            self.copy_ring(store)
        shutil.copytree(self.filled, at, dirs_exist_ok=True, symlinks=True)
        return self.store(at)

    def begin(self, at):
        (at / "outside" / "00000000-0000000000000000").mkdir(parents=True)
        (at / "keys").mkdir()
        FileWrapper(str(at / "master")).create()
        create(store := self.store(at))
        (at / "vault" / "leads-out").symlink_to(at / "outside")
        return store

    def store(self, at):
        wrap = f"file:{at / 'master'}"
        return VaultStore(store_id(), str(at / "vault"), str(at / "keys" / "ring"), wrap, overwrite=self.overwrite)

    def put(self, store, object_name, selector, data):
        (there,) = store.stamps(object_name, [selector])
        if there and store.read(object_name, selector) == data:
            return
        store.erase(object_name, [Target(selector)])
        store.seal(object_name, [ToSeal(selector, [data], self.person(selector))])
        self.copy_ring(store)

    def copy_ring(self, store):
        if self.copied:
            with ring.opened(store.keys, change=True) as keys:
                if not keys.copies() or keys.copies()[-1].holds < len(keys):
                    keys.register("/somewhere/ring.copy", now=1)

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).parent.rglob("*") if path.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def forgives(self, failed, outcome):
        """Once the key is destroyed nothing else need reach the disk; SQLite does without the flush of a journal."""
        in_the_vault = "/vault/" in failed.call
        return in_the_vault and (outcome.gone is Gone.D4 or failed.call.startswith("fdatasync "))

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class TestVault(StoreContract):
    @pytest.fixture
    def harness(self):
        return VaultHarness()


class TestVaultOfOnePersonASource(StoreContract):
    """Nobody loses all that they have: files go, keys stay."""

    @pytest.fixture
    def harness(self):
        return VaultHarness(person=lambda selector: b"" if selector.startswith("a") else b"one", overwrite=True)


class TestVaultWithACopyOfTheRing(StoreContract):
    """R8: while a copy of the ring is out, ciphertext goes too, and D4 is not claimed."""

    @pytest.fixture
    def harness(self):
        return VaultHarness(copied=True)
