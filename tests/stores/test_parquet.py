"""Parquet: row groups that are not hit stay as bytes, those that are lose exactly their rows; files of any writer, and bad ones."""

import hashlib
import io
import json
import os
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parquet_files import SETTINGS, assume_readable, photos, readers, tables

from unsee.core.errors import InvalidValue, StoreError
from unsee.core.evidence import Gone
from unsee.stores import overwriting, rowfiles, shards
from unsee.stores.contract import Member, Skipped, Target, read_many
from unsee.stores.parquet import encoding, open_parquet, thrift
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet.footer import get
from unsee.stores.registry import open_store
from unsee.testing.stores import store_id


def store_at(path, **options):
    return open_parquet(store_id(), str(path), {"key": "id", **options})


def erase(store, name, selectors):
    return store.erase(name, [Target(s) for s in selectors])


def duck(sql):
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def footer_of(path):
    with Path(path).open("rb") as file:
        return ft.read(file.fileno())


SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(tables(), SETTINGS, st.data())
def test_any_table_loses_exactly_its_rows(tmp_path_factory, table, how, data):
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    pq.write_table(table, path, **how)
    written = pq.read_table(path)
    going = data.draw(st.sets(st.sampled_from(table["id"].to_pylist())))
    outcome = erase(store_at(path.parent, data="jpg"), path.name, sorted(going))
    assert set(outcome.erased) == going
    keep = [key not in going for key in table["id"].to_pylist()]
    wanted = written.filter(pa.array(keep))
    got = pq.read_table(path, page_checksum_verification=True)
    assert got.schema.equals(written.schema, check_metadata=True)
    assert got.to_pylist() == wanted.to_pylist()
    assert pl.read_parquet(path).height == len(wanted)
    sizes = [(r["id"], None if r["jpg"] is None else len(r["jpg"])) for r in wanted.select(["id", "jpg"]).to_pylist()]
    assert all(seen == sizes for seen in readers(path).values())


@SLOW
@given(tables(deep=1), st.sampled_from(["polars", "duckdb", "int96", "nano"]), st.data())
def test_files_of_other_writers(tmp_path_factory, table, writer, data):
    path = tmp_path_factory.mktemp("others") / "a.parquet"
    if writer == "polars":
        pl.from_arrow(table).write_parquet(path, row_group_size=7)
    elif writer == "duckdb":
        with duckdb.connect() as connection:
            connection.register("t", table)
            connection.execute(f"copy t to '{path}' (format parquet, row_group_size 2048, compression zstd)")
    elif writer == "int96":
        pq.write_table(table, path, use_deprecated_int96_timestamps=True, row_group_size=7)
    else:
        pq.write_table(table, path, flavor="spark", row_group_size=7)
    before = pl.read_parquet(path)
    going = data.draw(st.sets(st.sampled_from(table["id"].to_pylist()), min_size=1))
    outcome = erase(store_at(path.parent, data="jpg"), path.name, sorted(going))
    assume_readable(outcome)
    assert set(outcome.erased) == going
    after = pl.read_parquet(path)
    assert after.equals(before.filter(~pl.col("id").is_in(sorted(going))), null_equal=True)
    sizes = [(key, None if jpg is None else len(jpg)) for key, jpg in after.select("id", "jpg").iter_rows()]
    assert all(seen == sizes for seen in readers(path).values())


def test_int96_that_arrow_cannot_hold_stays_as_it_is(tmp_path):
    """Year 9999 as Spark writes it overflows nanoseconds; its 12 bytes are carried as they are."""
    moments = [b"\0" * 8 + (5_373_484 + n).to_bytes(4, "little") for n in range(10)]
    path = tmp_path / "a.parquet"
    table = pa.table({"id": [str(n) for n in range(10)], "at": pa.array(moments, pa.binary(12)), "jpg": [b"x"] * 10})
    pq.write_table(table, path, use_dictionary=False, store_schema=False, compression="none")
    footer = footer_of(path)
    footer.schema[2][1] = (thrift.I32, ft.INT96)
    del footer.schema[2][2]
    get(ft.chunks(footer.groups[0])[1], ft.META)[1] = (thrift.I32, ft.INT96)
    get(ft.chunks(footer.groups[0])[1], ft.META).pop(ft.STATISTICS)
    path.write_bytes(path.read_bytes()[: footer.end] + ft.ending(footer.tree, footer.groups))
    before = pl.read_parquet(path)
    erase(store_at(tmp_path, data="jpg"), "a.parquet", ["3"])
    assert pl.read_parquet(path).equals(before.filter(pl.col("id") != "3"))
    left = path.read_bytes()
    assert moments[3] not in left
    assert all(moment in left for n, moment in enumerate(moments) if n != 3)


