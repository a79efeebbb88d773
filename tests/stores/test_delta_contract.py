"""Delta tables through the contract suite: written by delta-rs, by polars, and partitioned by the key."""

import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from unsee.stores.delta import open_delta
from unsee.testing.stores import StoreContract, store_id

OPTIONS = {"data": "image", "key": "name", "settled_s": "0"}


class DeltaHarness:
    objects = ("photos", "more/faces")
    escapes = (
        ("..", "alpha.jpg"),
        ("/etc", "alpha.jpg"),
        ("photos/../..", "alpha.jpg"),
        ("", "alpha.jpg"),
        ("leads-out", "alpha.jpg"),
    )
    kills = 12
    partition_by: list[str] | None = None

    def make(self, at: Path):
        (at / "root").mkdir()
        (at / "outside").mkdir()
        (at / "root" / "leads-out").symlink_to(at / "outside")
        return open_delta(store_id(), str(at / "root"), OPTIONS)

    def put(self, store, object_name, selector, data):
        table = Path(store.location, object_name)
        if DeltaTable.is_deltatable(str(table)):
            DeltaTable(str(table)).delete(f"name = '{selector}'")
        table.parent.mkdir(parents=True, exist_ok=True)
        self.append(str(table), {"name": [selector], "image": [data], "caption": [f"caption of {selector}"]})

    def append(self, table, columns):
        write_deltalake(table, pa.table(columns), mode="append", partition_by=self.partition_by)

    def foreign_contents(self, store):
        """Through delta-rs; as readers do when files of the version that they began with are gone, it begins again."""
        found = {}
        for object_name in self.objects:
            for left in range(9, -1, -1):
                try:
                    table = DeltaTable(str(Path(store.location, object_name))).to_pyarrow_table()
                    break
                except (OSError, DeltaError):
                    if not left:
                        raise
            rows = zip(table["name"].to_pylist(), table["image"].to_pylist(), strict=True)
            found.update({(object_name, name): data for name, data in rows})
        return found

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).rglob("*") if path.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class PolarsHarness(DeltaHarness):
    def append(self, table, columns):
        pl.DataFrame(columns).write_delta(table, mode="append")


class PartitionedHarness(DeltaHarness):
    partition_by = ["name"]  # noqa: RUF012


class TestDeltaStore(StoreContract):
    @pytest.fixture
    def harness(self):
        return DeltaHarness()

    @pytest.mark.slow  # the kills at system calls are a stricter sample
    def test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(self, harness, fill, tmp_path):
        super().test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(harness, fill, tmp_path)


class TestDeltaStoreOfPolars(TestDeltaStore):
    @pytest.fixture
    def harness(self):
        return PolarsHarness()


class TestDeltaStorePartitionedByKey(TestDeltaStore):
    @pytest.fixture
    def harness(self):
        return PartitionedHarness()
