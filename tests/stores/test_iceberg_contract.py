"""Iceberg tables through the contract suite: written by pyiceberg, plain and partitioned by the key."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError

from unsee.stores.iceberg import open_iceberg
from unsee.testing.stores import StoreContract, store_id

SCHEMA = pa.schema([("name", pa.string()), ("image", pa.binary()), ("caption", pa.string())])


def catalog_of(root):
    return SqlCatalog("default", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}")


class IcebergHarness:
    objects = ("photos.faces", "photos.more")
    escapes = (("..", "alpha.jpg"), ("/etc", "alpha.jpg"), ("photos/faces", "alpha.jpg"), ("", "alpha.jpg"))
    kills = 12
    partitioned = False

    def make(self, at: Path):
        root = at / "root"
        root.mkdir()
        options = {"data": "image", "key": "name", "settled_s": "0", "catalog": f"sqlite:///{root}/catalog.db"}
        catalog = catalog_of(root)
        catalog.close()
        return open_iceberg(store_id(), str(root), options)

    def put(self, store, object_name, selector, data):
        catalog = catalog_of(store.location)
        try:
            catalog.create_namespace_if_not_exists("photos")
            try:
                table = catalog.load_table(object_name)
                if table.scan(row_filter=f"name == '{selector}'").to_arrow().num_rows:
                    table.delete(f"name == '{selector}'")
            except NoSuchTableError:
                table = catalog.create_table(object_name, SCHEMA)
                if self.partitioned:
                    with table.update_spec() as change:
                        change.add_identity("name")
            row = {"name": [selector], "image": [data], "caption": [f"caption of {selector}"]}
            table.append(pa.table(row, schema=SCHEMA))
        finally:
            catalog.close()

    def foreign_contents(self, store):
        """Through pyiceberg; as readers do when files of the snapshot that they began with are gone, it begins again."""
        found = {}
        catalog = catalog_of(store.location)
        try:
            for object_name in self.objects:
                for left in range(9, -1, -1):
                    try:
                        table = catalog.load_table(object_name).scan().to_arrow()
                        break
                    except OSError:
                        if not left:
                            raise
                rows = zip(table["name"].to_pylist(), table["image"].to_pylist(), strict=True)
                found.update({(object_name, name): data for name, data in rows})
        finally:
            catalog.close()
        return found

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).rglob("*") if path.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def forgives(self, failed, outcome):
        """SQLite goes on where the flush of the catalog's directory fails; the store flushes it once more and says what fails."""
        return failed.call.startswith("fdatasync ") and failed.call.endswith("/root")

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class PartitionedHarness(IcebergHarness):
    partitioned = True
    kills = 5


class TestIcebergStore(StoreContract):
    @pytest.fixture
    def harness(self):
        return IcebergHarness()

    @pytest.mark.slow
    def test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(self, harness, fill, tmp_path):
        super().test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(harness, fill, tmp_path)


class TestIcebergStorePartitionedByKey(TestIcebergStore):
    @pytest.fixture
    def harness(self):
        return PartitionedHarness()