def pages(path):
    """The bytes of each row group's chunks."""
    raw = Path(path).read_bytes()
    return [[raw[slice(*ft.span(chunk))] for chunk in ft.chunks(group)] for group in footer_of(path).groups]


def test_groups_that_are_not_hit_stay_as_bytes(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(100), path, row_group_size=10, compression="zstd")
    before = pages(path)
    erase(store_at(tmp_path), "a.parquet", ["photo-00005", *(f"photo-{n:05}" for n in range(40, 50))])
    after = pages(path)
    assert after[1:] == before[1:4] + before[5:]
    assert after[0] != before[0]
    assert pq.read_metadata(path).num_rows == 89


def test_codec_encodings_and_pages_stay_as_the_writer_had_them(tmp_path):
    path = tmp_path / "a.parquet"
    table = photos(40).append_column("n", pa.array(range(40)))
    pq.write_table(
        table,
        path,
        row_group_size=10,
        use_dictionary=["label"],
        column_encoding={"n": "DELTA_BINARY_PACKED", "id": "DELTA_BYTE_ARRAY"},
        compression={"n": "gzip", "id": "zstd", "label": "none"},
        data_page_version="2.0",
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(0)],
    )
    before = pq.read_metadata(path).to_dict()["row_groups"]
    erase(store_at(tmp_path), "a.parquet", ["photo-00005"])
    after = pq.read_metadata(path).to_dict()["row_groups"]
    for old, new in zip(before, after, strict=True):
        for was, now in zip(old["columns"], new["columns"], strict=True):
            for what in ("compression", "encodings", "path_in_schema"):
                assert set(was[what]) == set(now[what]) if what == "encodings" else was[what] == now[what]
            assert (was["statistics"] is None) == (now["statistics"] is None)
        assert old["sorting_columns"] == new["sorting_columns"]
    assert all(ft.OFFSET_INDEX in chunk for group in footer_of(path).groups for chunk in ft.chunks(group))
    with path.open("rb") as file:
        header = thrift.read(os.pread(file.fileno(), 200, after[0]["columns"][0]["data_page_offset"]))[0]
    assert header[1] == (thrift.I32, 3)
    assert 4 in header


def test_offset_indexes_point_to_pages(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(200), path, row_group_size=50, write_page_index=True, data_page_size=100, write_batch_size=5)
    erase(store_at(tmp_path), "a.parquet", ["photo-00010", "photo-00120"])
    raw = path.read_bytes()
    seen = 0
    for group in footer_of(path).groups:
        for chunk in ft.chunks(group):
            start = get(chunk, ft.OFFSET_INDEX)
            index, _ = thrift.read(raw[start : start + get(chunk, ft.OFFSET_INDEX_LENGTH)])
            for page in get(index, 1)[1]:
                header, end = thrift.read(raw[get(page, 1) :])
                assert get(header, 1) in {0, 3}
                assert end + get(header, 3) == get(page, 2)
                seen += 1
    assert seen > 50


def test_bloom_filters_of_kept_groups_serve_and_others_are_gone(tmp_path):
    path = tmp_path / "a.parquet"
    rows = "select 'k' || (i % 50) as id, ('x' || i)::blob as jpg from range(6000) t(i)"
    duck(f"copy ({rows}) to '{path}' (format parquet, row_group_size 2048)")
    before = footer_of(path)
    assert ft.BLOOM_FILTER in get(ft.chunks(before.groups[0])[0], ft.META)
    victim = pq.read_table(path)["id"][2100].as_py()
    store = open_parquet(store_id(), str(tmp_path), {"data": "jpg"})
    data = pq.read_table(path)["jpg"][2100].as_py()
    selector = hashlib.sha256(data).hexdigest()
    assert erase(store, "a.parquet", [selector]).erased == (selector,)
    after = footer_of(path)
    filtered = [ft.BLOOM_FILTER in get(ft.chunks(group)[0], ft.META) for group in after.groups]
    assert filtered == [True, False, True][: len(filtered)]
    counts = [duck(f"select count(*) from '{path}' where id = 'k{n}'")[0][0] for n in range(50)]  # noqa: S608
    assert sum(counts) == 5999
    assert counts[int(victim[1:])] == 119


