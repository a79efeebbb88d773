"""Rows as members: which column holds the picture or the vector, and how a row is named.

Every store of rows (Parquet, Arrow, Lance, Delta, Iceberg, pgvector) takes the options `data=COLUMN` and `key=COLUMN`. A row's
selector is the text of its key; without `key` it is the hex SHA-256 of its data, and equal rows are one member that goes as
a whole. A row's stamp is a digest of its data, so it stays when other rows go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores.names import spell, unspell

OPTIONS = frozenset({"data", "key"})
"""Names of the options that `options` reads; a store adds its own to them for `options.know`."""


def options(given: Mapping[str, str]) -> RowShape:
    """The shape that the options `data` and `key` ask for; the columns are looked up when a schema is there.

    Raises:
        InvalidValue: one of them is empty, or both name the same column.
    """
    for name in sorted(OPTIONS & set(given)):
        if not given[name].strip():
            raise InvalidValue(f"{name}= names no column.", next_step=f"Write {name}=COLUMN, or leave it out.")
    shape = RowShape(given.get("data"), given.get("key"))
    if shape.data is not None and shape.data == shape.key:
        raise InvalidValue(
            f"data={shape.data!r} and key={shape.key!r} are one column.",
            next_step="Leave key out: rows are then named by the digest of their data.",
        )
    return shape


def stamp(data: bytes | memoryview) -> str:
    """Changes when the row's data is replaced: 32 hex digits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class RowShape:
    """Which columns make a member of a row. Dotted paths lead into structs: `image.bytes`.

    Data columns hold bytes or text, or lists of floats, which are read as little-endian float32, or lists of 8-bit integers, read
    as bytes. Key columns hold text (spelled as file names are, see `names`), integers, or bytes (spelled in hex).

    A row is *nameless* where its key is null or empty, or, without `key`, where its data is null: it is no member, and the store
    says so in its scan (`nameless`).
    """

    data: str | None = None
    key: str | None = None

    def resolved(self, schema: pa.Schema) -> RowShape:
        """This shape with its data column found: as asked for; else the only Hugging Face image (a struct of `bytes` and `path`),
        else the only column of bytes, else the only one of equally long lists of floats.

        Raises:
            StoreError: there is no such column, or several; or a column's type cannot serve. The error lists the columns.
        """
        if self.key is not None:
            found = _type_at(schema, self.key)
            if found is None or not _names_rows(found):
                raise _unfit(schema, f"key={self.key!r}", found, "text, integers or bytes")
        if self.data is not None:
            found = _type_at(schema, self.data)
            if found is not None and _is_image(found):
                return RowShape(f"{self.data}.bytes", self.key)
            if found is None or not _holds_data(found):
                raise _unfit(schema, f"data={self.data!r}", found, "bytes, text or lists of floats")
            return self
        others = [field for field in schema if field.name != self.key]
        for candidates in (
            [f"{field.name}.bytes" for field in others if _is_image(field.type)],
            [field.name for field in others if _is_bytes(_plain(field.type))],
            [field.name for field in others if _is_vector(_plain(field.type))],
        ):
            if len(candidates) == 1:
                return RowShape(candidates[0], self.key)
            if candidates:
                raise StoreError(
                    "Which column holds the pictures is not clear: " + ", ".join(map(repr, candidates)) + ".",
                    next_step="Register the store with data=COLUMN; a row goes as a whole, whichever is named.",
                )
        raise StoreError(
            f"No column holds bytes, images or vectors. Columns: {_columns(schema)}.",
            next_step="Register the store with data=COLUMN, or with another kind.",
        )

    def columns(self) -> list[str]:
        """What a reader must project, of a resolved shape: the data and the key, as dotted paths."""
        return [self._data] if self.key is None else [self._data, self.key]

    def cells(self, batch: pa.RecordBatch | pa.Table) -> Iterator[tuple[str, bytes]]:
        """Selector and data of each row that has a name, in order. Data that is null is empty. Copies one row at a time."""
        for selector, view in self.views(batch):
            yield selector, bytes(view)

    def numbered(self, batch: pa.RecordBatch) -> Iterator[tuple[int, str, memoryview]]:
        """As `views`, each with the number of its row in the batch."""
        data = _data_views(_column(batch, self._data))
        if self.key is None:
            yield from ((n, _digest(view), view) for n, view in enumerate(data) if view is not None)
            return
        empty = memoryview(b"")
        for n, (selector, view) in enumerate(zip(_texts(_column(batch, self.key)), data, strict=True)):
            if selector:
                yield n, selector, empty if view is None else view

    def views(self, batch: pa.RecordBatch | pa.Table) -> Iterator[tuple[str, memoryview]]:
        """As `cells`, without copying: each view holds the batch alive."""
        for part in _parts(batch):
            yield from ((selector, view) for _, selector, view in self.numbered(part))

    def selectors(self, batch: pa.RecordBatch | pa.Table) -> list[str]:
        """The selector of every row, in order; empty where a row is nameless. With a key, the data need not be in the batch."""
        found: list[str] = []
        for part in _parts(batch):
            if self.key is not None:
                found.extend(_texts(_column(part, self.key)))
            else:
                views = _data_views(_column(part, self._data))
                found.extend("" if view is None else _digest(view) for view in views)
        return found

    def data_views(self, batch: pa.RecordBatch | pa.Table) -> Iterator[memoryview | None]:
        """The data of every row, in order, without copying; None where they are null."""
        for part in _parts(batch):
            yield from _data_views(_column(part, self._data))

    def named(self, batch: pa.RecordBatch, values: pa.Array) -> pa.BooleanArray:
        """True for each row whose key is among these `key_values`: as `selectors`, without making text of every key."""
        if self.key is None:
            raise ValueError("rows without a key are named by their data")
        column = _column(batch, self.key)
        if pa.types.is_binary_view(column.type) or pa.types.is_string_view(column.type):  # is_in knows no views
            kind = pa.large_binary() if pa.types.is_binary_view(column.type) else pa.large_string()
            column, values = column.cast(kind), values.cast(kind)
        return pc.is_in(column, value_set=values)

    def nameless(self, batch: pa.RecordBatch | pa.Table) -> int:
        """How many rows are no members. Cheap without a key."""
        if self.key is not None:
            return self.selectors(batch).count("")
        return sum(_column(part, self._data).null_count for part in _parts(batch))

    def why_nameless(self, count: int) -> str:
        """The reason for a `Skipped`."""
        rows = "1 row has" if count == 1 else f"{count:,} rows have"
        if self.key is not None:
            return f"{rows} no value in the key column {self.key!r} and cannot be named"
        return f"{rows} no data in {self.data!r} and cannot be named without a key=COLUMN"

    def key_values(self, schema: pa.Schema, selectors: Iterable[str]) -> pa.Array:
        """The values of the key column that are named so, in the column's type: for filters. Selectors of no possible value are
        left out.
        """
        kind = _plain(self._key_type(schema))
        values = [_value(kind, selector) for selector in selectors]
        return pa.array([value for value in values if value is not None], type=kind)

    def _key_type(self, schema: pa.Schema) -> pa.DataType:
        found = _type_at(schema, self.key) if self.key is not None else None
        if found is None:
            raise StoreError(f"There is no key column {self.key!r}. Columns: {_columns(schema)}.")
        return found

    @property
    def _data(self) -> str:
        if self.data is None:
            raise ValueError("the shape is not resolved")
        return self.data


