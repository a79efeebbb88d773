"""Rows as members: whatever the layout of Arrow arrays, the same rows have the same selectors, data and stamps."""

import hashlib
import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.names import spell
from unsee.stores.rows import OPTIONS, RowShape, mask, options, stamp

BYTES = st.binary(max_size=20)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
FLOATS = st.floats(width=32, allow_nan=False)


def sha(data):
    return hashlib.sha256(data).hexdigest()


@st.composite
def laid_out(draw, values, kinds):
    """The same values as an array in any layout: type, dictionary, runs, a slice of something longer."""
    kind = draw(st.sampled_from(kinds))
    before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    array = pa.array([None] * before + values + [None] * after, type=kind)
    nested = pa.types.is_nested(kind)
    how = draw(st.sampled_from(["plain"] if nested else ["plain", "dictionary", "dictionary of views", "runs"]))
    if how == "dictionary":
        array = array.cast(
            {pa.binary_view(): pa.binary(), pa.string_view(): pa.string()}.get(kind, kind)
        ).dictionary_encode()
    elif how == "dictionary of views":
        view = pa.string_view() if "string" in str(kind) else pa.binary_view()
        array = pa.DictionaryArray.from_arrays(pa.array(range(len(array)), pa.int32()), array.cast(view))
    elif how == "runs" and kind not in {pa.binary_view(), pa.string_view()}:
        array = pc.run_end_encode(array)
    return array.slice(before, len(values))


@st.composite
def chunked(draw, batch):
    """A batch as such, or as a table cut anywhere."""
    if draw(st.booleans()):
        return batch
    table = pa.Table.from_batches([batch])
    cut = draw(st.integers(0, len(batch)))
    return pa.concat_tables([table.slice(0, cut), table.slice(cut)])


BYTE_KINDS = [pa.binary(), pa.large_binary(), pa.binary_view()]
TEXT_KINDS = [pa.string(), pa.large_string(), pa.string_view()]


@given(st.data(), st.lists(st.tuples(st.none() | BYTES, st.none() | TEXT), max_size=12))
def test_any_layout_gives_the_same_members(data, rows):
    blobs = data.draw(laid_out([blob for blob, _ in rows], BYTE_KINDS))
    keys = data.draw(laid_out([key for _, key in rows], TEXT_KINDS))
    batch = data.draw(chunked(pa.RecordBatch.from_arrays([keys, blobs], names=["id", "jpg"])))

    by_key = RowShape(key="id").resolved(batch.schema)
    assert by_key == RowShape("jpg", "id")
    selectors = [spell(key.encode()) if key else "" for _, key in rows]
    assert by_key.selectors(batch) == selectors
    assert list(by_key.cells(batch)) == [(s, b or b"") for s, (b, _) in zip(selectors, rows, strict=True) if s]
    assert by_key.nameless(batch) == selectors.count("")

    by_digest = RowShape().resolved(batch.schema)
    assert by_digest.selectors(batch) == ["" if blob is None else sha(blob) for blob, _ in rows]
    assert list(by_digest.cells(batch)) == [(sha(blob), blob) for blob, _ in rows if blob is not None]
    assert by_digest.nameless(batch) == sum(blob is None for blob, _ in rows)


@given(st.data(), st.lists(st.none() | st.lists(FLOATS, min_size=3, max_size=3), max_size=8))
def test_vectors_are_read_as_little_endian_float32(data, rows):
    kinds = [pa.list_(number, size) for number in (pa.float32(), pa.float64()) for size in (3, -1)]
    kinds.append(pa.large_list(pa.float32()))
    array = data.draw(laid_out(rows, kinds))
    batch = data.draw(chunked(pa.RecordBatch.from_arrays([array], names=["vector"])))
    wanted = [(sha(raw), raw) for raw in (struct.pack("<3f", *row) for row in rows if row is not None)]
    assert list(RowShape(data="vector").resolved(batch.schema).cells(batch)) == wanted