def test_a_deleted_string_stays_in_no_dictionary(tmp_path):
    """Filtering an Arrow dictionary column leaves the string in the new file; ours are encoded anew."""
    path = tmp_path / "a.parquet"
    names = [f"SECRET-{n}" for n in range(10)]
    table = pa.table({"id": names, "jpg": [b"x"] * 10, "who": pa.array(names).dictionary_encode()})
    pq.write_table(table, path, compression="none", row_group_size=5)
    erase(store_at(tmp_path), "a.parquet", ["SECRET-3"])
    assert b"SECRET-3" not in path.read_bytes()
    assert b"SECRET-4" in path.read_bytes()
    assert pq.read_table(path)["who"].type == table["who"].type


def test_statistics_do_not_tell_of_what_went_and_still_prune(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table(
        {"id": [f"k{n}" for n in range(9)], "jpg": [b"x"] * 9, "u": pa.array(range(2**32 - 9, 2**32), pa.uint32())}
    )
    pq.write_table(table, path)
    erase(store_at(tmp_path), "a.parquet", ["k0", "k8"])
    columns = pq.read_metadata(path).row_group(0)
    assert (columns.column(0).statistics.min, columns.column(0).statistics.max) == ("k1", "k7")
    assert not columns.column(2).is_stats_set or not columns.column(2).statistics.has_min_max
    assert pl.scan_parquet(path).filter(pl.col("u") == 2**32 - 2).collect().height == 1


def test_key_value_metadata_stay(tmp_path):
    table = photos(10).replace_schema_metadata({"huggingface": json.dumps({"info": {}}), "mine": "x"})
    pq.write_table(table, tmp_path / "a.parquet")
    before = pq.read_metadata(tmp_path / "a.parquet").metadata
    erase(store_at(tmp_path), "a.parquet", ["photo-00001"])
    assert pq.read_metadata(tmp_path / "a.parquet").metadata == before


# Members.


def members(store):
    return [found for found in store.scan() if isinstance(found, Member)]


def skipped(store):
    return [found for found in store.scan() if isinstance(found, Skipped)]


def test_without_a_key_equal_rows_are_one_member(tmp_path):
    table = pa.table({"jpg": [b"a", b"b", b"a", None], "label": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    store = open_parquet(store_id(), str(tmp_path), {})
    a, b = members(store)
    assert (a.size_bytes, store.read("a.parquet", a.selector)) == (1, b"a")
    assert "1 row has no data" in skipped(store)[0].reason
    assert (
        store.erase("a.parquet", [Target(a.selector, a.stamp), Target(b.selector, "0" * 32)]).kept[0].selector
        == b.selector
    )
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [{"jpg": b"b", "label": 2}, {"jpg": None, "label": 4}]


def test_rows_with_one_key_and_other_data_are_told_and_go_together(tmp_path):
    pq.write_table(pa.table({"id": ["a", "a", "b"], "jpg": [b"1", b"2", b"3"]}), tmp_path / "a.parquet")
    store = store_at(tmp_path)
    assert [m.selector for m in members(store)] == ["a", "b"]
    assert "another row has the key 'a'" in skipped(store)[0].reason
    stamp = members(store)[0].stamp
    assert store.erase("a.parquet", [Target("a", stamp)]).kept[0].reason.startswith("it changed")
    assert erase(store, "a.parquet", ["a"]).erased == ("a",)
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == ["b"]


def test_many_are_read_in_one_pass(tmp_path):
    pq.write_table(photos(50), tmp_path / "a.parquet", row_group_size=10)
    store = store_at(tmp_path)
    asked = ["photo-00031", "photo-00002", "nobody"]
    found = dict(read_many(store, "a.parquet", asked, limit_bytes=500))
    assert {s: len(d) for s, d in found.items() if isinstance(d, bytes)} == {"photo-00002": 500, "photo-00031": 500}
    assert "not there" in str(found["nobody"])
    small = dict(store.read_many("a.parquet", asked[:1], limit_bytes=499))
    assert "larger than 499" in str(small["photo-00031"])


def test_a_dataset_of_vectors(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.random((20, 8), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    pq.write_table(pa.table({"id": range(20), "v": column}), tmp_path / "a.parquet", row_group_size=6)
    store = store_at(tmp_path)
    assert store.read("a.parquet", "7") == vectors[7].tobytes()
    assert erase(store, "a.parquet", ["7"]).erased == ("7",)
    raw = (tmp_path / "a.parquet").read_bytes()
    assert vectors[7].tobytes() not in raw
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == [n for n in range(20) if n != 7]


# Erasing.


def test_all_rows_gone_leaves_a_valid_empty_file_that_tidy_removes(tmp_path):
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "a.parquet"
    pq.write_table(photos(20), path, row_group_size=10)
    store = store_at(tmp_path)
    assert len(erase(store, "deep/a.parquet", [f"photo-{n:05}" for n in range(20)]).erased) == 20
    assert pq.read_table(path).num_rows == pl.read_parquet(path).height == 0
    assert duck(f"select count(*) from '{path}'") == [(0,)]  # noqa: S608
    assert list(store.scan()) == []
    assert store.tidy(["deep/a.parquet"]) == ("deep/a.parquet", "deep")
    assert store.tidy(["deep/a.parquet"]) == ()


def test_hard_links_keep_the_bytes_and_are_told(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(5), path)
    (tmp_path / "other.bin").hardlink_to(path)
    assert "hard links" in erase(store_at(tmp_path), "a.parquet", ["photo-00001"]).kept[0].reason


def test_a_repeated_call_sweeps_what_a_kill_left(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(5), path)
    old = path.read_bytes()
    store = store_at(tmp_path)
    erase(store, "a.parquet", ["photo-00001"])
    beside = tmp_path / os.fsdecode(shards.OLD + b"a.parquet")
    beside.write_bytes(old)
    (left,) = store.probe("a.parquet", ["photo-00001", "nobody"])
    assert (left.selector, "killed erasure" in left.where) == ("photo-00001", True)
    beside.write_bytes(old[:100])
    assert len(store.probe("a.parquet", ["photo-00001", "nobody"])) == 2
    assert erase(store, "a.parquet", ["photo-00001"]).absent == ("photo-00001",)
    assert store.probe("a.parquet", ["photo-00001"]) == ()
    assert not beside.exists()


def test_zeros_are_claimed_only_where_they_were_written(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(5), path)
    monkeypatch.setattr(overwriting, "in_place", lambda device: True)
    store = store_at(tmp_path, zero="true")
    assert store.capability().best_gone is Gone.D3
    with path.open("rb") as reader:
        assert erase(store, "a.parquet", ["photo-00001"]).gone is Gone.D2
        assert pq.read_table(io.BytesIO(reader.read())).num_rows == 5
    assert erase(store, "a.parquet", ["photo-00002"]).gone is Gone.D3
    monkeypatch.setattr(overwriting, "in_place", lambda device: False)
    assert erase(store, "a.parquet", ["photo-00003"]).gone is Gone.D2
    assert store.capability().best_gone is Gone.D2


def test_the_new_file_is_looked_through_before_it_takes_the_place(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(5), path)
    before = path.read_bytes()
    monkeypatch.setattr(encoding, "_kept", lambda rows, keep: rows.slice(0, int(keep.sum())))
    (kept,) = erase(store_at(tmp_path), "a.parquet", ["photo-00001"]).kept
    assert "still holds" in kept.reason
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


# What other files tell.


def test_the_summary_is_renewed_after_a_kill_too(tmp_path):
    collected = []
    for n in range(2):
        (tmp_path / f"part={n}").mkdir()
        with pq.ParquetWriter(
            tmp_path / f"part={n}" / "a.parquet", photos(1).schema, metadata_collector=collected
        ) as out:
            out.write_table(photos(20, seed=n), row_group_size=10)
        collected[-1].set_file_path(f"part={n}/a.parquet")
    pq.write_metadata(photos(1).schema, tmp_path / "_metadata", metadata_collector=collected)
    pq.write_metadata(photos(1).schema, tmp_path / "_common_metadata")
    common = (tmp_path / "_common_metadata").read_bytes()
    stale = (tmp_path / "_metadata").read_bytes()
    store = store_at(tmp_path)
    for _ in range(2):
        (tmp_path / "_metadata").write_bytes(stale)
        assert b"photo-00019" in stale
        erase(store, "part=1/a.parquet", ["photo-00000", "photo-00019"])
        summary = pq.read_metadata(tmp_path / "_metadata")
        assert (summary.num_rows, summary.num_row_groups) == (38, 4)
        assert summary.row_group(2).column(0).statistics.min == "photo-00001"
    import pyarrow.dataset as ds

    assert ds.parquet_dataset(tmp_path / "_metadata").to_table().num_rows == 38
    assert (tmp_path / "_common_metadata").read_bytes() == common
    erase(store, "part=1/a.parquet", [f"photo-{n:05}" for n in range(20)])
    store.tidy(["part=1/a.parquet"])
    assert pq.read_metadata(tmp_path / "_metadata").num_rows == 20
    (tmp_path / "_metadata").write_bytes(b"no summary")
    kept = erase(store, "part=0/a.parquet", ["photo-00003"]).kept
    assert "mend or remove it" in kept[0].reason


CARD = """---
dataset_info:
  splits:
  - name: train
    num_bytes: 1000
    num_examples: 30
  - name: test
    num_bytes: 1000
    num_examples: 10
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
# num_examples: 30 of them
"""


def test_hugging_face_loads_what_is_left(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": bytes([n]) * 50, "path": None} for n in range(30)], "label": [n % 3 for n in range(30)]},
        features=datasets.Features({"image": datasets.Image(decode=False), "label": datasets.ClassLabel(3)}),
    )
    for n in range(2):
        rows.shard(2, n).to_parquet(tmp_path / "data" / f"train-{n:05}-of-00002.parquet")
    rows.select(range(10)).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(CARD)
    info = {"splits": {"train": {"name": "train", "num_examples": 30, "num_bytes": 1000}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    store = open_store(store_id(), "parquet", str(tmp_path))
    listed = {m.selector: m for m in members(store) if "train-00000" in m.object}
    victims = [s for s, m in listed.items()][:3]
    assert (
        len(store.erase("data/train-00000-of-00002.parquet", [Target(s, listed[s].stamp) for s in victims]).erased) == 3
    )
    assert "num_examples: 27\n" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "README.md").read_text() == CARD.replace("examples: 30\n", "examples: 27\n")
    assert json.loads((tmp_path / "dataset_info.json").read_text())["splits"]["train"]["num_examples"] == 27
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 27
    assert loaded["train"].features == rows.features
    assert loaded["test"].num_rows == 10


# Bad input.


def spoil(path, how):
    raw = path.read_bytes()
    footer = footer_of(path)
    if how == "truncated":
        return raw[:-100]
    if how == "no footer":
        return raw[: footer.end]
    if how == "long":
        return raw[:-8] + (2**31).to_bytes(4, "little") + b"PAR1"
    if how == "garbage":
        return raw[: footer.end] + bytes(range(256)) + (256).to_bytes(4, "little") + b"PAR1"
    if how == "nothing":
        return b""
    chunk = ft.chunks(footer.groups[1])[0]
    if how == "overlap":
        get(chunk, ft.META)[ft.DATA_PAGE] = (thrift.I64, 10)
    elif how == "beyond":
        get(chunk, ft.META)[ft.SIZE] = (thrift.I64, 2**40)
    elif how == "negative":
        get(chunk, ft.META)[ft.SIZE] = (thrift.I64, -5)
    elif how == "elsewhere":
        chunk[ft.FILE_PATH] = (thrift.BINARY, b"/etc/passwd")
    elif how == "encrypted":
        footer.tree[ft.ENCRYPTION] = (thrift.STRUCT, {})
    elif how == "secret column":
        chunk[ft.CRYPTO] = (thrift.STRUCT, {})
    elif how == "page":
        start = ft.span(chunk)[0]
        return raw[:start] + b"\xff" * 40 + raw[start + 40 :]
    return raw[: footer.end] + ft.ending(footer.tree, footer.groups)


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "no footer",
        "long",
        "garbage",
        "nothing",
        "overlap",
        "beyond",
        "negative",
        "elsewhere",
        "encrypted",
        "secret column",
        "page",
    ],
)
def test_a_bad_file_is_told_and_stops_nothing_else(tmp_path, how):
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(photos(30), tmp_path / name, row_group_size=10)
    bad = tmp_path / "a.parquet"
    bad.write_bytes(spoil(bad, how))
    before = bad.read_bytes()
    store = store_at(tmp_path)
    (told,) = skipped(store)
    assert (told.object, told.selector, bool(told.reason)) == ("a.parquet", "", True)
    if how in {"overlap", "beyond"}:
        assert "lie upon each other or beyond the file" in told.reason
    assert sum(m.object == "b.parquet" for m in members(store)) == 30
    (kept,) = erase(store, "a.parquet", ["photo-00012"]).kept
    assert kept.reason
    assert bad.read_bytes() == before
    for act in (
        lambda: store.probe("a.parquet", ["photo-00012"]),
        lambda: store.read("a.parquet", "photo-00012"),
        lambda: store.stamps("a.parquet", ["photo-00012"]),
    ):
        with pytest.raises(StoreError, match=r"a\.parquet"):
            act()
    assert store.tidy(["a.parquet"]) == ()
    assert bad.exists()


def test_sizes_of_an_old_writer_are_not_relied_on(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(30), path, row_group_size=10)
    footer = footer_of(path)
    footer.tree[ft.CREATED_BY] = (thrift.BINARY, b"parquet-mr version 1.2.8 (build x)")
    path.write_bytes(path.read_bytes()[: footer.end] + ft.ending(footer.tree, footer.groups))
    wanted = pq.read_table(path).slice(1)
    erase(store_at(tmp_path), "a.parquet", ["photo-00000"])
    assert pq.read_table(path).to_pylist() == wanted.to_pylist()


def test_a_file_that_nobody_may_read_or_replace(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(30), path, row_group_size=10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "copy_range", full)
    (kept,) = erase(store_at(tmp_path), "a.parquet", ["photo-00012"]).kept
    assert kept.reason == "the disk is full"
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_options(tmp_path):
    for bad in ({"data": ""}, {"zero": "perhaps"}, {"compact": "true"}):
        with pytest.raises(InvalidValue):
            open_parquet(store_id(), str(tmp_path), bad)


TREES = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(lambda n: (thrift.I64, n)),
        st.booleans().map(lambda b: (thrift.TRUE if b else thrift.FALSE, b)),
        st.binary(max_size=40).map(lambda b: (thrift.BINARY, b)),
        st.binary(min_size=8, max_size=8).map(lambda b: (thrift.DOUBLE, b)),
        st.lists(st.integers(-5, 5), max_size=20).map(lambda v: (thrift.LIST, (thrift.I32, v))),
        st.lists(st.booleans(), max_size=20).map(lambda v: (thrift.LIST, (thrift.TRUE, v))),
        st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 9)), min_size=1, max_size=3).map(
            lambda v: (thrift.MAP, (thrift.BINARY, thrift.I32, v))
        ),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.integers(-300, 300), inner, max_size=4).map(lambda d: (thrift.STRUCT, d)),
        st.lists(st.dictionaries(st.integers(1, 20), inner, max_size=3), max_size=17).map(
            lambda v: (thrift.LIST, (thrift.STRUCT, v))
        ),
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.integers(-0x8000, 0x7FFF), TREES, max_size=5))
def test_thrift_round_trip(tree):
    data = thrift.write(tree)
    assert thrift.read(data) == (tree, len(data))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_thrift_of_any_bytes_ends_in_a_tree_or_an_error(data):
    try:
        tree, end = thrift.read(data)
    except thrift.ThriftError:
        return
    assert 0 < end <= len(data)
    assert thrift.read(thrift.write(tree))[0] == tree


