"""What Lance keeps of deleted rows — versions, tags, indexes, deleted rows, blobs — and what an erasure leaves of it: nothing."""

import os
import shutil
from pathlib import Path

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lancedb.index import IvfFlat

from unsee.core.errors import InvalidValue, StoreError
from unsee.core.evidence import Gone
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.lance import tables
from unsee.stores.lance.erasing import MARK
from unsee.stores.lance.manifests import changed
from unsee.stores.registry import open_store
from unsee.stores.rows import RowShape
from unsee.testing.stores import marked, store_id
from unsee.testing.syscalls import kill_at_every_system_call, stride, system_calls

DIM = 16


def vectors(start, stop):
    return np.random.default_rng(start).standard_normal((stop - start, DIM)).astype("<f4")


def people(start, stop):
    numbers = range(start, stop)
    return pa.table(
        {
            "name": [f"p{n:04d}" for n in numbers],
            "picture": pa.array([marked("faces", str(n), 300) for n in numbers], pa.large_binary()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors(start, stop).ravel()), DIM),
            "caption": [f"a portrait of surname{n:04d}" for n in numbers],
        }
    )


def made(at, count=100, *, in_file=25, **options):
    lance.write_dataset(people(0, count), str(at / "faces.lance"), max_rows_per_file=in_file, **options)
    return store_of(at)


def store_of(at, **options):
    return open_store(store_id(), "lance", str(at), {"key": "name", "data": "picture", **options})


def dataset(store, version=None):
    return lance.dataset(str(Path(store.location) / "faces.lance"), version=version)


def names(data):
    return data.to_table(columns=["name"])["name"].to_pylist()


def erase(store, *selectors):
    return store.erase("faces.lance", [Target(selector) for selector in selectors])


def left(store, *needles):
    """Files that hold one of the byte strings."""
    files = [file for file in Path(store.location).rglob("*") if file.is_file()]
    return [(file.name, needle) for file in files for needle in needles if needle in file.read_bytes()]


def traces(*numbers):
    """What a person leaves in a table: picture, vector, surname, key."""
    return [
        trace
        for n in numbers
        for trace in (marked("faces", str(n), 300)[:32], b"surname%04d" % n, b"p%04d" % n, vectors(0, 100)[n].tobytes())
    ]


# Versions and tags.


