"""Arrow IPC: batches that are not hit stay as bytes, those that are lose exactly their rows; files, streams, and bad ones."""

import json
import struct
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parquet_files import photos, tables
from test_arrow_contract import read

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.arrow import messages, open_arrow
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.registry import open_store
from unsee.testing.stores import store_id


def store_at(path, **options):
    return open_arrow(store_id(), str(path), {"key": "id", **options})


def erase(store, name, selectors):
    return store.erase(name, [Target(s) for s in selectors])


def write(table, path, *, stream=False, rows=10, **options):
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)


def layout_of(path):
    with Path(path).open("rb") as file:
        return messages.layout(file.fileno())


def plain(rows):
    """Without the dictionary column: batches can be copied."""
    return photos(rows).drop_columns(["label"]).append_column("n", pa.array(range(rows)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(), st.booleans(), st.sampled_from([None, "lz4", "zstd"]), st.data())
def test_any_table_loses_exactly_its_rows(tmp_path_factory, table, stream, compression, data):
    path = tmp_path_factory.mktemp("any") / "a.arrow"
    table = table.replace_schema_metadata({"huggingface": "{}"})
    write(
        table, path, stream=stream, rows=data.draw(st.integers(1, 15)), compression=compression, unify_dictionaries=True
    )
    going = data.draw(st.sets(st.sampled_from(table["id"].to_pylist())))
    assert set(erase(store_at(path.parent, data="jpg"), "a.arrow", sorted(going)).erased) == going
    got = read(path)
    assert got.schema.equals(table.schema, check_metadata=True)
    keep = [key not in going for key in table["id"].to_pylist()]
    assert got.to_pylist() == table.filter(pa.array(keep)).to_pylist()
    if going and not stream:
        assert pl.read_ipc(path, columns=["id"])["id"].to_list() == got["id"].to_pylist()


@pytest.mark.parametrize("stream", [False, True])
def test_batches_that_are_not_hit_stay_as_bytes(tmp_path, stream):
    path = tmp_path / "a.arrow"
    write(plain(100), path, stream=stream, compression="zstd")
    raw, before = path.read_bytes(), layout_of(path).batches
    old = [raw[m.start : m.start + m.length] for m in before]
    erase(store_at(tmp_path), "a.arrow", ["photo-00005", *(f"photo-{n:05}" for n in range(40, 50))])
    raw, after = path.read_bytes(), layout_of(path).batches
    new = [raw[m.start : m.start + m.length] for m in after]
    assert new[1:] == old[1:4] + old[5:]
    assert [m.rows for m in after] == [9, *[10] * 8]
    assert {m.codec for m in after} == {1}
    assert (layout_of(path).footer is None) == stream


def test_the_metadata_of_a_footer_stay(tmp_path):
    path = tmp_path / "a.arrow"
    table = plain(20)
    with pa.ipc.new_file(str(path), table.schema, metadata={"mine": "x"}) as writer:
        writer.write_table(table, max_chunksize=10)
    erase(store_at(tmp_path), "a.arrow", ["photo-00005"])
    with pa.OSFile(str(path)) as source:
        assert pa.ipc.open_file(source).metadata[b"mine"] == b"x"


@pytest.mark.parametrize("stream", [False, True])
def test_a_deleted_string_stays_in_no_dictionary(tmp_path, stream):
    """Deltas and replacements too; filtering the column alone would leave it."""
    path = tmp_path / "a.arrow"
    names = [f"SECRET-{n}" for n in range(10)]
    both = [pa.array(names[:5]).dictionary_encode(), pa.array(names).dictionary_encode()[5:]]
    kind = pa.schema([("id", pa.string()), ("jpg", pa.binary()), ("who", both[0].type)])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(path), kind, options=options) as writer:
        for n, who in enumerate(both):
            ids = names[5 * n : 5 * n + 5]
            writer.write_batch(pa.RecordBatch.from_arrays([pa.array(ids), pa.array([b"x"] * 5), who], schema=kind))
    assert sum(m.kind == messages.DICTIONARY for m in layout_of(path).messages) == 2
    assert set(erase(store_at(tmp_path), "a.arrow", ["SECRET-3", "SECRET-7"]).erased) == {"SECRET-3", "SECRET-7"}
    left = path.read_bytes()
    assert b"SECRET-3" not in left
    assert b"SECRET-7" not in left
    assert read(path)["who"].to_pylist() == [n for n in names if n not in {"SECRET-3", "SECRET-7"}]
    assert read(path).schema == kind


def test_nested_dictionaries(tmp_path):
    kind = pa.struct([("w", pa.dictionary(pa.int8(), pa.string()))])
    column = pa.StructArray.from_arrays(
        [pa.array(["SECRET-a", "b", "c"]).dictionary_encode().cast(kind[0].type)], ["w"]
    )
    write(pa.table({"id": ["a", "b", "c"], "jpg": [b"1", b"2", b"3"], "s": column}), tmp_path / "a.arrow")
    outcome = erase(store_at(tmp_path, data="jpg"), "a.arrow", ["a"])
    left = (tmp_path / "a.arrow").read_bytes()
    if outcome.erased:
        assert b"SECRET-a" not in left
        assert read(tmp_path / "a.arrow")["s"].to_pylist() == [{"w": "b"}, {"w": "c"}]
    else:
        assert "cannot be made anew" in outcome.kept[0].reason
        assert b"SECRET-a" in left


