"""The Parquet store through the contract suite: files written by pyarrow, by polars, and by Hugging Face datasets."""

import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.stores.parquet import open_parquet
from unsee.testing.stores import StoreContract, store_id


class ParquetHarness:
    objects = ("train-00000-of-00002.parquet", "deep/er/train-00001-of-00002.parquet")
    escapes = (
        ("../x.parquet", "alpha.jpg"),
        ("deep/../../x.parquet", "alpha.jpg"),
        ("/etc/x.parquet", "alpha.jpg"),
        (".", "alpha.jpg"),
        ("", "alpha.jpg"),
        ("leads-out/x.parquet", "alpha.jpg"),
        ("link.parquet", "alpha.jpg"),
    )

    def __init__(self, writer="pyarrow", **options):
        self.writer, self.options = writer, options

    def make(self, at: Path):
        (at / "root").mkdir()
        (at / "outside").mkdir()
        pq.write_table(pa.table({"id": ["alpha.jpg"], "jpg": [b"other"]}), at / "outside" / "x.parquet")
        (at / "root" / "leads-out").symlink_to(at / "outside")
        (at / "root" / "link.parquet").symlink_to(at / "outside" / "x.parquet")
        options = {"data": "jpg", "key": "id", **self.options}
        return open_parquet(store_id(), str(at / "root"), options)

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        old = pq.read_table(path).select(["id", "jpg"]).to_pylist() if path.exists() else []
        rows = {row["id"]: row["jpg"] for row in old} | {selector: data}
        caption = [f"caption of {key}" for key in rows]
        table = pa.table({"id": list(rows), "jpg": list(rows.values()), "caption": caption})
        if self.writer == "polars":
            pl.from_arrow(table).write_parquet(path, row_group_size=2, compression="uncompressed")
        else:
            pq.write_table(table, path, row_group_size=2, compression="none", write_page_index=True)

    def foreign_contents(self, store):
        """By a reader that opens the file once; those that open its name again may fail in between, as the limits say."""
        found = {}
        for name in self.objects:
            with pq.ParquetFile(Path(store.location, name)) as file:
                found |= {(name, row["id"]): row["jpg"] for row in file.read(["id", "jpg"]).to_pylist()}
        return found

    def raw_finds(self, store, marker):
        found = []
        for path in Path(store.location).rglob("*"):
            if path.is_file() and not path.is_symlink():
                if marker in path.read_bytes():
                    found.append(str(path))
                if path.suffix == ".parquet":
                    rows = pq.read_table(path).to_pylist()
                    found.extend(f"{path}: {row['id']}" for row in rows if marker in row["jpg"])
        return found

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class TestParquetOfPyarrow(StoreContract):
    @pytest.fixture
    def harness(self):
        return ParquetHarness()


class TestParquetOfPolarsWithZeros(StoreContract):
    @pytest.fixture
    def harness(self):
        return ParquetHarness("polars", zero="true")