def names_of_bytes(names: Iterable[bytes | None]) -> pa.LargeStringArray:
    """A key column of names that need not be UTF-8: its selectors are spelled as file names are."""
    array = pa.array(names, pa.large_binary())
    return pa.LargeStringArray.from_buffers(len(array), array.buffers()[1], array.buffers()[2], array.buffers()[0])


def mask(selectors: Iterable[str], going: Collection[str]) -> pa.BooleanArray:
    """True for each row whose selector is among those that go."""
    return pa.array([selector in going for selector in selectors], type=pa.bool_())


def _parts(batch: pa.RecordBatch | pa.Table) -> Iterable[pa.RecordBatch]:
    """Tables in the pieces that they already lie in."""
    return [batch] if isinstance(batch, pa.RecordBatch) else batch.to_batches()


def _digest(view: memoryview) -> str:
    return hashlib.sha256(view).hexdigest()


# Columns by dotted path. A name may hold dots itself: the longest name that fits is taken first.


def _steps(names: Collection[str], path: str) -> Iterator[tuple[str, str]]:
    """(name, rest) for each way to begin the path."""
    if path in names:
        yield path, ""
    end = path.rfind(".")
    while end > 0:
        if path[:end] in names:
            yield path[:end], path[end + 1 :]
        end = path.rfind(".", 0, end)


def _type_at(fields: pa.Schema | pa.StructType, path: str) -> pa.DataType | None:
    by_name = {field.name: field.type for field in fields}
    for name, rest in _steps(by_name, path):
        if not rest:
            kind: pa.DataType = by_name[name]
            return kind
        inner = _plain(by_name[name])
        if pa.types.is_struct(inner) and (found := _type_at(inner, rest)) is not None:
            return found
    return None


def _column(batch: pa.RecordBatch, path: str) -> pa.Array:
    found = _descend(batch.schema.names, batch.column, path)
    if found is None:
        raise StoreError(f"There is no column {path!r}. Columns: {_columns(batch.schema)}.")
    return found


def _descend(names: list[str], child: Callable[[int], pa.Array], path: str) -> pa.Array | None:
    for name, rest in _steps(names, path):
        array = _array(child(names.index(name)))
        if not rest:
            return array
        if pa.types.is_struct(array.type):
            inner = [field.name for field in array.type]
            if (found := _descend(inner, partial(_field, array), rest)) is not None:
                return found
    return None


def _field(array: pa.StructArray, n: int) -> pa.Array:
    """Null where the struct is."""
    return pc.struct_field(array, [n])


