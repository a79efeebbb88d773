"""Random tables, and the programs that write and read them: for the tests of Parquet and Arrow."""

import datetime as dt
import decimal
import string

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume
from hypothesis import strategies as st

BLOBS = st.binary(max_size=200) | st.integers(0, 255).map(lambda n: bytes([n]) * 3000)
WORDS = st.text(string.ascii_letters, max_size=6)
MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
LEAVES = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), WORDS),
    (pa.large_string(), WORDS),
    (pa.binary(), BLOBS),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.date32(), st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1))),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("ms", "UTC"), MOMENTS.map(lambda m: m.replace(microsecond=0, tzinfo=dt.UTC))),
    (pa.decimal128(12, 2), st.integers(-(10**9), 10**9).map(lambda n: decimal.Decimal(n).scaleb(-2))),
    (pa.decimal128(38, 0), st.integers(-(10**30), 10**30).map(decimal.Decimal)),
]


def of(kind, values):
    return st.tuples(st.just(kind), st.just(st.none() | values))


@st.composite
def kinds(draw, deep=2):
    """A type and a strategy for its values."""
    kind, values = draw(st.sampled_from(LEAVES))
    for _ in range(draw(st.integers(0, deep))):
        values = st.none() | values
        how = draw(st.sampled_from(["list", "struct", "array"]))
        if how == "list":
            kind, values = pa.list_(kind), st.lists(values, max_size=3)
        elif how == "array":
            kind, values = pa.list_(kind, 2), st.lists(values, min_size=2, max_size=2)
        else:
            kind, values = (
                pa.struct([("x", kind), ("y", pa.string())]),
                st.fixed_dictionaries({"x": values, "y": WORDS}),
            )
    return kind, st.none() | values


DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@st.composite
def tables(draw, deep=2, most=40):
    """A table with a unique key `id`, the data `jpg`, and some columns of any type."""
    rows = draw(st.integers(1, most))
    columns = {
        "id": pa.array([f"row-{n}" for n in range(rows)]),
        "jpg": pa.array(draw(st.lists(st.none() | BLOBS, min_size=rows, max_size=rows)), pa.binary()),
    }
    for n in range(draw(st.integers(0, 3))):
        kind, values = draw(kinds(deep))
        columns[f"c{n}"] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)
    if draw(st.booleans()):
        words = draw(st.lists(st.none() | WORDS, min_size=rows, max_size=rows))
        columns["words"] = pa.array(words, pa.string()).dictionary_encode()
    return pa.table(columns)


SETTINGS = st.fixed_dictionaries(
    {
        "row_group_size": st.integers(1, 20),
        "compression": st.sampled_from(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
        "use_dictionary": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "write_page_index": st.booleans(),
        "write_page_checksum": st.booleans(),
        "write_statistics": st.booleans(),
        "version": st.sampled_from(["1.0", "2.4", "2.6"]),
        "store_decimal_as_integer": st.booleans(),
        "use_compliant_nested_type": st.booleans(),
        "data_page_size": st.sampled_from([64, 1 << 20]),
        "store_schema": st.booleans(),
    }
)


def assume_readable(outcome):
    """pyarrow cannot read all that DuckDB writes (lists that are all null, some deltas): the rows are kept, and why is said."""
    assume(not any("pyarrow cannot decode" in kept.reason for kept in outcome.kept))


def readers(path):
    """The rows as each program reads them."""
    with duckdb.connect() as duck:
        by_duck = duck.execute(f"select id, octet_length(jpg) as n from '{path}'").fetchall()  # noqa: S608
    frame = pl.read_parquet(path, columns=["id", "jpg"])
    return {
        "duckdb": by_duck,
        "polars": [(key, None if data is None else len(data)) for key, data in frame.iter_rows()],
        "pyarrow": [
            (row["id"], None if row["jpg"] is None else len(row["jpg"]))
            for row in pq.read_table(path, columns=["id", "jpg"]).to_pylist()
        ],
    }


def photos(rows, seed=0):
    """A table of rows with incompressible data."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"photo-{n:05}" for n in range(rows)],
            "image": [{"bytes": rng.bytes(500), "path": f"{n}.jpg"} for n in range(rows)],
            "label": pa.array([f"person-{n % 7}" for n in range(rows)]).dictionary_encode(),
        }
    )