@given(st.data())
def test_a_changed_footer_ends_in_rows_or_an_error(data):
    out = io.BytesIO()
    pq.write_table(photos(6), out, row_group_size=3)
    raw = bytearray(out.getvalue())
    at = data.draw(st.integers(1, int.from_bytes(raw[-8:-4], "little") + 8))
    raw[-at] = data.draw(st.integers(0, 255))
    read_fd, path = os.memfd_create("fuzz"), None
    try:
        os.write(read_fd, raw)
        ft.read(read_fd)
    except StoreError:
        pass
    finally:
        os.close(read_fd)
    assert path is None


def test_bombs_are_refused():
    with pytest.raises(thrift.ThriftError, match="in each other"):
        thrift.read(b"\x1c" * 1000)
    with pytest.raises(thrift.ThriftError):
        thrift.read(b"\x19" * 1000)
    with pytest.raises(thrift.ThriftError, match="longer"):
        thrift.read(b"\x19\xfc\xff\xff\xff\xff\x0f")
    with pytest.raises(thrift.ThriftError, match="longer"):
        thrift.read(b"\x18\xff\xff\xff\xff\x7f")
    with pytest.raises(thrift.ThriftError, match="64 bits"):
        thrift.read(b"\x16" + b"\xff" * 20)


# Stamps say of which file they are.


