"""What the contract does not say of FAISS and usearch indexes: types, side-cars, training, damaged files."""

import json
import os
from functools import lru_cache

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from usearch.index import Index

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.contract import Member, RawPart, Skipped, Target
from unsee.stores.registry import open_store
from unsee.stores.vectors import faissfile
from unsee.stores.vectors.opened import Block, Rest, same_rest
from unsee.testing.faults import kill_everywhere
from unsee.testing.stores import store_id

WIDE = 32
X = np.random.default_rng(5).standard_normal((300, WIDE)).astype("f4")
IDS = np.arange(300) * 7 + 3
GONE = (3, 10, 703)


faiss.omp_set_num_threads(1)  # waiting threads spin, and the cores are shared


@lru_cache
def trained(recipe):
    index = faiss.index_factory(WIDE, recipe)
    index.train(X)
    return faiss.serialize_index(index).tobytes()


def build(recipe, vectors=X, ids=None):
    index = faiss.deserialize_index(np.frombuffer(trained(recipe), "u1"))
    if ids is None:
        index.add(vectors)
    else:
        index.add_with_ids(vectors, ids)
    return index


def store_of(tmp_path, kind="faiss", **options):
    return open_store(store_id(), kind, str(tmp_path), options)


def targets(*ids):
    return [Target(str(label)) for label in ids]


def raw(store):
    return b"".join(b"".join(part.pieces) for part in store.raw() if isinstance(part, RawPart))


