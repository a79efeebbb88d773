"""Snapshots without erased rows: a commit that names no old file, and past snapshots that name copies instead.

Manifests hold the smallest and largest values of each column of a data file, also of files that were removed. So no manifest that
names an old file may stay. Source: the Iceberg table specification (iceberg.apache.org/spec), manifests and manifest lists.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy as shallow
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    StatisticsCollector,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import (
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update.snapshot import _OverwriteFiles

from unsee.stores import datafiles, shards
from unsee.stores.iceberg.tables import State, local

if TYPE_CHECKING:
    from pyiceberg.table import Transaction

OURS = ".unsee.avro"
"""Ends the names of manifests that unsee wrote for past snapshots."""
WRITING = ".unsee-writing"
"""Begins the name of a manifest list while it is written."""
Copies = Mapping[str, "IcebergFile | None"]
"""Path of an old data file to the copy that takes its place; None where every row of the file went."""


class _Replacement(_OverwriteFiles):
    """An overwrite whose manifests do not name the files that it removed: such entries would keep their bounds."""

    def __init__(self, transaction: Transaction, table: Table, branch: str, commit: uuid.UUID, gone: Copies) -> None:
        super().__init__(Operation.OVERWRITE, transaction, table.io, commit, branch=branch)
        self.gone = gone

    def _existing_manifests(self) -> list[ManifestFile]:
        parent = self._transaction.table_metadata.snapshot_by_name(name=self._target_branch)
        kept: list[ManifestFile] = []
        for manifest in parent.manifests(io=self._io) if parent is not None else ():
            entries = manifest.fetch_manifest_entry(self._io, discard_deleted=False)
            if not any(entry.data_file.file_path in self.gone for entry in entries):
                kept.append(manifest)
                continue
            staying = [
                entry
                for entry in entries
                if entry.status != ManifestEntryStatus.DELETED and entry.data_file.file_path not in self.gone
            ]
            if not staying:
                continue
            with self.new_manifest_writer(self.spec(manifest.partition_spec_id)) as writer:
                for entry in staying:
                    writer.existing(entry)
            kept.append(writer.to_manifest_file())
        return kept

    def _deleted_entries(self) -> list[ManifestEntry]:
        parent = self._transaction.table_metadata.snapshot_by_name(name=self._target_branch)
        live = [
            entry
            for manifest in (parent.manifests(io=self._io) if parent is not None else ())
            for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=True)
            if entry.data_file in self._deleted_data_files
        ]
        self._validate_required_deletes(live)
        return []


def commit(state: State, branch: str, copies: Copies, name: uuid.UUID) -> None:
    """A new snapshot of the branch with the copies in place of the files.

    Raises:
        pyiceberg.exceptions.CommitFailedException, ValidationException: other writers were first; nothing was changed.
    """
    live = state.live[state.heads()[branch]]
    with state.table.transaction() as transaction:
        producer = _Replacement(transaction, state.table, branch, name, copies)
        for path, replacement in copies.items():
            if path in live:
                producer.delete_data_file(state.files[path])
                if replacement is not None:
                    producer.append_data_file(replacement)
        producer.commit()


def described(table: Table, old: IcebergFile, path: str, metadata: pq.FileMetaData, size: int) -> IcebergFile:
    """The entry of a copy, with the statistics of the rows that it has."""
    schema = table.schema()
    try:
        statistics: dict[str, Any] = data_file_statistics_from_parquet_metadata(
            parquet_metadata=metadata,
            stats_columns=_planned(table, metadata),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        ).to_serialized_dict()
    except KeyError:  # columns were renamed since the file was written: its readers do without bounds
        statistics = {"record_count": metadata.num_rows}
    return IcebergFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=old.partition,
        file_size_in_bytes=size,
        sort_order_id=old.sort_order_id,
        spec_id=old.spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics,
    )


def _planned(table: Table, metadata: pq.FileMetaData) -> dict[int, StatisticsCollector]:
    """Which columns have bounds: as the table's properties say, but those that the copy was written without, such as pictures."""
    ids = parquet_path_to_id_mapping(table.schema())
    first = metadata.row_group(0)
    columns = [first.column(n) for n in range(metadata.num_columns)]
    without = {ids[one.path_in_schema] for one in columns if not one.is_stats_set}
    none = MetricsMode(MetricModeTypes.NONE)
    plan = compute_statistics_plan(table.schema(), table.metadata.properties)
    return {id: replace(one, mode=none) if id in without else one for id, one in plan.items()}