@pytest.mark.parametrize("stream", [False, True])
def test_all_rows_gone_leaves_a_valid_empty_file_that_tidy_removes(tmp_path, stream):
    write(plain(20), tmp_path / "a.arrow", stream=stream)
    store = store_at(tmp_path)
    assert len(erase(store, "a.arrow", [f"photo-{n:05}" for n in range(20)]).erased) == 20
    assert read(tmp_path / "a.arrow").num_rows == 0
    assert list(store.scan()) == []
    assert store.tidy(["a.arrow"]) == ("a.arrow",)


def test_a_dataset_saved_to_disk_and_its_leftovers(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": bytes([n]) * 50, "path": None} for n in range(30)], "label": [n % 3 for n in range(30)]},
        features=datasets.Features({"image": datasets.Image(decode=False), "label": datasets.ClassLabel(3)}),
        split="train",
    )
    place = tmp_path / "saved"
    rows.save_to_disk(place, num_shards=2)
    info = json.loads((place / "dataset_info.json").read_text()) | {"splits": {"train": {"num_examples": 30}}}
    (place / "dataset_info.json").write_text(json.dumps(info))
    loaded = datasets.load_from_disk(place)
    cached = loaded.map(lambda row: {"twice": row["label"] * 2})
    assert list(place.glob("cache-*.arrow"))
    (place / "tmpab12").write_bytes((place / "data-00001-of-00002.arrow").read_bytes())
    (place / "tmpother").write_bytes(b"something else")
    del loaded, cached
    store = open_store(store_id(), "arrow", str(place))
    found = [m for m in store.scan() if isinstance(m, Member)]
    assert {m.object for m in found if m.selector == found[0].selector} > {found[0].object}
    assert [m.object for m in store.scan() if isinstance(m, Skipped)] == ["tmpother"]
    victim = bytes([29]) * 50
    for name, selector in {(m.object, m.selector) for m in found}:
        if store.read(name, selector) == victim:
            assert erase(store, name, [selector]).erased == (selector,)
    assert not [path for path in place.iterdir() if victim in path.read_bytes()]
    assert json.loads((place / "dataset_info.json").read_text())["splits"]["train"]["num_examples"] == 29
    again = datasets.load_from_disk(place)
    assert again.num_rows == 29
    assert again.features == rows.features
    assert [row["image"]["bytes"][0] for row in again] == list(range(29))


# Bad input.


def spoil(path, how):
    raw = path.read_bytes()
    layout = layout_of(path)
    if how == "truncated":
        return raw[:-30]
    if how == "nothing":
        return b""
    if how == "garbage":
        return bytes(range(256)) * 4
    if how == "footer of another":
        start, end = layout.footer
        wrong = [(m.start, m.head, m.body) for m in layout.batches[:-1]]
        return raw[:start] + messages.renewed_footer(raw[start:end], wrong) + raw[end:]
    if how == "long":
        return raw[:-10] + struct.pack("<i", 2**30) + raw[-6:]
    first = layout.batches[1]
    if how == "metadata":
        return raw[: first.start + 8] + b"\xff" * 8 + raw[first.start + 16 :]
    offsets = first.start + first.head
    return raw[:offsets] + b"\xff\xff\xff\x7f" * 16 + raw[offsets + 64 :]


@pytest.mark.parametrize("how", ["truncated", "nothing", "garbage", "footer of another", "long", "metadata", "offsets"])
def test_a_bad_file_is_told_and_stops_nothing_else(tmp_path, how):
    for name in ("a.arrow", "b.arrow"):
        write(plain(30), tmp_path / name)
    bad = tmp_path / "a.arrow"
    bad.write_bytes(spoil(bad, how))
    before = bad.read_bytes()
    store = store_at(tmp_path)
    (told,) = [found for found in store.scan() if isinstance(found, Skipped)]
    assert (told.object, told.selector, bool(told.reason)) == ("a.arrow", "", True)
    assert sum(isinstance(m, Member) and m.object == "b.arrow" for m in store.scan()) == 30
    (kept,) = erase(store, "a.arrow", ["photo-00012"]).kept
    assert kept.reason
    assert bad.read_bytes() == before
    with pytest.raises(StoreError, match=r"a\.arrow"):
        store.probe("a.arrow", ["photo-00012"])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.booleans(), st.data())
def test_a_changed_file_ends_in_rows_or_an_error(tmp_path_factory, stream, data):
    path = tmp_path_factory.mktemp("fuzz") / "a.arrow"
    write(pa.table({"id": ["a", "b"], "jpg": [b"1", b"2"]}), path, stream=stream, rows=1)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    for found in store_at(path.parent, data="jpg").scan():
        assert isinstance(found, Member | Skipped)


def test_a_stream_without_its_end_is_read_to_where_it_goes(tmp_path):
    path = tmp_path / "a.arrow"
    write(plain(20), path, stream=True)
    path.write_bytes(path.read_bytes()[:-8])
    store = store_at(tmp_path)
    assert len(list(store.scan())) == 20
    assert erase(store, "a.arrow", ["photo-00001"]).erased == ("photo-00001",)
    assert read(path).num_rows == 19


def test_options(tmp_path):
    for bad in ({"data": ""}, {"zero": "perhaps"}, {"compact": "true"}):
        with pytest.raises(InvalidValue):
            open_arrow(store_id(), str(tmp_path), bad)