def test_vectors_of_other_numbers_and_with_gaps():
    halves = pa.RecordBatch.from_pydict({"v": pa.array([np.float16([1, 2])], pa.list_(pa.float16(), 2))})
    assert list(RowShape(data="v").cells(halves)) == [(sha(struct.pack("<2f", 1, 2)), struct.pack("<2f", 1, 2))]
    small = pa.RecordBatch.from_pydict({"v": pa.array([[255, 0, 7], [], None], pa.list_(pa.uint8()))})
    assert [data for _, data in RowShape(data="v").cells(small)] == [b"\xff\x00\x07", b""]
    signed = pa.RecordBatch.from_pydict({"v": pa.array([[-1, None]], pa.list_(pa.int8()))})
    assert [data for _, data in RowShape(data="v").cells(signed)] == [b"\xff\x00"]
    gap = pa.RecordBatch.from_pydict({"v": pa.array([[1.0, None]], pa.list_(pa.float32(), 2))})
    assert [data for _, data in RowShape(data="v").cells(gap)] == [np.array([1, np.nan], "<f4").tobytes()]
    beyond = pa.RecordBatch.from_pydict({"v": pa.array([[1e300]], pa.list_(pa.float64(), 1))})
    assert [data for _, data in RowShape(data="v").cells(beyond)] == [np.array([np.inf], "<f4").tobytes()]


def test_views_copy_nothing():
    batch = pa.RecordBatch.from_pydict({"jpg": [b"a" * 100, b"b" * 100]})
    start, size = batch.column(0).buffers()[2].address, batch.column(0).buffers()[2].size
    for _, view in RowShape(data="jpg").views(batch):
        assert start <= np.frombuffer(view, np.uint8).__array_interface__["data"][0] < start + size


HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def schema(**columns):
    return pa.schema(list(columns.items()))


@pytest.mark.parametrize(
    ("columns", "data"),
    [
        ({"label": pa.int64(), "image": HF_IMAGE, "mask": pa.binary()}, "image.bytes"),
        ({"image": pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])}, "image.bytes"),
        ({"jpg": pa.large_binary(), "vector": pa.list_(pa.float32(), 4)}, "jpg"),
        ({"jpg": pa.dictionary(pa.int32(), pa.binary())}, "jpg"),
        ({"id": pa.int64(), "vector": pa.list_(pa.float32(), 4)}, "vector"),
        ({"tensor": pa.fixed_shape_tensor(pa.float32(), [2, 2])}, "tensor"),
    ],
)
def test_the_data_column_is_found(columns, data):
    assert RowShape().resolved(schema(**columns)).data == data


def test_a_binary_key_is_not_the_data():
    assert RowShape(key="uuid").resolved(schema(uuid=pa.binary(16), jpg=pa.binary())) == RowShape("jpg", "uuid")


@pytest.mark.parametrize(
    ("shape", "columns", "said"),
    [
        (RowShape(), {"a": pa.binary(), "b": pa.binary()}, "'a', 'b'"),
        (RowShape(), {"a": HF_IMAGE, "b": HF_IMAGE}, "'a.bytes', 'b.bytes'"),
        (RowShape(), {"a": pa.int64()}, "a (int64)"),
        (RowShape(), {}, "none"),
        (RowShape(data="x"), {"a": pa.binary()}, "no such column. Columns: a (binary)"),
        (RowShape(data="a"), {"a": pa.int64()}, "it holds int64"),
        (RowShape(data="a.x"), {"a": HF_IMAGE}, "no such column"),
        (RowShape(data="a.bytes.x"), {"a": HF_IMAGE}, "no such column"),
        (RowShape(key="k"), {"a": pa.binary()}, "no such column"),
        (RowShape(key="k"), {"a": pa.binary(), "k": pa.float64()}, "it holds double"),
    ],
)
def test_what_does_not_fit_is_said_with_the_columns(shape, columns, said):
    with pytest.raises(StoreError) as caught:
        shape.resolved(schema(**columns))
    assert said in str(caught.value)


def test_an_image_may_be_named_by_its_struct():
    assert RowShape(data="image").resolved(schema(image=HF_IMAGE, other=HF_IMAGE)).data == "image.bytes"