def rewrite(state: State, copies: Copies) -> list[int]:
    """Make every past snapshot that names one of the files name its copy; the snapshots touched. Idempotent.

    New manifests are written beside the old ones, then the snapshot's manifest list is replaced as a whole: a reader sees the old
    list or the new one.
    """
    written: dict[str, ManifestFile | None] = {}
    touched = []
    for snapshot in state.table.metadata.snapshots:
        manifests = state.lists[snapshot.snapshot_id]
        hit = [one for one in manifests if state.mentions(one, copies)]
        if not hit:
            continue
        for one in hit:
            if one.manifest_path not in written:
                written[one.manifest_path] = _manifest(state, one, copies)
        new = [written.get(one.manifest_path, one) for one in manifests]
        _replace_list(state.table, snapshot, [one for one in new if one is not None])
        touched.append(snapshot.snapshot_id)
    return touched


def _manifest(state: State, old: ManifestFile, copies: Copies) -> ManifestFile | None:
    """The manifest with copies in the place of files; None where nothing is left in it."""
    entries = []
    for entry in state.entries[old.manifest_path]:
        path = entry.data_file.file_path
        if path not in copies:
            entries.append(entry)
            continue
        replacement = copies[path]
        if replacement is None or entry.status == ManifestEntryStatus.DELETED:
            continue
        changed = ManifestEntry.from_args(
            status=entry.status,
            snapshot_id=entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=replacement,
        )
        entries.append(changed)
    if not entries:
        return None
    table = state.table
    above = old.manifest_path.rpartition("/")[0]
    with write_manifest(
        format_version=table.metadata.format_version,
        spec=table.metadata.specs()[old.partition_spec_id],
        schema=table.schema(),
        output_file=table.io.new_output(f"{above}/{uuid.uuid4()}{OURS}"),
        snapshot_id=old.added_snapshot_id or 0,
        avro_compression=_codec(table),
    ) as writer:
        for entry in entries:
            writer.add_entry(entry)
    new = shallow(writer.to_manifest_file())
    new.sequence_number = old.sequence_number
    new.min_sequence_number = old.min_sequence_number
    _flush(new.manifest_path)
    return new


def _codec(table: Table) -> Any:
    """The codec of manifests, as pyiceberg's own commits choose it."""
    return table.metadata.properties.get(
        TableProperties.WRITE_AVRO_COMPRESSION, TableProperties.WRITE_AVRO_COMPRESSION_DEFAULT
    )


def _replace_list(table: Table, snapshot: Snapshot, manifests: Sequence[ManifestFile]) -> None:
    path = snapshot.manifest_list
    above, _, name = path.rpartition("/")
    place = local(above)
    if place is None:
        raise OSError(f"the manifest list {path!r} is not on this machine")
    temporary = f"{above}/{WRITING}-{uuid.uuid4()}.avro"
    try:
        with write_manifest_list(
            format_version=table.metadata.format_version,
            output_file=table.io.new_output(temporary),
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number,
            avro_compression=_codec(table),
        ) as writer:
            writer.add_manifests(list(manifests))

        def fill(_: int, new: int) -> None:
            with open(local(temporary) or "", "rb") as source:
                shards.copy_range(source.fileno(), new, 0, os.fstat(source.fileno()).st_size)

        shards.replace(place, name, fill)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(local(temporary) or "")


def _flush(path: str) -> None:
    place = local(path) or ""
    datafiles.flush(place)
    datafiles.flush(os.path.dirname(place))
