"""Lance datasets and LanceDB tables through the contract suite, written by lance and by lancedb."""

import shutil
from pathlib import Path

import lance
import lancedb
import pyarrow as pa
import pytest

from unsee.stores.registry import open_store
from unsee.testing.stores import StoreContract, store_id


def read(open_table, objects):
    """All rows of the newest version, as a reader does it that opens the table again where a version's files went while it read."""
    found = {}
    for name in objects:
        for attempt in range(20):
            try:
                table = open_table(name)
                found.update({(name, row["name"]): row["picture"] for row in table.to_pylist()})
                break
            except (OSError, ValueError, RuntimeError):
                if attempt == 19:
                    raise
    return found


class LanceHarness:
    local = True
    kills = 24
    objects = ("faces.lance", "by/day/cr\\\\ops.lance")
    escapes = (
        ("..", "alpha.jpg"),
        ("../faces.lance", "alpha.jpg"),
        ("/etc", "alpha.jpg"),
        ("", "alpha.jpg"),
        ("by//day", "alpha.jpg"),
        ("by/day/", "alpha.jpg"),
        ("leads-out/faces.lance", "alpha.jpg"),
        ("out.lance", "alpha.jpg"),
    )

    def make(self, at):
        root, outside = at / "root", at / "outside"
        root.mkdir()
        lance.write_dataset(self.table("alpha.jpg", b"not of this store"), str(outside / "faces.lance"))
        (root / "leads-out").symlink_to(outside)
        (root / "out.lance").symlink_to(outside / "faces.lance")
        return open_store(store_id(), "lance", str(root), {"key": "name", "data": "picture"})

    def table(self, selector, data):
        return pa.table(
            {
                "name": [selector],
                "picture": pa.array([data], pa.large_binary()),
                "caption": [f"a caption of {selector} {data[:8].hex()}"],
            }
        )

    def put(self, store, object_name, selector, data):
        place = Path(store.location, object_name.replace("\\\\", "\\"))
        table = self.table(selector, data)
        if not place.exists():
            lance.write_dataset(table, str(place))
            return
        dataset = lance.dataset(str(place))
        dataset.merge_insert("name").when_matched_update_all().when_not_matched_insert_all().execute(table)

    def foreign_contents(self, store):
        def opened(name):
            return lance.dataset(str(Path(store.location, name.replace("\\\\", "\\")))).to_table()

        return read(opened, self.objects)

    def raw_finds(self, store, marker):
        return [str(file) for file in Path(store.location).rglob("*") if file.is_file() and marker in file.read_bytes()]

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class LanceDBHarness(LanceHarness):
    objects = ("faces.lance", "crops.lance")

    def put(self, store, object_name, selector, data):
        database = lancedb.connect(store.location)
        name = object_name.removesuffix(".lance")
        table = self.table(selector, data)
        if name not in database.list_tables().tables:
            database.create_table(name, table)
            return
        into = database.open_table(name)
        into.merge_insert("name").when_matched_update_all().when_not_matched_insert_all().execute(table)

    def foreign_contents(self, store):
        database = lancedb.connect(store.location)
        return read(lambda name: database.open_table(name.removesuffix(".lance")).to_arrow(), self.objects)


class TestLance(StoreContract):
    @pytest.fixture
    def harness(self):
        return LanceHarness()


class TestLanceDB(StoreContract):
    @pytest.fixture
    def harness(self):
        return LanceDBHarness()
