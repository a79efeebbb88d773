"""Columns of pictures, spliced: others keep every value through every reader, what went is nowhere, pages that stay are bytes."""

import io
import os
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parquet_files import SETTINGS, assume_readable, readers, tables

from unsee.stores.contract import Target
from unsee.stores.parquet import encoding, levels, open_parquet, splicing, thrift
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet.footer import get
from unsee.testing.stores import store_id

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def erase(path, selectors):
    store = open_parquet(store_id(), str(path.parent), {"key": "id", "data": "jpg"})
    return store.erase(path.name, [Target(s) for s in selectors])


def footer_of(path):
    with Path(path).open("rb") as file:
        return ft.read(file.fileno())


def pages(path, column=1):
    """Of each row group: the header of each page of a column, and its bytes."""
    raw, found = path.read_bytes(), []
    for group in footer_of(path).groups:
        at, end = ft.span(ft.chunks(group)[column])
        here = []
        while at < end:
            header, length = thrift.read(raw[at:])
            here.append((header, raw[at : at + length + get(header, 3)]))
            at += len(here[-1][1])
        found.append(here)
    return found


@contextmanager
def any_size_is_spliced():
    """And the number of columns that were."""
    with pytest.MonkeyPatch.context() as patch:
        done = []
        whole = splicing.splice
        patch.setattr(splicing, "BLOB_BYTES", -1)
        patch.setattr(splicing, "_PAGE_BYTES", 500)
        patch.setattr(splicing, "splice", lambda *a: (whole(*a), done.append(a))[0])
        yield done


@SLOW
@given(tables(), SETTINGS, st.data())
def test_any_column_of_bytes_loses_exactly_its_rows(tmp_path_factory, table, how, data):
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    pq.write_table(table, path, **how)
    written = pq.read_table(path)
    going = data.draw(st.sets(st.sampled_from(table["id"].to_pylist()), min_size=1))
    with any_size_is_spliced() as done:
        assert set(erase(path, sorted(going)).erased) == going
    wanted = written.filter(pa.array([key not in going for key in table["id"].to_pylist()]))
    names, size = table["id"].to_pylist(), how["row_group_size"]
    groups = [{name in going for name in names[n : n + size]} for n in range(0, len(names), size)]
    assert len(done) >= groups.count({True, False})  # `id` at least
    got = pq.read_table(path, page_checksum_verification=True)
    assert got.schema.equals(written.schema, check_metadata=True)
    assert got.to_pylist() == wanted.to_pylist()
    sizes = [(r["id"], None if r["jpg"] is None else len(r["jpg"])) for r in wanted.select(["id", "jpg"]).to_pylist()]
    assert all(seen == sizes for seen in readers(path).values())


@SLOW
@given(tables(deep=1), st.sampled_from(["polars", "duckdb", "duckdb-v2"]), st.data())
def test_columns_of_other_writers(tmp_path_factory, table, writer, data):
    path = tmp_path_factory.mktemp("others") / "a.parquet"
    if writer == "polars":
        codec = data.draw(st.sampled_from(["zstd", "snappy", "lz4", "gzip", "brotli", "uncompressed"]))
        pl.from_arrow(table).write_parquet(path, row_group_size=7, data_page_size=200, compression=codec)
    else:
        version = "V2" if writer == "duckdb-v2" else "V1"
        with duckdb.connect() as connection:
            connection.register("t", table)
            connection.execute(f"copy t to '{path}' (format parquet, compression snappy, parquet_version {version})")
    before = pl.read_parquet(path)
    going = data.draw(st.sets(st.sampled_from(table["id"].to_pylist()), min_size=1))
    with any_size_is_spliced():
        outcome = erase(path, sorted(going))
    assume_readable(outcome)
    assert set(outcome.erased) == going
    after = pl.read_parquet(path)
    assert after.equals(before.filter(~pl.col("id").is_in(sorted(going))), null_equal=True)
    sizes = [(key, None if jpg is None else len(jpg)) for key, jpg in after.select("id", "jpg").iter_rows()]
    assert all(seen == sizes for seen in readers(path).values())


