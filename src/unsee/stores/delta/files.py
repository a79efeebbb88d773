"""The data files below a Delta table, those of its versions and those of none, and what their columns are called."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from unsee.core.errors import StoreError
from unsee.stores import datafiles
from unsee.stores.datafiles import DataFile
from unsee.stores.delta import log as logs
from unsee.stores.delta.log import Log
from unsee.stores.names import spell
from unsee.stores.rowerasure import Found
from unsee.stores.rows import RowShape


def all_files(log: Log) -> Iterator[Found]:
    """Every Parquet file below the table but for its log, and whatever other file a version takes its rows from."""
    by_place = {log.place(path): path for path in log.named}
    above = os.path.join(log.table, logs.LOG) + os.sep
    for place, seen in datafiles.walk(log.table):
        if place.startswith(above):
            continue
        path = by_place.get(place)
        if path is not None or place.endswith(".parquet"):
            yield Found(place, os.path.relpath(place, log.table), path, seen)


def active_files(log: Log, shape: RowShape) -> Iterator[tuple[str, DataFile | None]]:
    """Path and file of each data file of the newest version; None for one that lies outside the table."""
    for path in sorted(log.active):
        place = log.place(path)
        if place is None:
            yield path, None
            continue
        found = Found(place, os.path.relpath(place, log.table), path, os.stat_result((0,) * 10))
        yield path, data_file(log, shape, found)


def data_file(log: Log, shape: RowShape, found: Found) -> DataFile:
    """How members are found in this file."""
    columns = list(log.metadata.get("partitionColumns") or ())
    partition = None
    if shape.key in columns:
        values = dict((log.named.get(found.path or "") or {}).get("partitionValues") or {})
        physical = _physical(log, shape.key)
        value = values.get(physical, values.get(shape.key))
        if not values and found.path is None:
            value = _of_path(log, found, physical)
        partition = "" if value is None else spell(value.encode())
    key = _physical(log, shape.key) if partition is None else None
    return DataFile(found.place, RowShape(_physical(log, shape.data), key), partition)


def _of_path(log: Log, found: Found, column: str | None) -> str | None:
    """The partition of a file that no version names, by its directories."""
    for part in os.path.relpath(found.place, log.table).split(os.sep)[:-1]:
        name, _, value = part.partition("=")
        if name == column:
            return unquote(value)
    return None


def _physical(log: Log, column: str | None) -> str | None:
    """A column's name in the data files, where columns are mapped (`delta.columnMapping.mode`)."""
    if column is None or (log.metadata.get("configuration") or {}).get("delta.columnMapping.mode", "none") == "none":
        return column
    fields: list[dict[str, Any]] = json.loads(log.metadata["schemaString"])["fields"]
    names = []
    for step in column.split("."):
        one = next((f for f in fields if f["name"] == step), None)
        if one is None:
            return column
        names.append(one["metadata"].get("delta.columnMapping.physicalName", step))
        fields = one["type"].get("fields", []) if isinstance(one["type"], dict) else []
    return ".".join(names)


def opened(table: str) -> DeltaTable:
    """The table through Delta's own reader.

    Raises:
        StoreError: the reader refuses it.
    """
    try:
        return DeltaTable(table)
    except (DeltaError, OSError, ValueError) as error:
        raise StoreError(
            f"The Delta table {table!r} cannot be opened: {str(error)[:300]}.",
            next_step="Repair the table with its own tool, and scan again.",
        ) from error


def resolved(table: str, log: Log, shape: RowShape) -> RowShape:
    """The shape with its columns found in the table's schema.

    Raises:
        StoreError: there are none; or Delta's reader refuses the table, or sees other files in it than the log was read to name.
    """
    reader = opened(table)
    if reader.version() == log.version and len(reader.file_uris()) != len(log.active):
        raise StoreError(
            f"The log of the Delta table {table!r} names {len(log.active)} data files, but Delta's reader sees "
            f"{len(reader.file_uris())}.",
            next_step="Nothing was done. Report this with the table's protocol and features.",
        )
    return shape.resolved(pa.schema(reader.schema().to_arrow()))
