"""The file store through the contract suite, with and without overwriting."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from unsee.stores.files import FileStore
from unsee.stores.names import components, spell, unspell
from unsee.testing.stores import StoreContract, store_id


class FileHarness:
    objects = (".", "people/ann", "people/ann/deep\\x0aer", "\\xff\\\\")
    escapes = (
        (".", "../passwd"),
        (".", ".."),
        (".", "."),
        (".", ""),
        ("people/ann", "/etc/passwd"),
        ("people/ann", "deep\\x0aer/alpha.jpg"),
        ("people/ann", "nul\0.jpg"),
        ("people/ann", "\\x2e\\x2e"),
        ("people/ann", "\\x2f"),
        ("people/ann", "\\x61lpha.jpg"),
        ("people/ann", "lone \udcff surrogate"),
        ("..", "alpha.jpg"),
        ("people/../..", "alpha.jpg"),
        ("/etc", "passwd"),
        ("", "alpha.jpg"),
        ("people//ann", "alpha.jpg"),
        ("people/ann/", "alpha.jpg"),
        ("./people", "alpha.jpg"),
        ("leads-out", "alpha.jpg"),
        ("people/leads-out/deeper", "alpha.jpg"),
    )

    local = True

    def __init__(self, *, overwrite):
        self.overwrite = overwrite

    def make(self, at: Path) -> FileStore:
        root, outside = at / "root", at / "outside"
        (outside / "deeper").mkdir(parents=True)
        (outside / "alpha.jpg").write_bytes(b"not of this store")
        (outside / "deeper" / "alpha.jpg").write_bytes(b"not of this store")
        (root / "people").mkdir(parents=True)
        (root / "leads-out").symlink_to(outside)
        (root / "people" / "leads-out").symlink_to(outside)
        return FileStore(store_id(), str(root), overwrite=self.overwrite)

    def put(self, store, object_name, selector, data):
        path = Path(store.location, *map(os.fsdecode, components(object_name)), os.fsdecode(unspell(selector)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).rglob("*") if path.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def foreign_contents(self, store):
        """As a training job reads a folder: every file whose name and directories do not begin with a dot."""
        found = {}
        for above, inner, names in os.walk(os.fsencode(store.location)):
            inner[:] = [name for name in inner if not name.startswith(b".")]
            place = os.path.relpath(above, os.fsencode(store.location)).split(b"/")
            for name in names:
                with suppress(FileNotFoundError), open(os.path.join(above, name), "rb") as file:  # noqa: PTH118, PTH123
                    found["/".join(spell(part) for part in place), spell(name)] = file.read()
        return found

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class TestFileStore(StoreContract):
    @pytest.fixture
    def harness(self):
        return FileHarness(overwrite=False)


class TestFileStoreThatOverwrites(StoreContract):
    @pytest.fixture
    def harness(self):
        return FileHarness(overwrite=True)