def pictures(rows, size=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table({"id": [f"k{n}" for n in range(rows)], "jpg": [rng.bytes(size + n) for n in range(rows)]})


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "lz4", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pictures_are_not_decoded_into_columns(tmp_path, monkeypatch, codec, version):
    """Only the key column goes through pyarrow's encoder; the picture's bytes are the same in every reader."""
    asked = []
    whole = encoding.encode
    monkeypatch.setattr(encoding, "encode", lambda *a: (asked.append(a[-1]), whole(*a))[1])
    path = tmp_path / "a.parquet"
    table = pictures(200)
    how = {"compression": codec, "data_page_version": version, "row_group_size": 120}
    pq.write_table(table, path, write_page_checksum=True, write_page_index=True, **how)
    going = {f"k{n}" for n in range(0, 200, 3)}
    assert len(erase(path, sorted(going)).erased) == len(going)
    assert asked == [[0], [0]]
    wanted = [row for row in table.to_pylist() if row["id"] not in going]
    assert pq.read_table(path, page_checksum_verification=True).to_pylist() == wanted
    assert pl.read_parquet(path).to_dicts() == wanted
    with duckdb.connect() as connection:
        seen = connection.execute(f"select id, jpg from '{path}'").fetchall()  # noqa: S608
    assert seen == [(row["id"], row["jpg"]) for row in wanted]
    raw = path.read_bytes()
    assert [n for n in range(0, 200, 3) if table["jpg"][n].as_py()[500:540] in raw] == []
    number = {"none": 0, "snappy": 1, "gzip": 2, "zstd": 6, "lz4": 7}[codec]
    assert {get(get(ft.chunks(group)[1], ft.META), ft.CODEC) for group in footer_of(path).groups} == {number}
    found = pages(path)
    assert all(len(here) > 1 and get(header, 1) != 2 for here in found for header, _ in here)
    for group, here in zip(footer_of(path).groups, found, strict=True):
        chunk = ft.chunks(group)[1]
        start = get(chunk, ft.OFFSET_INDEX)
        index = thrift.read(raw[start : start + get(chunk, ft.OFFSET_INDEX_LENGTH)])[0]
        assert [get(place, 2) for place in get(index, 1)[1]] == [len(data) for _, data in here]
        assert [raw[get(place, 1) :][: get(place, 2)] for place in get(index, 1)[1]] == [data for _, data in here]
        firsts = [get(place, 3) for place in get(index, 1)[1]]
        counts = [get(get(header, 5 if version == "1.0" else 8), 1) for header, _ in here]
        assert np.diff([*firsts, get(group, ft.GROUP_ROWS)]).tolist() == counts
        meta = get(chunk, ft.META)
        assert get(meta, ft.SIZE) == sum(len(data) for _, data in here)


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_pages_that_lose_nothing_stay_as_bytes(tmp_path, codec):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pictures(40), path, compression=codec, use_dictionary=False, data_page_size=50_000, write_batch_size=2
    )
    (before,) = pages(path)
    assert len(before) == 10
    erase(path, ["k7"])
    (after,) = pages(path)
    same = {data for _, data in before} & {data for _, data in after}
    assert len(same) == len(before) - 1
    erase(path, [f"k{n}" for n in range(10, 20)])
    left = [f"k{n}" for n in (*range(7), 8, 9, *range(20, 40))]
    assert pq.read_table(path)["id"].to_pylist() == left


def test_nulls_within_structs_and_their_count(tmp_path):
    """`image` is null, or its bytes are: other levels, and no value."""
    nothing = [None, {"bytes": None, "path": "q"}]
    rows = [nothing[n % 7] if n % 7 < 2 else {"bytes": bytes([n]) * 3000, "path": "p"} for n in range(60)]
    table = pa.table({"id": [f"k{n}" for n in range(60)], "image": rows})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    store = open_parquet(store_id(), str(tmp_path), {"key": "id"})
    going = [f"k{n}" for n in range(0, 60, 4)]
    assert len(store.erase("a.parquet", [Target(s) for s in going]).erased) == 15
    wanted = [row for row in table.to_pylist() if row["id"] not in going]
    assert pq.read_table(path).to_pylist() == wanted
    column = pq.read_metadata(path).row_group(0).column(1)
    assert column.path_in_schema == "image.bytes"
    assert column.statistics.null_count == sum(row["image"] is None or row["image"]["bytes"] is None for row in wanted)
    assert not column.statistics.has_min_max


def test_pictures_that_a_dictionary_holds_once_stay_in_one(tmp_path):
    """Plain pages would hold each a hundred times."""
    path = tmp_path / "a.parquet"
    words = pictures(4, 30_000)["jpg"].to_pylist()
    pq.write_table(pa.table({"id": [f"k{n}" for n in range(400)], "jpg": [words[n % 4] for n in range(400)]}), path)
    assert not encoding.is_blob(get(ft.chunks(footer_of(path).groups[0])[1], ft.META))
    with any_size_is_spliced():
        erase(path, ["k5"])
    assert path.stat().st_size < 200_000
    assert pq.read_table(path)["jpg"].to_pylist() == [words[n % 4] for n in range(400) if n != 5]