def test_r6_a_tagged_version_stays_readable_under_its_tag_and_number_without_the_person(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("v1", 1)
    lance.write_dataset(people(100, 130), str(tmp_path / "faces.lance"), mode="append", max_rows_per_file=25)
    before = dataset(store, "v1").to_table().sort_by("name")
    when = {v["version"]: v["timestamp"] for v in dataset(store).versions()}[1]
    outcome = erase(store, "p0003", "p0030")
    assert outcome.erased == ("p0003", "p0030")
    assert outcome.gone is Gone.D2
    assert outcome.notes == ("1 old version (2) can no longer be read.",)
    assert not left(store, *traces(3, 30))
    for version in ("v1", 1):
        old = dataset(store, version)
        assert old.version == 1
        expected = before.filter(pa.array([n not in {"p0003", "p0030"} for n in before["name"].to_pylist()]))
        assert old.to_table().sort_by("name").equals(expected)
    assert {v["version"]: v["timestamp"] for v in dataset(store).versions()}[1] == when
    assert [held.name for held in store.history("faces.lance")] == ["version 1 (tag v1)"]
    dataset(store).validate()
    dataset(store, 1).validate()
    assert dataset(store).count_rows() == 128
    # The library's own cleanup, run afterwards by anybody, leaves what the tag holds.
    dataset(store).cleanup_old_versions(retain_versions=1, delete_unverified=True, error_if_tagged_old_versions=False)
    assert dataset(store, "v1").to_table().num_rows == 98
    assert store.probe("faces.lance", ["p0003", "p0030"]) == ()


def test_versions_that_share_fragments_share_the_rewritten_ones(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("v1", 1)
    dataset(store).tags.create("again", 1)
    lance.write_dataset(people(100, 101), str(tmp_path / "faces.lance"), mode="append")
    erase(store, "p0003", *(f"p{n:04d}" for n in range(25, 50)))
    assert len(list((tmp_path / "faces.lance" / "data").iterdir())) == 4  # 3 of the old 4, and the one that was added
    here = set(names(dataset(store)))
    assert set(names(dataset(store, "v1"))) == set(names(dataset(store, "again"))) == here - {"p0100"}
    assert len(here) == 101 - 26


def test_rows_that_only_a_tag_holds_go_from_there(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("v1", 1)
    data = dataset(store)
    data.delete("name = 'p0003'")
    data.optimize.compact_files(materialize_deletions_threshold=0.0, target_rows_per_fragment=25)
    found = {r.where for r in store.probe("faces.lance", ["p0003"])}
    assert found >= {"version 1", "deleted rows of version 2"}
    assert not any("current" in where for where in found)
    outcome = erase(store, "p0003")
    assert outcome.absent == ("p0003",)
    assert not left(store, *traces(3))
    assert len(names(dataset(store, "v1"))) == 99


def test_history_none_takes_tags_too_and_says_so(tmp_path):
    made(tmp_path)
    store = store_of(tmp_path, history="none")
    dataset(store).tags.create("v1", 1)
    lance.write_dataset(people(100, 101), str(tmp_path / "faces.lance"), mode="append")
    outcome = erase(store, "p0003")
    assert outcome.notes == ("2 old versions (1, 2) can no longer be read. Tags deleted: v1.",)
    assert dataset(store).tags.list() == {}
    assert store.history("faces.lance") == ()
    assert not left(store, *traces(3))


def test_a_tag_on_the_newest_version_goes_on_naming_it(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("now", 1)
    erase(store, "p0003")
    assert names(dataset(store, "now")) != []
    assert "p0003" not in names(dataset(store, "now"))
    assert not left(store, *traces(3))


def test_a_changed_row_of_the_same_key_goes_in_every_version(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("v1", 1)
    dataset(store).merge_insert("name").when_matched_update_all().execute(
        people(3, 4).set_column(1, "picture", pa.array([b"another picture of the same person"], pa.large_binary()))
    )
    assert erase(store, "p0003").erased == ("p0003",)
    assert not left(store, *traces(3), b"another picture")


def test_rows_deleted_by_somebody_else_are_materialised(tmp_path):
    store = made(tmp_path)
    dataset(store).delete("name = 'p0003'")
    assert erase(store, "p0003").absent == ("p0003",)
    assert not left(store, *traces(3))


def test_only_fragments_that_hold_rows_that_go_are_rewritten_however_small_the_others_are(tmp_path):
    store = made(tmp_path)
    for start in (100, 103):
        lance.write_dataset(people(start, start + 3), str(tmp_path / "faces.lance"), mode="append")
    before = {file.name for file in (tmp_path / "faces.lance" / "data").iterdir()}
    erase(store, "p0003")
    after = {file.name for file in (tmp_path / "faces.lance" / "data").iterdir()}
    assert (len(before & after), len(after - before)) == (5, 1)


def test_a_repeated_call_changes_no_file(tmp_path):
    store = made(tmp_path)
    dataset(store).create_scalar_index("name", "BTREE")
    erase(store, "p0003")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    outcome = erase(store, "p0003")
    assert (outcome.absent, outcome.notes) == (("p0003",), ())
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_detached_version_goes_and_is_named(tmp_path):
    store = made(tmp_path)
    data = dataset(store)
    lance.LanceDataset.commit(
        data,
        lance.LanceOperation.Delete([], [0], ""),
        read_version=1,
        detached=True,
    )
    assert [h.name.split()[0] for h in store.history("faces.lance")] == ["detached"]
    outcome = erase(store, "p0003")
    assert "1 detached version can no longer be read." in outcome.notes
    assert store.history("faces.lance") == ()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"enable_stable_row_ids": True},
        {"data_storage_version": "2.0"},
        {"data_storage_version": "2.1"},
        {"data_storage_version": "2.2"},
    ],
    ids=str,
)
def test_every_layout_that_the_library_writes(tmp_path, how):
    store = made(tmp_path, **how)
    dataset(store).tags.create("v1", 1)
    lance.write_dataset(people(100, 130), str(tmp_path / "faces.lance"), mode="append")
    dataset(store).add_columns({"later": "1"})
    dataset(store).tags.create("v3", 3)
    dataset(store).drop_columns(["caption"])
    dataset(store).delete("name = 'p0040'")
    assert len(erase(store, "p0003", "p0030", "p0110").erased) == 3
    assert not left(store, *traces(3, 30))
    gone = {"p0003", "p0030", "p0110"}
    assert set(names(dataset(store, "v1"))) == {f"p{n:04d}" for n in range(100)} - gone
    assert set(names(dataset(store, "v3"))) == {f"p{n:04d}" for n in range(130)} - gone
    assert set(names(dataset(store))) == {f"p{n:04d}" for n in range(130)} - gone - {"p0040"}
    for version in ("v1", "v3", None):
        dataset(store, version).validate()
        table = dataset(store, version).to_table()
        assert {marked("faces", n[1:].lstrip("0") or "0", 300) for n in table["name"].to_pylist()} == set(
            table["picture"].to_pylist()
        )
    if how.get("enable_stable_row_ids"):
        assert len(set(dataset(store, "v1").to_table(with_row_id=True)["_rowid"].to_pylist())) == 98


def test_names_of_manifests_from_before_lance_0_17(tmp_path):
    store = made(tmp_path, enable_v2_manifest_paths=False)
    lance.write_dataset(people(100, 130), str(tmp_path / "faces.lance"), mode="append")
    assert erase(store, "p0003").erased == ("p0003",)
    dataset(store).tags.create("old", dataset(store).version)
    (kept,) = erase(store, "p0004").kept
    assert "before 0.17" in kept.reason
    assert dataset(store).count_rows() == 129
    assert erase(store_of(tmp_path, history="none"), "p0004").erased == ("p0004",)
    assert not left(store, *traces(3, 4))


# Indexes.


def indexed(store):
    data = dataset(store)
    data.create_index("vector", "IVF_FLAT", num_partitions=3, metric="cosine", name="flat")
    data.create_index("vector", "IVF_HNSW_SQ", num_partitions=2, metric="l2", m=10, ef_construction=60, name="graph")
    data.create_scalar_index("caption", "INVERTED", with_position=True, stem=False, name="words")
    data.create_scalar_index("name", "BTREE")
    data.create_scalar_index("caption", "NGRAM", name="grams")
    data.create_scalar_index("caption", "BITMAP", name="captions")
    data.create_scalar_index("caption", "ZONEMAP", name="zones")
    data.create_scalar_index("caption", "BLOOMFILTER", name="bloom")


def how_made(data):
    return {
        index.name: (
            index.index_type,
            index.field_names,
            {k: v for k, v in (index.details or {}).items() if k != "runtime_hints"},
            index.num_rows_indexed,
        )
        for index in data.describe_indices()
    }


def test_r9_indexes_are_made_anew_as_they_were_and_hold_no_erased_vector_or_word(tmp_path):
    store = made(tmp_path)
    indexed(store)
    dataset(store).tags.create("indexed", dataset(store).version)
    before = how_made(dataset(store))
    uuids = {segment.uuid for i in dataset(store).describe_indices() for segment in i.segments}
    assert left(store, vectors(0, 100)[3].tobytes())
    outcome = erase(store, "p0003", "p0099")
    assert not [n for n in outcome.notes if "index" in n]
    after = how_made(dataset(store))
    assert {name: made[:3] for name, made in after.items()} == {name: made[:3] for name, made in before.items()}
    assert {made[3] for made in after.values()} == {98}
    words = dataset(store).stats.index_stats("words")["indices"][0]
    assert words["num_tokens"] == 98 + 1  # a surname each, and "portrait"
    assert dataset(store).stats.index_stats("captions")["indices"][0]["num_bitmaps"] == 98
    assert not uuids & {segment.uuid for i in dataset(store).describe_indices() for segment in i.segments}
    assert not left(store, *traces(3, 99))
    assert dataset(store, "indexed").describe_indices() == []
    assert MARK not in dataset(store).config()
    near = dataset(store).to_table(nearest={"column": "vector", "q": vectors(0, 100)[5], "k": 1, "nprobes": 9})
    assert near["name"].to_pylist() == ["p0005"]


def test_a_small_table_of_vectors_in_lancedb_loses_a_person(tmp_path):
    database = lancedb.connect(str(tmp_path))
    table = database.create_table("faces", people(0, 100))
    table.create_index("vector", config=IvfFlat(distance_type="l2", num_partitions=2))
    store = store_of(tmp_path, data="vector")
    assert store.read("faces.lance", "p0003") == vectors(0, 100)[3].tobytes()
    assert erase(store, "p0003").erased == ("p0003",)
    assert not left(store, *traces(3))
    fresh = lancedb.connect(str(tmp_path)).open_table("faces")
    assert fresh.count_rows() == 99
    assert [index.index_type for index in fresh.list_indices()] == ["IvfFlat"]


def test_an_index_that_cannot_be_trained_any_more_holds_nothing_and_that_is_said(tmp_path):
    store = made(tmp_path, 300, in_file=300)
    dataset(store).create_index("vector", "IVF_PQ", num_partitions=1, num_sub_vectors=4, name="codes")
    outcome = erase(store, *(f"p{n:04d}" for n in range(200)))
    (note,) = [n for n in outcome.notes if "index" in n]
    assert note == "The index 'codes' on 'vector' holds no rows: there are too few to train it."
    assert [(i.name, i.num_rows_indexed) for i in dataset(store).describe_indices()] == [("codes", 0)]
    assert not left(store, *traces(*range(100)))
    assert len(outcome.erased) == 200


def test_the_last_row_of_an_indexed_table(tmp_path):
    store = made(tmp_path, 5)
    dataset(store).create_scalar_index("name", "BTREE")
    assert len(erase(store, *(f"p{n:04d}" for n in range(5))).erased) == 5
    assert dataset(store).count_rows() == 0
    assert not left(store, *traces(0, 1, 2, 3, 4))
    assert list(store.scan()) == []
    assert erase(store, "p0001").absent == ("p0001",)


@pytest.mark.slow
def test_a_kill_with_tags_and_indexes_leaves_work_that_the_same_call_finishes(tmp_path):
    numbers = iter(range(1000))

    def renew():
        at = tmp_path / str(next(numbers))
        at.mkdir()
        store = made(at)
        dataset(store).create_scalar_index("name", "BTREE")
        dataset(store).create_scalar_index("caption", "INVERTED", name="words")
        dataset(store).tags.create("v1", 1)
        lance.write_dataset(people(100, 130), str(at / "faces.lance"), mode="append")
        target.at = at

    target = KilledErasure()
    kept = {f"p{n:04d}" for n in range(130)} - {"p0003", "p0030"}
    renew()
    every = stride(len(system_calls(target)), 60)
    for killed in kill_at_every_system_call(target, reset=renew, every=every):
        store = store_of(target.at)
        assert set(names(dataset(store))) >= kept, killed
        assert set(names(dataset(store, "v1"))) >= {n for n in kept if n < "p0100"}, killed
        outcome = erase(store, "p0003", "p0030")
        assert not outcome.kept, (killed, outcome)
        assert not left(store, *traces(3, 30)), killed
        assert set(names(dataset(store))) == kept
        assert set(names(dataset(store, "v1"))) == {n for n in kept if n < "p0100"}
        assert {i.name: i.num_rows_indexed for i in dataset(store).describe_indices()} == {
            "name_idx": 128,
            "words": 128,
        }


def test_the_second_name_that_a_killed_commit_left_on_a_manifest_goes_and_is_no_refusal(tmp_path):
    store = made(tmp_path)
    versions = tmp_path / "faces.lance" / "_versions"
    for manifest in list(versions.glob("*.manifest")):
        versions.joinpath(f"{manifest.name}#1").hardlink_to(manifest)
    assert not erase(store, "p0003").kept
    assert not list(versions.glob("*#*"))
    other = next(versions.glob("*.manifest"))
    (tmp_path / "elsewhere").hardlink_to(other)
    assert "another hard link" in erase(store, "p0004").kept[0].reason


class KilledErasure:
    at = None

    def __call__(self):
        return erase(store_of(self.at), "p0003", "p0030")


# Other columns.


def blob(size):
    return np.random.default_rng(size).bytes(size)


def test_blobs_beside_the_table_go(tmp_path):
    sizes = (400, 300_000, 9_000_000)
    table = pa.table(
        [pa.array(["a", "b", "c"]), lance.blob_array([blob(n) for n in sizes])],
        schema=pa.schema([pa.field("name", pa.string()), lance.blob_field("picture")]),
    )
    lance.write_dataset(table, str(tmp_path / "faces.lance"), data_storage_version="2.2")
    store = store_of(tmp_path)
    dataset(store).tags.create("v1", 1)
    dataset(store).add_columns({"x": "1"})
    assert [m.size_bytes for m in store.scan()] == list(sizes)
    for gone, size in zip("abc", sizes, strict=True):
        assert erase(store, gone).erased == (gone,)
        assert not left(store, blob(size)[:32], blob(size)[-32:])
        rest = [m for m in store.scan() if isinstance(m, Member)]
        assert [len(store.read("faces.lance", m.selector)) for m in rest] == [m.size_bytes for m in rest]
        assert dataset(store, "v1").count_rows() == len(rest)


def test_blobs_of_the_first_kind(tmp_path):
    schema = pa.schema(
        [
            pa.field("name", pa.string()),
            pa.field("picture", pa.large_binary(), metadata={"lance-encoding:blob": "true"}),
        ]
    )
    data = [marked("b", n, 5000) for n in "abc"]
    table = pa.table({"name": list("abc"), "picture": pa.array(data, pa.large_binary())}, schema=schema)
    lance.write_dataset(table, str(tmp_path / "faces.lance"), data_storage_version="2.1")
    store = store_of(tmp_path)
    assert store.read("faces.lance", "b") == data[1]
    assert erase(store, "b").erased == ("b",)
    assert not left(store, data[1][:32])
    assert [store.read("faces.lance", n) for n in "ac"] == [data[0], data[2]]


# What a stamp remembers of where its row lay.


def reads_of_data(monkeypatch):
    """The calls that read data of rows."""
    found, batches = [], tables.batches

    def noting(*arguments, data, **options):
        found.extend([options.get("selectors")] * data)
        return batches(*arguments, data=data, **options)

    monkeypatch.setattr(tables, "batches", noting)
    return found


def planned(store, *selectors):
    return [Target(m.selector, m.stamp) for m in store.scan() if m.selector in selectors]


def test_rows_that_lie_where_the_plan_saw_them_are_not_read_again(tmp_path, monkeypatch):
    store = made(tmp_path)
    targets = planned(store, *(f"p{n:04d}" for n in range(10, 60)))
    assert [t.stamp for t in targets] == store.stamps("faces.lance", [t.selector for t in targets])
    dataset(store).delete("name = 'p0011'")  # in a fragment of theirs
    read = reads_of_data(monkeypatch)
    outcome = store.erase("faces.lance", targets)
    assert (len(outcome.erased), outcome.absent, read) == (49, ("p0011",), [])


def shuffled_times(store):
    for file in (Path(store.location) / "faces.lance" / "data").iterdir():
        os.utime(file, ns=(1, 1))


def compacted(store):
    dataset(store).optimize.compact_files(target_rows_per_fragment=1000)


@pytest.mark.parametrize("moved", [shuffled_times, compacted])
def test_rows_that_moved_are_read_and_go_where_they_are_the_same(tmp_path, monkeypatch, moved):
    store = made(tmp_path)
    targets = planned(store, "p0003", "p0030")
    moved(store)
    read = reads_of_data(monkeypatch)
    assert store.erase("faces.lance", targets).erased == ("p0003", "p0030")
    assert [sorted(selectors) for selectors in read] == [["p0003", "p0030"]]


def replaced(store):
    values = {"picture": "arrow_cast('another picture', 'LargeBinary')"}
    dataset(store).update(values, "name = 'p0003'")


def column_made_anew(store):
    dataset(store).drop_columns(["picture"])
    dataset(store).add_columns({"picture": "arrow_cast(caption, 'LargeBinary')"})


def columns_renamed(store):
    for old, new in (("picture", "was"), ("other", "picture")):
        dataset(store).alter_columns({"path": old, "name": new})


def in_place(store):
    data = people(0, 100)
    pictures = pa.array([marked("other", str(n), 300) for n in range(100)], pa.large_binary())
    table = data.set_column(data.schema.get_field_index("picture"), "picture", pictures)
    (theirs,) = (Path(store.location) / "faces.lance" / "data").iterdir()
    (ours,) = Path(lance.write_dataset(table, str(Path(store.location) / "aside" / "x.lance")).uri, "data").iterdir()
    theirs.write_bytes(ours.read_bytes())
    shutil.rmtree(Path(store.location) / "aside")


@pytest.mark.parametrize("change", [replaced, column_made_anew, columns_renamed, in_place])
def test_a_row_whose_data_changed_is_kept_wherever_it_lies(tmp_path, change):
    table = people(0, 100)
    if change is columns_renamed:
        table = table.append_column("other", pa.array([b"other %d" % n for n in range(100)], pa.large_binary()))
    lance.write_dataset(table, str(tmp_path / "faces.lance"))
    store = store_of(tmp_path)
    targets = planned(store, "p0003")
    change(store)
    assert [k.selector for k in store.erase("faces.lance", targets).kept] == ["p0003"]


def test_a_tag_from_before_columns_were_renamed_is_searched_by_its_own(tmp_path):
    table = people(0, 40).append_column("alias", pa.array([f"q{n:04d}" for n in range(40)]))
    lance.write_dataset(table, str(tmp_path / "faces.lance"))
    store = store_of(tmp_path)
    dataset(store).tags.create("v1", 1)
    for old, new in (("name", "was"), ("alias", "name")):
        dataset(store).alter_columns({"path": old, "name": new})
    assert erase(store, "q0003").erased == ("q0003",)
    assert set(names(dataset(store))) == {f"q{n:04d}" for n in range(40) if n != 3}
    assert set(names(dataset(store, "v1"))) == {f"p{n:04d}" for n in range(40)}  # nobody there is called so
    assert erase(store, "p0005").absent == ("p0005",)
    assert "p0005" not in names(dataset(store, "v1"))


def test_fragments_that_versions_share_are_searched_once(tmp_path, monkeypatch):
    store = open_store(store_id(), "lance", str(tmp_path), {"data": "picture"})
    made(tmp_path)
    for n in range(3):
        dataset(store).tags.create(f"v{n}", dataset(store).version)
        lance.write_dataset(people(100 + n, 101 + n), str(tmp_path / "faces.lance"), mode="append")
    (target,) = [
        Target(m.selector, m.stamp)
        for m in store.scan()
        if store.read("faces.lance", m.selector) == marked("faces", "3", 300)
    ]
    hashed = []
    selectors = RowShape.selectors

    def noting(shape, batch):
        hashed.append(batch.num_rows)
        return selectors(shape, batch)

    monkeypatch.setattr(RowShape, "selectors", noting)
    assert store.erase("faces.lance", [target]).erased == (target.selector,)
    assert sum(hashed) == 103 + 24  # the rows there were, and those of the one fragment that was written


def test_without_a_key_rows_are_named_by_their_digest_and_equal_ones_go_together(tmp_path):
    table = pa.table(
        {"n": [1, 2, 3], "image": [{"bytes": b"same" * 9, "path": "x"}] * 2 + [{"bytes": b"else" * 9, "path": "y"}]}
    )
    lance.write_dataset(table, str(tmp_path / "faces.lance"))
    store = open_store(store_id(), "lance", str(tmp_path / "faces.lance"))
    first, second = store.scan()
    assert (first.object, first.size_bytes) == (".", 36)
    assert store.erase(".", [Target(first.selector, first.stamp)]).erased == (first.selector,)
    assert list(store.scan()) == [second]
    assert not left(store, b"samesame")


# Refused and broken.


def test_files_that_others_hold_too_are_refused(tmp_path):
    store = made(tmp_path)
    data = next((tmp_path / "faces.lance" / "data").iterdir())
    (tmp_path / "backup").hardlink_to(data)
    (kept,) = erase(store, "p0003").kept
    assert "has another hard link" in kept.reason
    (tmp_path / "backup").unlink()
    data.rename(tmp_path / "moved")
    data.symlink_to(tmp_path / "moved")
    (kept,) = erase(store, "p0003").kept
    assert f"data/{data.name} in it is a symbolic link" in kept.reason
    (tmp_path / "moved").rename(data)
    (tmp_path / "faces.lance" / "_mem_wal").mkdir()
    (tmp_path / "faces.lance" / "_mem_wal" / "log").write_bytes(b"rows that wait")
    (kept,) = erase(store, "p0003").kept
    assert "_mem_wal/log in it is not of the main line" in kept.reason


def test_branches_and_clones_are_refused_by_name(tmp_path):
    store = made(tmp_path)
    dataset(store).create_branch("experiment", 1)
    (kept,) = erase(store, "p0003").kept
    assert "branch 'experiment'" in kept.reason
    assert "branch experiment" in [held.name for held in store.history("faces.lance")]
    dataset(store).branches.delete("experiment")
    dataset(store).shallow_clone(str(tmp_path / "clone.lance"), 1)
    (kept,) = erase(store, "p0003").kept
    assert "'clone.lance' is a shallow clone of it" in kept.reason
    (kept,) = store.erase("clone.lance", [Target("p0003")]).kept
    assert "data of this dataset lies in" in kept.reason
    shutil.rmtree(tmp_path / "clone.lance")
    assert erase(store, "p0003").erased == ("p0003",)
    assert not left(store, *traces(3))


def test_a_broken_dataset_keeps_its_targets_with_the_reason_and_stops_no_other(tmp_path):
    store = made(tmp_path)
    lance.write_dataset(people(0, 3), str(tmp_path / "other.lance"))
    lance.write_dataset(people(0, 3), str(tmp_path / "cut.lance"))
    for manifest in (tmp_path / "cut.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(manifest.read_bytes()[:20])
    victim = sorted((tmp_path / "faces.lance" / "data").iterdir())[0]
    victim.unlink()
    found = list(store.scan())
    assert {s.object for s in found if isinstance(s, Skipped)} == {"faces.lance", "cut.lance"}
    assert len([m for m in found if isinstance(m, Member) and m.object == "other.lance"]) == 3
    for name in ("faces.lance", "cut.lance"):
        outcome = store.erase(name, [Target("p0001", "any stamp"), Target("p0002")])
        assert [k.selector for k in outcome.kept] == ["p0001", "p0002"]
        assert all(k.reason for k in outcome.kept)
        with pytest.raises(StoreError, match=name):
            store.probe(name, ["p0001"])
        with pytest.raises(StoreError, match=name):
            store.read(name, "p0001")
    assert store.erase("other.lance", [Target("p0001")]).erased == ("p0001",)


def test_versions_deleted_by_somebody_else_between_plan_and_apply(tmp_path):
    store = made(tmp_path)
    lance.write_dataset(people(100, 101), str(tmp_path / "faces.lance"), mode="append")
    targets = [Target(m.selector, m.stamp) for m in store.scan() if m.selector == "p0003"]
    dataset(store).cleanup_old_versions(retain_versions=1, delete_unverified=True)
    assert store.erase("faces.lance", targets).erased == ("p0003",)
    assert not left(store, *traces(3))


def test_a_tag_whose_version_is_gone_is_said(tmp_path):
    store = made(tmp_path)
    dataset(store).tags.create("v1", 1)
    lance.write_dataset(people(100, 101), str(tmp_path / "faces.lance"), mode="append")
    for manifest in (tmp_path / "faces.lance" / "_versions").glob("*.manifest"):
        if lance.dataset(str(tmp_path / "faces.lance")).version == 2 and manifest.name.endswith("14.manifest"):
            manifest.unlink()
    (kept,) = erase(store, "p0003").kept
    assert "the tag 'v1' names version 1" in kept.reason


def test_a_tag_from_before_the_key_column_cannot_be_searched(tmp_path):
    lance.write_dataset(people(0, 5).drop_columns(["name"]), str(tmp_path / "faces.lance"))
    store = store_of(tmp_path)
    dataset(store).tags.create("nameless", 1)
    dataset(store).add_columns({"name": "caption"})
    (kept,) = erase(store, "a portrait of surname0003").kept
    assert "version 1, which the tag 'nameless' holds, cannot be searched" in kept.reason
    assert erase(store_of(tmp_path, history="none"), "a portrait of surname0003").erased
    assert not left(store, *traces(3)[:2])


def test_a_dropped_column_and_links_inside_are_said(tmp_path):
    store = made(tmp_path)
    dataset(store).drop_columns(["picture"])
    (skipped,) = store.scan()
    assert "its columns do not fit" in skipped.reason
    (kept,) = erase(store, "p0003").kept
    assert "its columns do not fit" in kept.reason
    (tmp_path / "faces.lance" / "data").rename(tmp_path / "elsewhere")
    (tmp_path / "faces.lance" / "data").symlink_to(tmp_path / "elsewhere")
    (kept,) = erase(store, "p0003").kept
    assert "data in it is a symbolic link" in kept.reason


def test_manifests_that_are_not_as_manifests_are_are_refused():
    from unsee.stores.lance.tables import Trouble

    for broken in (b"", b"LANC", bytes(40), b"\xff" * 30 + (5).to_bytes(8, "little") + b"\0\0\2\0LANC"):
        with pytest.raises(Trouble):
            changed(broken, broken)


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_bytes_for_a_manifest_are_refused_or_keep_their_layout(message, head):
    from unsee.stores.lance.tables import Trouble

    size = len(message).to_bytes(4, "little")
    file = head + size + message + len(head).to_bytes(8, "little") + b"\0\0\2\0LANC"
    for manifest in (message, file):
        try:
            new = changed(manifest, manifest)
        except Trouble:
            continue
        assert new.startswith(head)
        assert new.endswith(b"LANC")
        assert changed(new, new) == new


def test_options_are_checked(tmp_path):
    for options in ({"history": "all"}, {"no-such": "x"}, {"key": ""}):
        with pytest.raises(InvalidValue):
            open_store(store_id(), "lance", str(tmp_path), options)