@pytest.mark.parametrize(
    "recipe",
    [
        *("IDMap,Flat", "IDMap2,SQ8", "IDMap2,SQfp16", "IDMap,PQ8x4", "IDMap,LSH", "IDMap,RaBitQ", "IDMap,PCA16,Flat"),
        *(
            "IVF4,Flat",
            "IVF4,PQ8x4",
            "IVF4,SQ8",
            "IVF4_HNSW8,Flat",
            "OPQ8,IVF4,PQ8x4",
            "PCA16,IVF4,Flat",
            "IVF4,RaBitQ",
        ),
        *("IDMap,HNSW8", "IDMap2,HNSW8,SQ8", "IDMap,HNSW8,PQ8x4", "IDMap,NSG8", "IDMap,PCA16,HNSW8"),
        *("IDMap2,IVF4,Flat", "IDMap2,IVF4,PQ8x4,RFlat"),
    ],
)
def test_each_type_of_faiss_loses_its_targets_and_nothing_else(tmp_path, recipe):
    faiss.write_index(build(recipe, ids=IDS), str(tmp_path / "a.faiss"))
    store = store_of(tmp_path)
    before = {m.selector: (m.stamp, store.read) for m in store.scan() if isinstance(m, Member)}
    vectors = dict(store.read_many("a.faiss", list(before)))
    outcome = store.erase("a.faiss", targets(*GONE))
    assert (set(outcome.erased), outcome.kept) == ({str(label) for label in GONE}, ())
    after = {m.selector: m.stamp for m in store.scan()}
    assert after == {name: stamp for name, (stamp, _) in before.items() if int(name) not in GONE}
    assert dict(store.read_many("a.faiss", list(after))) == {name: vectors[name] for name in after}
    index = faiss.read_index(str(tmp_path / "a.faiss"))
    assert index.ntotal == 297
    _, near = index.search(X, 3)
    assert not set(near.ravel().tolist()) & set(GONE)
    if "Flat" in recipe and "PQ" not in recipe and "PCA" not in recipe:
        data = raw(store)
        assert not [label for label in GONE if X[(label - 3) // 7].tobytes() in data]


def test_what_is_found_afterwards_is_what_a_fresh_index_finds(tmp_path):
    keep = ~np.isin(IDS, GONE)
    for recipe in ("IDMap,Flat", "IVF4,Flat"):
        faiss.write_index(build(recipe, ids=IDS), str(tmp_path / "a.faiss"))
        store_of(tmp_path).erase("a.faiss", targets(*GONE))
        fresh = build(recipe, ids=IDS)
        fresh.reset()
        fresh.add_with_ids(X[keep], IDS[keep])
        mine = faiss.read_index(str(tmp_path / "a.faiss")).search(X, 5)
        for ours, theirs in zip(mine, fresh.search(X, 5), strict=True):
            assert np.array_equal(np.sort(ours), np.sort(theirs))


def test_a_graph_is_grown_again_with_the_parameters_it_had(tmp_path):
    graph = faiss.IndexHNSWFlat(WIDE, 12, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 77, 33
    index = faiss.IndexIDMap(graph)
    index.add_with_ids(X, IDS)
    faiss.write_index(index, str(tmp_path / "a.faiss"))
    assert len(store_of(tmp_path).erase("a.faiss", targets(*GONE)).erased) == 3
    around = faiss.read_index(str(tmp_path / "a.faiss"))  # it owns the graph
    graph = faiss.downcast_index(around.index)
    assert (graph.hnsw.nb_neighbors(1), graph.hnsw.efConstruction, graph.hnsw.efSearch) == (12, 77, 33)
    assert (graph.metric_type, graph.hnsw.max_level >= 0) == (faiss.METRIC_INNER_PRODUCT, True)


def test_without_ids_only_the_last_rows_can_go(tmp_path):
    faiss.write_index(build("Flat"), str(tmp_path / "a.index"))
    store = store_of(tmp_path)
    outcome = store.erase("a.index", targets(5, 298, 299))
    assert (set(outcome.erased), [kept.selector for kept in outcome.kept]) == ({"298", "299"}, ["5"])
    assert "other numbers" in outcome.kept[0].reason
    assert "ids" in outcome.kept[0].reason
    assert store.read("a.index", "5") == X[5].tobytes()


def sidecar(path, names):
    if path.suffix == ".npy":
        np.save(path, np.array(names))
    elif path.suffix == ".json":
        path.write_text(json.dumps(names))
    elif path.suffix == ".csv":
        path.write_text("photo,label\n" + "".join(f'"{name}",{n}\n' for n, name in enumerate(names)))
    else:
        path.write_text("".join(f"{name}\n" for name in names))


@pytest.mark.parametrize("ids", [".ids.npy", ".json", ".csv", ".txt"])
@pytest.mark.parametrize("recipe", ["Flat", "HNSW8", "IVF4,PQ8x4,RFlat"])
def test_a_side_car_of_names_by_row_goes_with_its_index(tmp_path, ids, recipe):
    names = [f"photos/{n:03d}.jpg" for n in range(300)]
    faiss.write_index(build(recipe), str(tmp_path / "a.faiss"))
    sidecar(tmp_path / f"a{ids}", names)
    store = store_of(tmp_path, ids=ids)
    assert [m.selector for m in store.scan()] == names
    before = dict(store.read_many("a.faiss", names))
    going = [names[0], names[150], names[299]]
    assert set(store.erase("a.faiss", [Target(name) for name in going]).erased) == set(going)
    left = [name for name in names if name not in going]
    assert [m.selector for m in store.scan()] == left
    assert dict(store.read_many("a.faiss", left)) == {name: before[name] for name in left}
    assert not [name for name in going if name.encode() in raw(store)]
    assert b"photo,label" in raw(store) or ids != ".csv"


class Erase:
    def __init__(self, place):
        self.place = place

    def __call__(self):
        return store_of(self.place, ids=".ids.npy").erase("a.faiss", [Target("n1"), Target("n2")])


@pytest.mark.slow
def test_a_kill_between_index_and_side_car_mixes_nothing_up(tmp_path):
    names = [f"n{n}" for n in range(6)]

    def renew():
        for path in tmp_path.iterdir():
            path.unlink()
        faiss.write_index(build("Flat", X[:6]), str(tmp_path / "a.faiss"))
        np.save(tmp_path / "a.ids.npy", np.array(names))

    renew()
    store = store_of(tmp_path, ids=".ids.npy")
    kept = {name: X[n].tobytes() for n, name in enumerate(names) if name not in {"n1", "n2"}}
    for killed in kill_everywhere(Erase(tmp_path), reset=renew):
        assert dict(store.read_many("a.faiss", list(kept))) == kept, killed
        assert not store.erase("a.faiss", [Target("n1"), Target("n2")]).kept, killed
        assert [m.selector for m in store.scan()] == list(kept), killed
        assert dict(store.read_many("a.faiss", list(kept))) == kept, killed
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.faiss", "a.ids.npy"], killed


def test_entries_by_id_go_with_their_vectors_even_when_those_went_before(tmp_path):
    faiss.write_index(build("IDMap,Flat", ids=IDS), str(tmp_path / "a.faiss"))
    (tmp_path / "a.json").write_text(json.dumps({"3": "ann.jpg", "10": {"name": "bob"}, "17": "cy"}))
    store = store_of(tmp_path, ids=".json")
    store_of(tmp_path).erase("a.faiss", targets(3))
    assert [r.where for r in store.probe("a.faiss", ["3", "4"])] == ["side-car a.json"]
    assert store.erase("a.faiss", targets(3, 10)).absent == ("3",)
    assert json.loads((tmp_path / "a.json").read_text()) == {"17": "cy"}
    assert store.probe("a.faiss", ["3", "10"]) == ()


def test_a_side_car_that_does_not_fit_keeps_everything(tmp_path):
    faiss.write_index(build("Flat"), str(tmp_path / "a.faiss"))
    store = store_of(tmp_path, ids=".json")
    for content, said in (
        ("[1, 2]", "2 names for 300"),
        ("[", "cannot be read"),
        ('{"3": 1}', "has no ids"),
        ("[[1]]", "neither"),
    ):
        (tmp_path / "a.json").write_text(content)
        assert said in store.erase("a.faiss", targets(3)).kept[0].reason
    np.save(tmp_path / "a.npy", np.array([{"a": 1}] * 300), allow_pickle=True)
    assert "cannot be read" in store_of(tmp_path, ids=".npy").erase("a.faiss", targets(3)).kept[0].reason
    assert faiss.read_index(str(tmp_path / "a.faiss")).ntotal == 300


def test_a_centroid_that_is_the_vector_holds_it_until_it_is_trained_again(tmp_path):
    index = faiss.IndexIVFFlat(quantizer := faiss.IndexFlatL2(WIDE), WIDE, 4)
    quantizer.add(X[:4])
    index.is_trained = True
    index.add_with_ids(X, IDS)
    faiss.write_index(index, str(tmp_path / "a.faiss"))
    outcome = store_of(tmp_path).erase("a.faiss", targets(3, 703))
    assert (outcome.erased, [kept.selector for kept in outcome.kept]) == (("703",), ["3"])
    assert "retrain=true" in outcome.kept[0].reason
    store = store_of(tmp_path, retrain="true")
    assert store.erase("a.faiss", targets(3)).erased == ("3",)
    assert X[0].tobytes() not in raw(store)
    assert store.read("a.faiss", "17") == X[2].tobytes()


def test_codes_cannot_be_trained_again(tmp_path):
    faiss.write_index(build("IVF4,PQ8x4", ids=IDS), str(tmp_path / "a.faiss"))
    (kept,) = store_of(tmp_path, retrain="true").erase("a.faiss", targets(3)).kept
    assert "training needs the vectors" in kept.reason
    assert store_of(tmp_path).erase("a.faiss", targets(3)).erased == ("3",)


def test_types_that_are_not_known_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faiss.write_index(build("IVF4,PQ8x4fs", ids=IDS), str(tmp_path / "fast.faiss"))
    disk = faiss.deserialize_index(np.frombuffer(trained("IVF4,Flat"), "u1"))
    lists = faiss.OnDiskInvertedLists(4, disk.code_size, "a.ivfdata")
    disk.replace_invlists(lists, False)
    disk.add_with_ids(X, IDS)
    faiss.write_index(disk, str(tmp_path / "disk.faiss"))
    store = store_of(tmp_path)
    said = {found.object: found.reason for found in store.scan() if isinstance(found, Skipped)}
    assert "OnDiskInvertedLists" in said["disk.faiss"]
    assert "IndexIVFPQFastScan" in said["fast.faiss"]
    for name in said:
        assert [kept.selector for kept in store.erase(name, targets(3)).kept] == ["3"]
        with pytest.raises(StoreError, match=name):
            store.probe(name, ["3"])


def test_several_vectors_under_one_id_are_one_member(tmp_path):
    faiss.write_index(build("IDMap,Flat", X[:4], np.array([1, 2, 1, 3])), str(tmp_path / "a.faiss"))
    store = store_of(tmp_path)
    assert [(m.selector, m.size_bytes) for m in store.scan()] == [("1", 256), ("2", 128), ("3", 128)]
    assert store.read("a.faiss", "1") == X[0].tobytes() + X[2].tobytes()
    assert store.erase("a.faiss", targets(1)).erased == ("1",)
    assert faiss.read_index(str(tmp_path / "a.faiss")).ntotal == 2


@pytest.mark.parametrize("recipe", ["BFlat", "BHNSW8", "BIVF4"])
def test_binary_indexes(tmp_path, recipe):
    bits = np.random.default_rng(3).integers(0, 256, (200, 16)).astype("u1")
    index = faiss.index_binary_factory(128, recipe)
    index.train(bits)
    index.add(bits)
    faiss.write_index_binary(index, str(tmp_path / "a.faiss"))
    store = store_of(tmp_path)
    assert store.read("a.faiss", "199") == bits[199].tobytes()
    assert store.erase("a.faiss", targets(199)).erased == ("199",)
    assert faiss.read_index_binary(str(tmp_path / "a.faiss")).ntotal == 199
    assert bits[199].tobytes() not in raw(store)


def test_an_index_with_other_hard_links_is_kept(tmp_path):
    faiss.write_index(build("IDMap,Flat", ids=IDS), str(tmp_path / "a.faiss"))
    os.link(tmp_path / "a.faiss", tmp_path / "copy.bin")
    assert "hard link" in store_of(tmp_path).erase("a.faiss", targets(3)).kept[0].reason


def test_usearch_keeps_what_it_calls_removed_until_it_is_erased(tmp_path):
    index = Index(ndim=WIDE, metric="cos", dtype="f32", connectivity=12)
    index.add(np.arange(300), X)
    index.remove(7)
    index.save(str(tmp_path / "a.usearch"))
    store = store_of(tmp_path, "usearch")
    assert X[7].tobytes() in raw(store)
    assert [held.removable for held in store.history("a.usearch")] == [True]
    assert "1 removed" in store.probe("a.usearch", ["7"])[0].where
    assert store.erase("a.usearch", targets(7)).absent == ("7",)
    assert X[7].tobytes() not in raw(store)
    assert (store.history("a.usearch"), store.probe("a.usearch", ["7"])) == ((), ())
    again = Index.restore(str(tmp_path / "a.usearch"))
    assert (len(again), again.connectivity, str(again.metric_kind)) == (299, 12, str(index.metric_kind))
    assert again.search(X[9], 1).keys[0] == 9


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16", "i8", "b1"])
def test_usearch_of_every_type(tmp_path, dtype, multi):
    rows = np.random.default_rng(3).integers(0, 256, (300, 8)).astype("u1") if dtype == "b1" else X
    index = Index(
        ndim=64 if dtype == "b1" else WIDE, metric="hamming" if dtype == "b1" else "ip", dtype=dtype, multi=multi
    )
    index.add(np.arange(300) // (2 if multi else 1), rows)
    index.save(str(tmp_path / "a.usearch"))
    store = store_of(tmp_path, "usearch")
    before = {m.selector: m.stamp for m in store.scan()}
    assert len(before) == (150 if multi else 300)
    assert store.erase("a.usearch", targets(0, 149)).erased == ("0", "149")
    assert {m.selector: m.stamp for m in store.scan()} == {k: v for k, v in before.items() if k not in {"0", "149"}}
    assert Index.restore(str(tmp_path / "a.usearch")).dtype == index.dtype


def damaged(data, cut, changes):
    spoilt = bytearray(data[: len(data) - cut % len(data)])
    for at, value in changes:
        if spoilt:
            spoilt[at % min(len(spoilt), 400)] = value
    return bytes(spoilt)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["IDMap,Flat", "IVF4,PQ8x4", "IDMap,HNSW8", "usearch"]),
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_index_is_said_and_left(tmp_path, recipe, cut, changes):
    kind = "usearch" if recipe == "usearch" else "faiss"
    path = tmp_path / f"a.{kind}"
    if kind == "usearch":
        index = Index(ndim=WIDE)
        index.add(np.arange(50), X[:50])
        index.save(str(path))
    else:
        faiss.write_index(build(recipe, ids=IDS), str(path))
    path.write_bytes(damaged(path.read_bytes(), cut, changes))
    store, data = store_of(tmp_path, kind), path.read_bytes()
    found = list(store.scan())
    if any(isinstance(one, Skipped) for one in found):
        assert [kept.selector for kept in store.erase(f"a.{kind}", targets(3)).kept] == ["3"]
        assert path.read_bytes() == data
        with pytest.raises(StoreError):
            store.stamps(f"a.{kind}", ["3"])
    path.unlink()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("faiss", {"retrain": "perhaps"}),
        ("faiss", {"expansion_add": "9"}),
        ("faiss", {"ids": "names.pkl"}),
        ("faiss", {"ids": ".pkl"}),
        ("faiss", {"suffix": "../a"}),
        ("usearch", {"expansion_add": "0"}),
        ("usearch", {"retrain": "true"}),
    ],
)
def test_bad_options(tmp_path, kind, options):
    with pytest.raises(InvalidValue):
        open_store(store_id(), kind, str(tmp_path), options)


@pytest.mark.parametrize("recipe", ["IDMap,Flat", "IVF4,Flat"])
@pytest.mark.parametrize("ids", [np.arange(300), IDS, IDS * 1_000_000_007 - 5], ids=["dense", "apart", "far apart"])
def test_among_many_targets_each_is_judged_by_itself(tmp_path, recipe, ids):
    faiss.write_index(build(recipe, ids=ids), str(tmp_path / "a.faiss"))
    store = store_of(tmp_path)
    names = [str(label) for label in ids.tolist()]
    stamps = dict(zip(names, store.stamps("a.faiss", names), strict=True))
    odd = ["007", "+3", " 3", "1_0", "٣", "-0", "", "1" * 30, "ann", "-9", str(ids[-1] + 1)]
    assert store.stamps("a.faiss", [*odd, names[7]]) == [None] * len(odd) + [stamps[names[7]]]
    wanted = [Target(name, stamps[name]) for name in names[:200]]
    wanted[5] = Target(names[5], "another")
    wanted[6:7] = [Target(names[6], "one"), Target(names[6], "two")]
    outcome = store.erase("a.faiss", [*wanted, *map(Target, odd)])
    assert (set(outcome.erased), set(outcome.absent)) == ({*names[:5], *names[7:200]}, set(odd))
    said = {kept.selector: kept.reason for kept in outcome.kept}
    assert ("replaced" in said.pop(names[5]), "twice" in said.pop(names[6]), said) == (True, True, {})
    left = [names[5], names[6], *names[200:]]
    assert {m.selector: m.stamp for m in store.scan()} == {name: stamps[name] for name in left}
    assert dict(store.read_many("a.faiss", left)) == {name: X[names.index(name)].tobytes() for name in left}


@pytest.mark.parametrize("recipe", ["IDMap,Flat", "IVF4,Flat"])
def test_a_vector_that_was_changed_on_the_way_is_seen(tmp_path, monkeypatch, recipe):
    faiss.write_index(build(recipe, ids=IDS), str(tmp_path / "a.faiss"))
    written = faissfile._write

    def spoilt(index, file):
        written(index, file)
        if recipe == "IDMap,Flat":
            os.pwrite(file, b"\x01", os.fstat(file).st_size - 4 * WIDE - 8 * 297 - 30)
        else:
            os.pwrite(file, b"\x01", os.fstat(file).st_size - 8 * 40 - 300)

    before = (tmp_path / "a.faiss").read_bytes()
    monkeypatch.setattr(faissfile, "_write", spoilt)
    outcome = store_of(tmp_path).erase("a.faiss", targets(*GONE))
    assert {kept.selector for kept in outcome.kept} == {str(label) for label in GONE}
    assert "unchanged" in outcome.kept[0].reason
    assert (tmp_path / "a.faiss").read_bytes() == before


def test_rows_of_one_id_may_change_places_and_no_others():
    labels, codes = np.array([1, 2, 1]), np.array([[1, 1], [2, 2], [3, 3]], "u1")
    rest = [Rest(labels, codes)]

    def block(order, spoil=0):
        return [Block(labels[order], codes[order] + np.uint8(spoil), bytes)]

    assert same_rest(rest, block([0, 1, 2]))
    assert same_rest(rest, block([2, 0, 1]))
    assert not same_rest(rest, block([0, 1, 2], spoil=1))
    assert not same_rest(rest, block([2, 0, 1], spoil=1))
    assert not same_rest(rest, [Block(labels, codes[[1, 0, 2]], bytes)])
    assert not same_rest(rest, block([0, 1]))
