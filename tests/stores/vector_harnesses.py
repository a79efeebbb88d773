"""Index files for the tests, written by FAISS and usearch themselves."""

import shutil
from functools import lru_cache
from pathlib import Path

import faiss
import numpy as np
from usearch.index import Index

from unsee.stores.vectors.store import open_faiss, open_usearch
from unsee.testing.stores import marked, store_id

faiss.omp_set_num_threads(1)  # waiting threads spin, and the cores are shared
DIMENSIONS = 175
NAMES = ("11", "12", "13", "9223372036854775807")
ESCAPES = (
    (".", "11"),
    ("..", "11"),
    ("../faces.faiss", "11"),
    ("/etc/passwd", "11"),
    ("people//faces.faiss", "11"),
    ("leads-out/faces.faiss", "11"),
    ("link.faiss", "11"),
    ("", "11"),
)


def finite(object_name, selector, length=700):
    """`marked` bytes as float32 numbers near one: no index takes NaN everywhere."""
    words = np.frombuffer(marked(object_name, selector, 700) + length.to_bytes(4, "little"), "<u4")[:DIMENSIONS].copy()
    words[-1] ^= length
    return ((words & 0x807FFFFF) | 0x3F800000).astype("<u4").tobytes()


def one(data):
    return np.frombuffer(data, "<f4").reshape(1, -1)


class Harness:
    """What FAISS and usearch stores share; everything lies below one directory."""

    escapes = ESCAPES
    local = True
    kills = 8

    def make(self, at: Path):
        root = at / "root"
        (root / "people").mkdir(parents=True)
        (at / "outside").mkdir()
        (root / "leads-out").symlink_to(at / "outside")
        (root / "link.faiss").symlink_to(at / "outside" / "faces.faiss")
        return self.open(store_id(), str(root), self.options)

    def raw_finds(self, store, marker):
        files = [path for path in Path(store.location).rglob("*") if path.is_file()]
        return [str(path) for path in files if marker in path.read_bytes()]

    def take_root_away(self, store):
        shutil.move(store.location, store.location + "-unmounted")


class FaissHarness(Harness):
    objects = ("faces.faiss", "people/ann.index")
    open = staticmethod(open_faiss)

    def __init__(self, recipe="IDMap2,Flat", trained=0, **options):
        self.recipe, self.trained, self.options = recipe, trained, options

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        if path.exists():
            index = faiss.read_index(str(path))
            old = _rows(index)
        else:
            index, old = self.empty(), {}
        label = int(selector)
        if label in old:
            index = self.empty()
            for other, vector in old.items():
                if other != label:
                    index.add_with_ids(vector, np.array([other]))
        index.add_with_ids(one(data), np.array([label]))
        faiss.write_index(index, str(path))

    def empty(self):
        return faiss.deserialize_index(np.frombuffer(_trained(self.recipe, self.trained), "u1"))

    def foreign_contents(self, store):
        found = {}
        for object_name in self.objects:
            rows = _rows(faiss.read_index(str(Path(store.location, object_name))))
            found |= {(object_name, str(label)): vector.tobytes() for label, vector in rows.items()}
        return found


@lru_cache
def _trained(recipe, vectors):
    index = faiss.index_factory(DIMENSIONS, recipe)
    if vectors:
        index.train(np.random.default_rng(1).standard_normal((vectors, DIMENSIONS)).astype("f4"))
    return faiss.serialize_index(index).tobytes()


def _rows(index):
    if hasattr(index, "id_map"):
        ids = faiss.vector_to_array(index.id_map)
        return {int(label): index.index.reconstruct(row).reshape(1, -1) for row, label in enumerate(ids)}
    lists, found = faiss.downcast_InvertedLists(index.invlists), {}
    for number in range(lists.nlist):
        for place in range(lists.list_size(number)):
            vector = np.empty(DIMENSIONS, "f4")
            index.reconstruct_from_offset(number, place, faiss.swig_ptr(vector))
            found[lists.get_single_id(number, place)] = vector.reshape(1, -1)
    return found


class UsearchHarness(Harness):
    objects = ("faces.usearch", "people/ann.usearch")
    open = staticmethod(open_usearch)

    def __init__(self, **options):
        self.options = options

    def put(self, store, object_name, selector, data):
        path = Path(store.location, object_name)
        index = Index(ndim=DIMENSIONS, metric="cos", dtype="f32")
        if path.exists():
            old = Index.restore(str(path))
            for key in (int(key) for key in old.keys):
                if key != int(selector):
                    index.add(key, old.get(key))
        index.add(int(selector), one(data)[0])
        index.save(str(path))

    def foreign_contents(self, store):
        found = {}
        for object_name in self.objects:
            index = Index.restore(str(Path(store.location, object_name)))
            found |= {(object_name, str(int(key))): index.get(key).tobytes() for key in index.keys}
        return found
