"""Record files, environments and HDF5 files for the tests, written by the other tools: `tfrecord`, lmdb, h5py, MXNet's framing."""

import shutil
import struct
from pathlib import Path

import h5py
import lmdb
import numpy as np
from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

from unsee.stores.hdf5 import open_hdf5
from unsee.stores.lmdb import open_lmdb
from unsee.stores.tfrecord import open_tfrecord
from unsee.testing.stores import store_id

MAGIC = struct.pack("<I", 0xCED7230A)


class LocalHarness:
    """All lies below one directory."""

    local = True
    kills = 12

    def make(self, at: Path):
        root = at / "root"
        (root / "deep").mkdir(parents=True)
        (at / "outside").mkdir()
        (root / "leads-out").symlink_to(at / "outside")
        (root / f"link{self.ending}").symlink_to(at / "outside" / f"x{self.ending}")
        return self.open(store_id(), str(root), self.options)

    @property
    def escapes(self):
        names = ("../x", "deep/../../x", "/etc/x", "leads-out/x", "link")
        return *((f"{name}{self.ending}", "alpha.jpg") for name in names), (".", "alpha.jpg"), ("", "alpha.jpg")

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).rglob("*") if path.is_file() and not path.is_symlink()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class TfRecordHarness(LocalHarness):
    ending = ".tfrecord"
    objects = ("train.tfrecord-00000-of-00002", "deep/train.tfrecord")
    open = staticmethod(open_tfrecord)

    def __init__(self, pack=None, **options):
        self.pack, self.options = pack, {"key": "id", **options}
        self.plain = pack is None

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        rows = (examples(path, self.pack) if path.exists() else {}) | {selector: data}
        write_examples(path, rows, self.pack)

    def foreign_contents(self, store):
        return {
            (name, key): data
            for name in self.objects
            for key, data in examples(Path(store.location, name), self.pack).items()
        }


def write_examples(path, rows, pack=None):
    writer = TFRecordWriter(str(path))
    for key, data in rows.items():
        writer.write(
            {"id": (key.encode(), "byte"), "image/encoded": (data, "byte"), "label": (-7, "int"), "w": (0.5, "float")}
        )
    writer.close()
    if pack is not None:
        path.write_bytes(pack(path.read_bytes()))


def examples(path, pack=None):
    kind = {"id": "byte", "image/encoded": "byte"}
    with path.open("rb") as file:  # the package asks for the size by name again: the limits say what that does
        name = f"/proc/self/fd/{file.fileno()}"
        read = tfrecord_loader(name, None, kind, compression_type=None if pack is None else "gzip")
        return {row["id"].decode(): bytes(row["image/encoded"]) for row in read}


class RecordIoHarness(LocalHarness):
    """As `mxnet.recordio.MXIndexedRecordIO` writes: `pack(IRHeader(0, label, id, 0), picture)`, and an index of keys."""

    ending = ".rec"
    objects = ("faces.rec", "deep/more.rec")
    open = staticmethod(open_tfrecord)

    def __init__(self, **options):
        self.options = {"key": "id", **options}

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        rows = (records(path) if path.exists() else {}) | {selector: data}
        write_records(path, rows)

    def foreign_contents(self, store):
        return {(name, key): data for name in self.objects for key, data in records(Path(store.location, name)).items()}


def frame(record):
    """dmlc::RecordIOWriter::WriteRecord: split at each aligned magic number."""
    cuts = [at for at in range(0, len(record) - 3, 4) if record[at : at + 4] == MAGIC]
    parts, begin = [], 0
    for at in cuts:
        parts.append(record[begin:at])
        begin = at + 4
    parts.append(record[begin:])
    out = b""
    for n, part in enumerate(parts):
        kind = 0 if len(parts) == 1 else 1 if n == 0 else 3 if n == len(parts) - 1 else 2
        out += MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)
    return out


def unframe(data):
    """dmlc::RecordIOReader::NextRecord: offset and record."""
    at, parts, begun = 0, [], 0
    while at < len(data):
        magic, word = struct.unpack_from("<4sI", data, at)
        assert magic == MAGIC, at
        if word >> 29 in {0, 1}:
            parts, begun = [], at
        length = word & (1 << 29) - 1
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length + -length % 4
        if word >> 29 in {0, 3}:
            yield begun, MAGIC.join(parts)


def write_records(path, rows):
    data, index = b"", ""
    for key, picture in rows.items():
        index += f"{key}\t{len(data)}\n"
        data += frame(struct.pack("<IfQQ", 2, 0.0, int(key), 0) + struct.pack("<2f", 1.0, 2.0) + picture)
    path.write_bytes(data)
    path.with_suffix(".idx").write_text(index)


def records(path):
    return {str(struct.unpack_from("<Q", r, 8)[0]): r[32:] for _, r in unframe(path.read_bytes())}


class LmdbHarness(LocalHarness):
    ending = ".mdb"
    objects = ("faces.lmdb/data.mdb", "deep/one.lmdb")
    siblings = ("alpha.json",)
    open = staticmethod(open_lmdb)

    def __init__(self, database=None, **options):
        self.database, self.options = database, {"samples": "true", **options}

    def put(self, store, object_name, selector, data):
        key = selector.removeprefix("images/").encode()
        with environment(store, object_name) as opened:
            database = opened.open_db(self.database and self.database.encode())
            with opened.begin(write=True, db=database) as transaction:
                transaction.put(key, data)

    def foreign_contents(self, store):
        """As loaders open it: for reading, without locks."""
        found = {}
        for name in self.objects:
            with (
                environment(store, name, readonly=True, lock=False) as opened,
                opened.begin(db=opened.open_db(self.database and self.database.encode(), create=False)) as transaction,
            ):
                before = f"{self.database}/" if self.database else ""
                found |= {(name, before + key.decode()): data for key, data in transaction.cursor()}
        return found


def environment(store, object_name, **how):
    path = Path(store.location, object_name)
    if path.name == "data.mdb":
        path = path.parent
    path.parent.mkdir(parents=True, exist_ok=True)
    return lmdb.open(str(path), map_size=1 << 20, max_dbs=4, subdir=object_name.endswith("data.mdb"), **how)


class Hdf5Harness(LocalHarness):
    ending = ".h5"
    objects = ("faces.h5", "deep/more.hdf5")
    open = staticmethod(open_hdf5)

    def __init__(self, rows=False, **options):
        self.rows, self.options = rows, {**({"data": "images", "key": "ids"} if rows else {}), **options}

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        held = hdf5_contents(path, self.rows) if path.exists() else {}
        held[selector] = data
        with h5py.File(path, "w", userblock_size=512) as file:
            file.attrs["made by"] = "the other tool"
            if self.rows:
                images = file.create_dataset(
                    "images", (len(held),), h5py.vlen_dtype("u1"), maxshape=(None,), chunks=(2,)
                )
                for n, one in enumerate(held.values()):
                    images[n] = np.frombuffer(one, "u1")
                file["ids"] = list(held)
                file["labels"] = np.arange(len(held))
            else:
                for name, one in held.items():
                    file[name] = np.frombuffer(one, "u1")

    def foreign_contents(self, store):
        return {
            (name, key): data
            for name in self.objects
            for key, data in hdf5_contents(Path(store.location, name), self.rows).items()
        }


def hdf5_contents(path, rows):
    with h5py.File(path, "r") as file:
        if rows:
            return {key.decode(): row.tobytes() for key, row in zip(file["ids"], file["images"], strict=True)}
        return {name: file[name][()].tobytes() for name in file}
