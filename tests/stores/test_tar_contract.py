"""The store of tar shards through the contract suite; the shards are written and read by the `webdataset` package."""

import io
import tarfile
from pathlib import Path

import pytest
import webdataset
import zstandard

from unsee.stores.tar import open_tar
from unsee.testing.stores import StoreContract, store_id


def webdataset_reads(path: str) -> dict[str, bytes]:
    """Names and bytes as webdataset's own reader hands them out."""
    with zstandard.open(path, "rb") if path.endswith(".zst") else Path(path).open("rb") as stream:
        return {found["fname"]: found["data"] for found in webdataset.tariterators.tar_file_iterator(stream)}


class TarHarness:
    local = True
    moves = True
    siblings = ("alpha.json", "alpha.cls")
    escapes = (
        ("..", "alpha.jpg"),
        ("../train.tar", "alpha.jpg"),
        ("/etc/train.tar", "alpha.jpg"),
        (".", "alpha.jpg"),
        ("", "alpha.jpg"),
        ("people//ann.tar", "alpha.jpg"),
        ("leads-out.tar", "alpha.jpg"),
        ("leads-out/train.tar", "alpha.jpg"),
        ("people/\\x2e\\x2e", "alpha.jpg"),
    )

    def __init__(self, suffix=".tar", mode="in-place"):
        self.mode, self.suffix = mode, suffix
        self.objects = (f"train-000000{suffix}", f"people/ann{suffix}")
        self.escapes = (*self.escapes, (self.objects[0], "\\x61lpha.jpg"), (self.objects[0], "lone \udcff surrogate"))
        self.escapes = (*self.escapes, (self.objects[0], ""), (self.objects[0], "\\@"))

    def make(self, at):
        root, outside = at / "root", at / "outside"
        outside.mkdir()
        (outside / "train.tar").write_bytes(b"not of this store")
        (root / "people").mkdir(parents=True)
        (root / "leads-out.tar").symlink_to(outside / "train.tar")
        (root / "leads-out").symlink_to(outside)
        return open_tar(store_id(), str(root), {"mode": self.mode})

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = self._entries(path) if path.exists() else []
        with io.BytesIO() as made:
            with webdataset.TarWriter(made, encoder=False, compress=self.suffix.endswith("gz")) as writer:
                for entry, kept in before:
                    if entry.name == selector:
                        continue
                    writer.tarstream.addfile(entry, io.BytesIO(kept))
                key, _, extension = selector.partition(".")
                writer.write({"__key__": key, extension: data})
            written = made.getvalue()
        path.write_bytes(zstandard.compress(written) if self.suffix.endswith("zst") else written)

    def _entries(self, path):
        raw = path.read_bytes()
        if self.suffix.endswith("zst"):
            raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
        with tarfile.open(fileobj=io.BytesIO(raw)) as reader:
            return [(entry, reader.extractfile(entry).read()) for entry in reader if entry.isreg()]

    def foreign_contents(self, store):
        return {
            (name, fname): data
            for name in self.objects
            for fname, data in webdataset_reads(str(Path(store.location, name))).items()
        }

    def raw_finds(self, store, marker):
        found = []
        for path in (path for path in Path(store.location).rglob("*") if path.is_file() and not path.is_symlink()):
            raw = path.read_bytes()
            if path.name.endswith("gz"):
                import gzip

                raw += gzip.decompress(raw)
            elif path.name.endswith("zst"):
                raw += zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
            if marker in raw:
                found.append(str(path))
        return found

    def take_root_away(self, store):
        Path(store.location).rename(store.location + "-unmounted")


class TestTarStore(StoreContract):
    @pytest.fixture
    def harness(self):
        return TarHarness()


class TestTarStoreThatCompacts(StoreContract):
    @pytest.fixture
    def harness(self):
        return TarHarness(mode="compact")


class TestGzipShards(StoreContract):
    @pytest.fixture
    def harness(self):
        return TarHarness(".tar.gz")


class TestZstdShards(StoreContract):
    @pytest.fixture
    def harness(self):
        return TarHarness(".tar.zst")
