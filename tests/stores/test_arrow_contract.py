"""The Arrow store through the contract suite: files of pyarrow with dictionaries, and streams of Hugging Face datasets."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from unsee.stores.arrow import open_arrow
from unsee.testing.stores import StoreContract, store_id


def read(path):
    with pa.OSFile(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


class ArrowHarness:
    objects = ("train/data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow")
    escapes = (
        ("../x.arrow", "alpha.jpg"),
        ("train/../../x.arrow", "alpha.jpg"),
        ("/etc/x.arrow", "alpha.jpg"),
        (".", "alpha.jpg"),
        ("leads-out/x.arrow", "alpha.jpg"),
    )

    def __init__(self, writer, **options):
        self.writer, self.options = writer, options

    def make(self, at: Path):
        (at / "root").mkdir()
        (at / "outside").mkdir()
        (at / "outside" / "x.arrow").write_bytes(b"not of this store")
        (at / "root" / "leads-out").symlink_to(at / "outside")
        return open_arrow(store_id(), str(at / "root"), {"data": "jpg", "key": "id", **self.options})

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        old = read(path).select(["id", "jpg"]).to_pylist() if path.exists() else []
        rows = {row["id"]: row["jpg"] for row in old} | {selector: data}
        columns = {"id": list(rows), "jpg": list(rows.values())}
        if self.writer == "datasets":
            from datasets.arrow_writer import ArrowWriter

            with ArrowWriter(path=str(path), writer_batch_size=2) as writer:
                for key, jpg in rows.items():
                    writer.write({"id": key, "jpg": jpg})
                writer.finalize()
        else:
            table = pa.table(columns | {"who": pa.array(columns["id"]).dictionary_encode()})
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table, max_chunksize=2)

    def foreign_contents(self, store):
        rows = {name: read(Path(store.location, name)).to_pylist() for name in self.objects}
        return {(name, row["id"]): row["jpg"] for name, found in rows.items() for row in found}

    def raw_finds(self, store, marker):
        files = [p for p in Path(store.location).rglob("*") if p.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class TestArrowOfDatasets(StoreContract):
    @pytest.fixture
    def harness(self):
        return ArrowHarness("datasets")


class TestArrowOfPyarrowWithZeros(StoreContract):
    @pytest.fixture
    def harness(self):
        return ArrowHarness("pyarrow", zero="true")
