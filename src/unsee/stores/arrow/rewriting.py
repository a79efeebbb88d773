"""An Arrow file or stream without some of its rows: batches that lose none are copied as bytes, the others written anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from unsee.core.errors import StoreError
from unsee.stores import shards
from unsee.stores.arrow import messages
from unsee.stores.arrow.messages import BATCH, HEADER, MAGIC, Layout, Message

_CODECS = {0: "lz4", 1: "zstd"}
_END = b"\xff\xff\xff\xff\0\0\0\0"


def rewrite(
    old: int,
    new: int,
    layout: Layout,
    batch: Callable[[int], pa.RecordBatch],
    going: Mapping[int, np.ndarray[Any, Any]],
) -> list[int]:
    """Write to `new` the file without the rows that are True in `going[batch]`; a batch that loses all is left out.

    The schema and, of a file, the footer with its metadata stay as bytes; the footer lists the batches where they lie now.

    Returns:
        The batches of the new file that were written anew.
    Raises:
        StoreError, pa.ArrowException: a batch cannot be read.
        OSError: the disk is full, or the file ended before its time.
    """
    blocks: list[tuple[int, int, int]] = []
    anew: list[int] = []
    at = _write(new, MAGIC + bytes(HEADER - len(MAGIC))) if layout.footer else 0
    part = -1
    for message in layout.messages:
        if message.kind != BATCH:
            shards.copy_range(old, new, message.start, message.length)
            at += message.length
            continue
        part += 1
        if part not in going:
            shards.copy_range(old, new, message.start, message.length)
            blocks.append((at, message.head, message.body))
            at += message.length
        elif not going[part].all():
            anew.append(len(blocks))
            head, body, data = _encoded(batch(part), ~going[part], message)
            blocks.append((at, head, body))
            at += _write(new, data)
    _write(new, _END)
    if layout.footer:
        start, end = layout.footer
        footer = messages.renewed_footer(os.pread(old, end - start, start), blocks)
        _write(new, footer + len(footer).to_bytes(4, "little") + MAGIC)
    return anew


def _encoded(batch: pa.RecordBatch, keep: np.ndarray[Any, Any], message: Message) -> tuple[int, int, memoryview]:
    """The message of a batch without some rows: length of its head, of its body, and its bytes."""
    batch.validate(full=True)
    if len(keep) != batch.num_rows:
        raise StoreError("a record batch has another number of rows than it says")
    kept = batch.filter(pa.array(keep))
    if message.codec is None:
        data = memoryview(kept.serialize()).cast("B")
    else:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=_options(message)) as writer:
            writer.write_batch(kept)
            end = sink.tell()
        data = memoryview(sink.getvalue()).cast("B")[:end]
        data = data[8 + int.from_bytes(data[4:8], "little") :]  # the schema comes first, and has no body
    head = 8 + int.from_bytes(data[4:8], "little")
    return head, len(data) - head, data


def _options(message: Message) -> pa.ipc.IpcWriteOptions:
    if message.codec is not None and message.codec not in _CODECS:
        raise StoreError(f"a record batch is compressed with codec {message.codec}, which cannot be written")
    return pa.ipc.IpcWriteOptions(compression=None if message.codec is None else _CODECS[message.codec])


def batches_of(mapped: pa.MemoryMappedFile, layout: Layout) -> list[pa.RecordBatch]:
    """All batches, dictionaries filled in. Not copied, but for compressed ones."""
    mapped.seek(0)
    if layout.footer:
        file = pa.ipc.open_file(mapped)
        return [file.get_batch(n) for n in range(file.num_record_batches)]
    return list(pa.ipc.open_stream(mapped))


def whole(
    new: int,
    layout: Layout,
    schema: pa.Schema,
    batches: Sequence[pa.RecordBatch],
    going: Mapping[int, np.ndarray[Any, Any]],
) -> list[int]:
    """A file with dictionaries, as a whole: values that no retained row has are in none of the new dictionaries.

    Raises:
        StoreError: the dictionaries cannot be made anew.
    """
    kept: list[pa.RecordBatch] = []
    for n, batch in enumerate(batches):
        batch.validate(full=True)
        if n not in going:
            kept.append(batch)
        elif not going[n].all():
            kept.append(batch.filter(pa.array(~going[n])))
    table = _afresh(pa.Table.from_batches(kept, schema), schema)
    codecs = [message for message in layout.batches if message.codec is not None]
    options = _options(codecs[0] if codecs else Message(BATCH, 0, 0, 0, 0, None))
    options.unify_dictionaries = True
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_file if layout.footer else pa.ipc.new_stream
    with make(sink, schema, options=options) as writer:
        writer.write_table(table)
    _write(new, memoryview(sink.getvalue()).cast("B"))
    return list(range(len(messages.layout(new).batches)))


def _afresh(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Dictionaries with the values that the rows have, and no others, wherever they are nested."""
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        if not has_dictionary(field.type):
            columns.append(column)
            continue
        try:
            columns.append(_encode(column.combine_chunks().cast(_decoded(field.type)), field.type))
        except pa.ArrowException as error:
            raise StoreError(f"the dictionary of {field.name!r} ({field.type}) cannot be made anew: {error}") from error
    return pa.table(columns, schema=schema)


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether the type is a dictionary, or one is nested in it."""
    return pa.types.is_dictionary(kind) or any(has_dictionary(kind.field(n).type) for n in range(kind.num_fields))


def _decoded(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_decoded(field.type)) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_decoded(kind.value_type)), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_decoded(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_decoded(kind.value_type)))
    return kind


def _encode(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        made = array.dictionary_encode()
        return pa.DictionaryArray.from_arrays(
            made.indices.cast(kind.index_type), made.dictionary, ordered=kind.ordered
        ).cast(kind)
    return array.cast(kind)


def _write(file: int, data: bytes | memoryview) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    return len(data)