def test_paths_lead_into_structs_and_names_may_hold_dots():
    rows = pa.RecordBatch.from_pylist([{"a.b": {"c": {"d.e": b"x"}}, "k": 1}, {"a.b": None, "k": 2}])
    shape = RowShape("a.b.c.d.e", "k").resolved(rows.schema)
    assert shape.columns() == ["a.b.c.d.e", "k"]
    assert list(shape.cells(rows)) == [("1", b"x"), ("2", b"")]
    with pytest.raises(StoreError, match="no column"):
        list(RowShape("a.b.c.x").cells(rows))
    with pytest.raises(StoreError, match="no column"):
        list(RowShape("k.x").cells(rows))


@given(st.lists(st.integers(-(2**31), 2**31 - 1), unique=True, min_size=1))
def test_integers_are_keys(keys):
    batch = pa.RecordBatch.from_pydict({"k": pa.array(keys, pa.int32()), "d": [b""] * len(keys)})
    shape = RowShape("d", "k")
    assert shape.selectors(batch) == [str(key) for key in keys]
    found = shape.key_values(batch.schema, [*map(str, keys), "01", "x", "", str(2**40), "1.5"])
    assert found.to_pylist() == keys


@given(st.data(), st.lists(BYTES, unique=True))
def test_bytes_are_keys_in_hex(data, keys):
    array = data.draw(laid_out(keys, BYTE_KINDS))
    batch = pa.RecordBatch.from_arrays([array], names=["k"])
    shape = RowShape("d", "k")
    assert shape.selectors(batch) == [key.hex() for key in keys]
    values = shape.key_values(batch.schema, [*shape.selectors(batch), "no hex", "AB"]).to_pylist()
    assert values == [key for key in keys if key]


@given(st.data(), st.lists(TEXT, unique=True))
def test_text_keys_are_found_by_their_spelling(data, keys):
    array = data.draw(laid_out(keys, TEXT_KINDS))
    batch = pa.RecordBatch.from_arrays([array], names=["k"])
    shape = RowShape("d", "k")
    values = shape.key_values(batch.schema, [*shape.selectors(batch), "\\x61", "\\xff"]).to_pylist()
    assert values == [key for key in keys if key]


def test_keys_of_a_fixed_width():
    batch = pa.RecordBatch.from_pydict({"k": pa.array([b"abcd", None], pa.binary(4))})
    shape = RowShape("d", "k")
    assert shape.selectors(batch) == [b"abcd".hex(), ""]
    assert shape.key_values(batch.schema, [b"abcd".hex(), b"abc".hex()]).to_pylist() == [b"abcd"]
    with pytest.raises(StoreError, match="no key column"):
        RowShape("d", "x").key_values(batch.schema, [])


def test_text_that_is_no_text_still_has_a_name():
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<2i", 0, 2)), pa.py_buffer(b"a\xff")]
    )
    batch = pa.RecordBatch.from_pydict({"k": broken, "d": [b""]})
    assert RowShape("d", "k").selectors(batch) == ["a\\xff"]


def test_a_mask_marks_the_rows_that_go():
    assert mask(["a", "", "b", "a"], {"a"}).to_pylist() == [True, False, False, True]


def test_nameless_rows_are_told_with_the_way_out():
    assert RowShape("d").why_nameless(1) == "1 row has no data in 'd' and cannot be named without a key=COLUMN"
    assert RowShape("d", "k").why_nameless(2000) == "2,000 rows have no value in the key column 'k' and cannot be named"


@given(BYTES)
@settings(max_examples=20)
def test_stamps_are_32_hex_digits_of_the_data(data):
    assert stamp(data) == stamp(memoryview(data)) == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert len(stamp(data)) == 32


def test_options_are_checked():
    assert frozenset({"data", "key"}) == OPTIONS
    assert options({}) == RowShape()
    assert options({"data": "image.bytes", "key": "id", "zero": "true"}) == RowShape("image.bytes", "id")
    for bad in ({"data": ""}, {"key": " "}, {"data": "a", "key": "a"}):
        with pytest.raises(InvalidValue):
            options(bad)


def test_an_unresolved_shape_is_not_read_with():
    with pytest.raises(ValueError, match="resolved"):
        RowShape().columns()