def count_stamps(monkeypatch):
    made = []
    whole = rowfiles.stamp
    monkeypatch.setattr(rowfiles, "stamp", lambda view: (made.append(len(view)), whole(view))[1])
    return made


def test_rows_of_a_file_that_nobody_wrote_to_are_not_hashed_again(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(photos(20), path, row_group_size=10)
    store = store_at(tmp_path)
    listed = {m.selector: m.stamp for m in members(store)}
    made = count_stamps(monkeypatch)
    assert len(store.erase("a.parquet", [Target(s, listed[s]) for s in ("photo-00001", "photo-00011")]).erased) == 2
    assert made == []
    # Now it is another file, and digests tell that the row is the same.
    assert len(store.erase("a.parquet", [Target("photo-00002", listed["photo-00002"])]).erased) == 1
    assert made == [500]
    (kept,) = store.erase("a.parquet", [Target("photo-00003", "0" * 32 + "@" + listed["photo-00003"])]).kept
    assert "it changed" in kept.reason


def test_a_file_written_to_in_its_place_is_hashed(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["a", "b"], "jpg": [b"one", b"two"]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    store = store_at(tmp_path)
    stamps = {m.selector: m.stamp for m in members(store)}
    raw = path.read_bytes()
    with path.open("r+b") as file:  # the same size and inode
        file.write(raw.replace(b"one", b"eno"))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    (kept,) = store.erase("a.parquet", [Target("a", stamps["a"]), Target("b", stamps["b"])]).kept
    assert kept.selector == "a"
    assert pq.read_table(path)["id"].to_pylist() == ["a"]


def test_without_a_key_rows_of_other_sizes_are_not_hashed_when_the_new_file_is_looked_through(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"jpg": [bytes([n]) * (n // 2) for n in range(1, 41)]}), path)
    store = open_parquet(store_id(), str(tmp_path), {})
    victim = hashlib.sha256(bytes([10]) * 5).hexdigest()
    made = []
    monkeypatch.setattr(
        rowfiles.hashlib, "sha256", lambda view: (made.append(len(view)), hashlib.new("sha256", view))[1]
    )
    assert store.erase("a.parquet", [Target(victim)]).erased == (victim,)
    again = made[40:]
    assert again == [5]  # bytes of 11, of the same size
    victim = hashlib.sha256(bytes([40]) * 20).hexdigest()
    monkeypatch.setattr(encoding, "_kept", lambda rows, keep: rows.slice(1, int(keep.sum())))
    assert "still holds" in store.erase("a.parquet", [Target(victim)]).kept[0].reason


def test_the_certificate_says_how(tmp_path):
    assert store_at(tmp_path).capability().method == (
        "row groups written anew without the rows, the others copied as bytes"
    )