@pytest.mark.parametrize("size", [1, 60, 61, 252, 253, 256, 65_532, 65_533, 65_536, 70_000])
def test_snappy_of_stored_bytes_is_snappy(size):
    data = os.urandom(size)
    for pieces in ([data], [data, b"", data[:1]]):
        made = splicing._compressed([memoryview(p) for p in pieces], sum(map(len, pieces)), 1, tried=False)
        assert pa.decompress(b"".join(made), sum(map(len, pieces)), codec="snappy").to_pybytes() == b"".join(pieces)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), max_size=8))
def test_levels_round_trip(runs):
    numbers = np.array([number for number, count in runs for _ in range(count)], np.int64)
    assert levels.read(memoryview(levels.write(numbers)), 2, len(numbers)).tolist() == numbers.tolist()


def test_packed_numbers():
    """The example of the format's description: 0 to 7 in three bits."""
    assert levels.read(memoryview(b"\x03\x88\xc6\xfa"), 3, 8).tolist() == list(range(8))
    assert levels.read(memoryview(b"\x10"), 0, 8).tolist() == [0] * 8
    for bad in (b"", b"\x03\x88", b"\x10", b"\x00\x01", b"\xff\xff\xff\xff\xff\xff\xff"):
        with pytest.raises(levels.Unfit):
            levels.read(memoryview(bad), 3, 8)


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 100))
def test_levels_of_any_bytes_end_in_numbers_or_are_unfit(data, width, count):
    with suppress(levels.Unfit):
        assert len(levels.read(memoryview(data), width, count)) == count


@settings(SLOW, max_examples=120)
@given(st.data(), SETTINGS)
def test_a_changed_byte_harms_no_other_row(tmp_path_factory, data, how):
    """The file stays as it is, or its rows are those that pyarrow read in it before, but for the one that goes."""
    path = tmp_path_factory.mktemp("changed") / "a.parquet"
    out = io.BytesIO()
    table = pa.table({"id": [f"k{n}" for n in range(6)], "jpg": [bytes([n]) * 40 if n % 4 else None for n in range(6)]})
    pq.write_table(table, out, **{**how, "row_group_size": 6, "write_page_checksum": False, "compression": "none"})
    raw = bytearray(out.getvalue())
    path.write_bytes(raw)
    start, end = ft.span(ft.chunks(footer_of(path).groups[0])[1])
    raw[data.draw(st.integers(start, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        before = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError):
        before = None
    with any_size_is_spliced():
        outcome = erase(path, ["k3"])
    if outcome.kept:
        assert path.read_bytes() == raw
    elif before is not None:
        assert pq.read_table(path).to_pylist() == [row for row in before if row["id"] != "k3"]


def test_a_page_whose_checksum_does_not_hold_is_kept(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pictures(6), path, write_page_checksum=True, compression="none", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    raw[ft.span(ft.chunks(footer_of(path).groups[0])[1])[1] - 100] ^= 1
    path.write_bytes(raw)
    (kept,) = erase(path, ["k3"]).kept
    assert "crc" in kept.reason.lower()
    assert path.read_bytes() == raw


def test_spliced_pages_carry_checksums_that_hold(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pictures(6), path, write_page_checksum=True)
    erase(path, ["k3"])
    for header, data in pages(path)[0]:
        assert zlib.crc32(data[-get(header, 3) :]) == get(header, 4) & 0xFFFFFFFF


def test_a_column_that_pyarrow_cannot_decode_is_named_and_nothing_changes(tmp_path):
    """DuckDB 2.0 writes differences of uint32 with 33 bits, which pyarrow refuses and polars reads."""
    path = tmp_path / "a.parquet"
    numbers = pa.array([None] * 24 + [0, 3, 4, 5, 1, 2147483650, 2], pa.uint32())
    table = pa.table({"id": [f"row-{n}" for n in range(31)], "jpg": pa.nulls(31, pa.binary()), "c0": numbers})
    with duckdb.connect() as connection:
        connection.register("t", table)
        connection.execute(f"copy t to '{path}' (format parquet, parquet_version V2)")
    assert pl.read_parquet(path)["c0"].to_list() == numbers.to_pylist()
    written = path.read_bytes()
    outcome = erase(path, ["row-0"])
    assert "pyarrow cannot decode 'c0': delta bit width" in outcome.kept[0].reason
    assert outcome.erased == ()
    assert path.read_bytes() == written