def _array(array: pa.Array) -> pa.Array:
    """Without extension, dictionary and runs."""
    if isinstance(array, pa.ExtensionArray):
        return _array(array.storage)
    if pa.types.is_dictionary(array.type):
        return _array(_decoded(array))
    if pa.types.is_run_end_encoded(array.type):
        return _array(pc.run_end_decode(array))
    return array


def _decoded(array: pa.DictionaryArray) -> pa.Array:
    values = _array(array.dictionary)
    if pa.types.is_binary_view(values.type) or pa.types.is_string_view(values.type):  # Arrow takes nothing from views
        values = values.cast(pa.large_binary() if pa.types.is_binary_view(values.type) else pa.large_string())
    return values.take(array.indices)


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    return kind


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_vector(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)) and bool(
        pa.types.is_floating(kind.value_type) or pa.types.is_uint8(kind.value_type) or pa.types.is_int8(kind.value_type)
    )


def _is_image(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    if not pa.types.is_struct(kind):
        return False
    inner = {field.name: field.type for field in kind}
    return inner.keys() == {"bytes", "path"} and _is_bytes(_plain(inner["bytes"]))


def _holds_data(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    return _is_bytes(kind) or _is_text(kind) or _is_list(kind)


def _names_rows(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    return _is_bytes(kind) or _is_text(kind) or bool(pa.types.is_integer(kind))


def _columns(schema: pa.Schema) -> str:
    shown = [f"{field.name} ({str(field.type)[:60]})" for field in list(schema)[:40]]
    return ", ".join(shown) + (", …" if len(schema) > 40 else "") if shown else "none"


def _unfit(schema: pa.Schema, option: str, found: pa.DataType | None, wanted: str) -> StoreError:
    problem = "there is no such column" if found is None else f"it holds {str(found)[:80]}, not {wanted}"
    return StoreError(
        f"{option}: {problem}. Columns: {_columns(schema)}.",
        next_step="Name one of them; columns in a struct as STRUCT.COLUMN.",
    )


# Values.


def _data_views(array: pa.Array) -> Iterator[memoryview | None]:
    kind = array.type
    if pa.types.is_binary_view(kind) or pa.types.is_string_view(kind):
        yield from (memoryview(value.as_buffer()) if value.is_valid else None for value in array)
        return
    if _is_list(kind):
        values, starts = _list_values(array)
        starts, flat = (
            starts.astype(np.int64) * values.itemsize,
            memoryview(np.ascontiguousarray(values).view(np.uint8).data),
        )
    else:
        flat, starts = _byte_values(array)
    bounds = starts.tolist()
    for n, there in enumerate(array.is_valid().to_pylist()):
        yield flat[bounds[n] : bounds[n + 1]] if there else None


def _byte_values(array: pa.Array) -> tuple[memoryview, np.ndarray[Any, Any]]:
    """The bytes of all values as they lie in memory, and where each begins; one past the last value at the end."""
    kind, buffers = array.type, array.buffers()
    flat = memoryview(buffers[-1] if buffers[-1] is not None else b"").cast("B")
    if pa.types.is_fixed_size_binary(kind):
        return flat, np.arange(array.offset, array.offset + len(array) + 1) * kind.byte_width
    if buffers[1] is None or not len(array):
        return flat, np.zeros(len(array) + 1, np.int64)
    wide = pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
    return flat, np.frombuffer(buffers[1], "<i8" if wide else "<i4", len(array) + 1 + array.offset)[array.offset :]


def _list_values(array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The numbers of all lists, one after another, and where each list begins; one past the last list at the end."""
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        inner = array.values.slice(array.offset * size, len(array) * size)
        starts = np.arange(len(array) + 1) * size
    else:
        offsets = array.offsets.to_numpy()
        inner = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        starts = offsets - offsets[0]
    if pa.types.is_integer(kind.value_type):
        return pc.fill_null(inner, 0).to_numpy(zero_copy_only=False).view(np.uint8), starts
    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite there
        return pc.fill_null(inner, float("nan")).to_numpy(zero_copy_only=False).astype("<f4", copy=False), starts


def _texts(array: pa.Array) -> Iterator[str]:
    kind = array.type
    for value in array:
        if not value.is_valid:
            yield ""
        elif _is_text(kind):
            yield spell(value.as_buffer().to_pybytes())
        elif _is_bytes(kind):
            yield value.as_buffer().to_pybytes().hex()
        else:
            yield str(value.as_py())


def _value(kind: pa.DataType, selector: str) -> str | bytes | int | None:
    try:
        if _is_text(kind):
            return unspell(selector).decode() if selector else None
        if _is_bytes(kind):
            value = bytes.fromhex(selector)
            fits = value and value.hex() == selector
            return (
                value if fits and (not pa.types.is_fixed_size_binary(kind) or len(value) == kind.byte_width) else None
            )
        number = int(selector)
        pa.scalar(number, type=kind)
    except (ValueError, OverflowError, pa.ArrowInvalid):
        return None
    return number if str(number) == selector else None
