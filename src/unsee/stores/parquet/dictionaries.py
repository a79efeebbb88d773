"""Dictionaries of row groups that lose nothing, and may yet hold values of rows that go.

A writer that is given an Arrow dictionary column (a pandas category) writes the whole dictionary into every row group, also the
values that only rows of other groups have. A chunk whose dictionary has more entries than the chunk has values that differ is
therefore encoded anew, and no other column of its group.
"""

from __future__ import annotations

import base64
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unsee.stores.parquet import footer as ft
from unsee.stores.parquet import thrift
from unsee.stores.parquet.encoding import Encoded, encode, is_blob, reading
from unsee.stores.parquet.footer import Footer, get
from unsee.stores.parquet.thrift import Struct, ThriftError

_HEADER_BYTES = 1 << 12
_DICTIONARY_PAGE, _DICTIONARY_HEADER = 2, 7


def clean(old: int, footer: Footer, n: int) -> Encoded:
    """The columns of row group `n` whose dictionaries hold values that no row of the group has, encoded anew; often none.

    Columns of pictures are looked at only where the file says that Arrow dictionaries were written.

    Raises:
        As `encode`.
    Cost: decodes the columns that have dictionaries.
    """
    chunks = ft.chunks(footer.groups[n])
    entries = {number: count for number, chunk in enumerate(chunks) if (count := _entries(old, chunk))}
    if not _of_arrow_dictionaries(footer):
        entries = {number: count for number, count in entries.items() if not is_blob(get(chunks[number], ft.META))}
    if not entries:
        return Encoded()
    stale: list[int] = []
    with reading(old, footer, n) as (source, names):
        for number, count in entries.items():
            values = _flat(source.read_row_group(0, columns=[names[number]], use_threads=False).column(0))
            if len(pc.unique(values.drop_null())) < count:
                stale.append(number)
    if not stale:
        return Encoded()
    return Encoded(encode(old, footer, n, np.ones(get(footer.groups[n], ft.GROUP_ROWS), bool), stale))


def _entries(file: int, chunk: Struct) -> int:
    """How many values the chunk's dictionary has; 0 where it begins with no dictionary."""
    start, end = ft.span(chunk)
    try:
        header, _ = thrift.read(os.pread(file, min(_HEADER_BYTES, end - start), start))
    except ThriftError:
        return 0
    count = get(get(header, _DICTIONARY_HEADER, {}), 1, 0) if get(header, 1) == _DICTIONARY_PAGE else 0
    return count if isinstance(count, int) else 0


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of the one leaf of a column."""
    while pa.types.is_nested(column.type):
        column = pc.struct_field(column, [0]) if pa.types.is_struct(column.type) else pc.list_flatten(column)
    return column


def _of_arrow_dictionaries(footer: Footer) -> bool:
    """Whether the file says so; yes where it says something that is not understood."""
    for pair in get(footer.tree, ft.KEY_VALUES, (thrift.STRUCT, []))[1]:
        if get(pair, 1) == b"ARROW:schema":
            try:
                schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(get(pair, 2, b""))))
            except (ValueError, OSError, pa.ArrowException):
                return True
            return any(_has_dictionary(field.type) for field in schema)
    return False


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(n).type) for n in range(kind.num_fields))
