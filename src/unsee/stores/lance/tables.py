"""Finding and opening Lance datasets below a root, and finding rows in one version of one."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc

from unsee.core.errors import PathEscape, StoreError
from unsee.stores import beneath
from unsee.stores.contract import Skipped
from unsee.stores.names import ROOT, below, components
from unsee.stores.removal import kind, why
from unsee.stores.rows import RowShape

SUFFIX = ".lance"
FILTERED_AT_ONCE = 100_000
"""Keys asked for in one pass over the key column."""
BATCH_BYTES = 16 << 20
"""What one batch of a scan should come to."""
AT_ONCE: dict[str, Any] = {"older_than": timedelta(0), "delete_unverified": True, "error_if_tagged_old_versions": False}
"""How `cleanup_old_versions` takes everything that no tag holds."""


class Trouble(Exception):
    """What keeps a whole object from being read or erased, in words for a report; no full stop."""


@contextmanager
def speaking(doing: str) -> Iterator[None]:
    """Turns what the library raises into `Trouble`.

    Raises:
        Trouble: `doing` failed. A panic of the library's Rust part, which is no `Exception`, is caught too.
    """
    try:
        yield
    except (Trouble, StoreError):
        raise
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError, pa.ArrowException) as error:
        raise Trouble(f"{doing}: {_first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Trouble(f"{doing}: the library gave up: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """The library adds source positions and causes after commas and on further lines; paths of this machine stay out."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.split(", /", 1)[0][:300].rstrip(".")


def find(location: str) -> Iterator[str | Skipped]:
    """The datasets at or below the root, by name: directories called `*.lance`; the root itself where it holds `_versions`.

    Links are `Skipped` and never followed; what lies inside a dataset is not looked into.

    Raises:
        StoreUnreachable: the root is not there.
    """
    beneath.require_root(location)
    if (Path(location) / "_versions").is_dir():
        yield ROOT
        return
    pending = [ROOT]
    while pending:
        object_name = pending.pop()
        if object_name.endswith(SUFFIX):
            yield object_name
            continue
        inner: list[str] = []
        try:
            with beneath.directory(location, object_name) as directory:
                if directory is None:
                    continue
                with os.scandir(directory) as entries:
                    by_name = sorted({entry.name: entry for entry in entries}.items())
                for name, entry in by_name:
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(name)
                    elif name.endswith(SUFFIX) and entry.is_symlink():
                        yield Skipped(
                            below(object_name, name), "", f"{kind(entry.stat(follow_symlinks=False))}, not a dataset"
                        )
        except (OSError, PathEscape) as error:
            yield Skipped(object_name, "", f"the directory cannot be listed: {why(error)}")
        pending.extend(below(object_name, name) for name in reversed(inner))


def place(location: str, object_name: str) -> Path | None:
    """Where the dataset lies; None where there is none.

    Raises:
        PathEscape: the name leads out of the store, or through a link.
        StoreUnreachable: the root is not there.
        Trouble: the directory cannot be opened, or a link stands in the dataset where its files should be.
    """
    parts = components(object_name)
    try:
        with beneath.directory(location, object_name) as directory:
            if directory is None:
                return None
            inside = {
                name: os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
                for name in os.listdir(directory)  # noqa: PTH208  a descriptor, not a path
            }
    except OSError as error:
        raise Trouble(f"its directory cannot be opened: {why(error)}") from error
    if "_versions" not in inside:
        if "data" in inside:
            raise Trouble("it has data files and no _versions: nothing says which of them count")
        return None
    if links := sorted(name for name, mode in inside.items() if stat.S_ISLNK(mode)):
        raise Trouble(f"{links[0]} in it is a symbolic link, and links are never followed")
    return Path(os.path.realpath(location), *map(os.fsdecode, parts))


def opened(path: Path, version: int | None = None) -> Any:
    """The dataset at its newest version, or at another, with nothing cached: each has a session of its own.

    Raises:
        Trouble: it cannot be opened.
    """
    what = "it" if version is None else f"version {version}"
    with speaking(f"{what} cannot be opened"):
        return lance.dataset(str(path), version=version)


def resolved(dataset: Any, shape: RowShape) -> RowShape:
    """The shape in this version's columns.

    Raises:
        Trouble: it does not fit them.
    """
    try:
        return shape.resolved(_stored_schema(dataset.schema))
    except StoreError as error:
        raise Trouble(f"its columns do not fit: {error.message.rstrip('.')}") from error


def _stored_schema(schema: pa.Schema) -> pa.Schema:
    """Blobs of the second kind are shown as an extension type over a description; what is read of them is bytes."""
    return pa.schema(
        [
            pa.field(field.name, pa.large_binary())
            if isinstance(field.type, pa.BaseExtensionType) and field.type.extension_name == "lance.blob.v2"
            else field
            for field in schema
        ]
    )


def batch_rows(dataset: Any) -> int:
    """So many rows that a batch of them is about `BATCH_BYTES`, by the sizes that the manifest states."""
    metas = [fragment.metadata for fragment in dataset.get_fragments()]
    count = sum(meta.physical_rows for meta in metas)
    size = sum(file.file_size_bytes or 0 for meta in metas for file in meta.files)
    return max(16, min(8192, BATCH_BYTES * count // max(size, 1))) if count else 8192


def batches(
    dataset: Any,
    shape: RowShape,
    *,
    selectors: Iterable[str] | None = None,
    data: bool,
    addresses: bool = False,
    deleted: bool = False,
    fragments: Sequence[Any] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a resolved shape, or those whose key is among `selectors`, with the columns that name them.

    No index is asked: one that is out of step would hide rows. Without a key the filter cannot be pushed down, and every row comes.

    Args:
        data: the data column too; without a key it always comes.
        addresses: with `_rowid` and `_rowaddr`.
        deleted: with rows that are deleted but still lie in their fragment. Their `_rowid` is null.
        fragments: of these only.
    Raises:
        Trouble: a file is missing or corrupt.
    """
    columns = shape.columns() if data or shape.key is None else [shape.key]
    top = list(dict.fromkeys(_top(dataset.schema, column) for column in columns))
    options: dict[str, Any] = {
        "columns": top,
        "batch_size": batch_rows(dataset) if data or shape.key is None else 8192,
        "blob_handling": "all_binary",
        "use_scalar_index": False,
        "batch_readahead": 2,
        "with_row_id": addresses or deleted,
        "with_row_address": addresses,
        "include_deleted_rows": deleted,
    }
    with speaking("its rows cannot be read"):
        for condition in _conditions(dataset, shape, selectors):
            yield from dataset.scanner(**options, filter=condition, fragments=fragments).to_batches()


def _conditions(dataset: Any, shape: RowShape, selectors: Iterable[str] | None) -> Iterator[Any]:
    """One filter for each so many keys; one None where every row must be looked at."""
    if selectors is None or shape.key is None or shape.key not in dataset.schema.names:
        yield None
        return
    values = shape.key_values(dataset.schema, selectors)
    for start in range(0, len(values), FILTERED_AT_ONCE):
        yield pc.field(shape.key).isin(values[start : start + FILTERED_AT_ONCE])


def _top(schema: pa.Schema, path: str) -> str:
    """The column that a dotted path begins in; names may hold dots themselves."""
    while path not in schema.names and "." in path:
        path = path.rpartition(".")[0]
    return path


def written_as(dataset: Any, column: str | None) -> str:
    """The same in versions in which the column is the same one of the same files: names can be given to other columns."""

    def of(field: Any) -> list[Any]:
        return [field.name(), field.id(), [of(child) for child in field.children()]]

    top = _top(dataset.schema, column or "")
    return json.dumps([of(field) for field in dataset.lance_schema.fields() if field.name() == top])


def locate(
    dataset: Any, shape: RowShape, selectors: Collection[str], *, fragments: Sequence[Any] | None = None
) -> dict[str, list[tuple[int, int]]]:
    """`(row id, row address)` of every row of these names, in the order that they lie in; names without rows are left out.

    Args:
        fragments: looks into these only.
    Cost: one pass over the key column however many names there are, where filters would take several; without a key, over the data.
    Raises:
        Trouble: as `batches`.
    """
    wanted = set(selectors)
    found: dict[str, list[tuple[int, int]]] = {}
    if not wanted:
        return found
    values = shape.key_values(dataset.schema, wanted) if shape.key is not None else None
    for batch in batches(dataset, shape, data=False, addresses=True, fragments=fragments):
        hit = batch if values is None else batch.filter(shape.named(batch, values))
        ids, places = hit.column("_rowid").to_pylist(), hit.column("_rowaddr").to_pylist()
        for selector, row, address in zip(shape.selectors(hit), ids, places, strict=True):
            if selector in wanted:
                found.setdefault(selector, []).append((row, address))
    return found


def still_deleted(dataset: Any, shape: RowShape, selectors: Sequence[str] | set[str]) -> set[str]:
    """Which of the names have rows that are deleted and still lie in a fragment."""
    wanted = set(selectors)
    if not any(fragment.metadata.num_deletions for fragment in dataset.get_fragments()):
        return set()
    found: set[str] = set()
    for batch in batches(dataset, shape, data=False, deleted=True):
        gone = batch.column("_rowid").is_null().to_pylist()
        found.update(s for s, dead in zip(shape.selectors(batch), gone, strict=True) if dead and s in wanted)
    return found


def tags_by_version(dataset: Any) -> dict[int, list[str]]:
    """The tags of each version, sorted.

    Raises:
        Trouble: a tag cannot be read.
    """
    with speaking("its tags cannot be read"):
        found: dict[int, list[str]] = {}
        for name, tag in sorted(dataset.tags.list().items()):
            found.setdefault(tag["version"], []).append(name)
        return found


def versions(dataset: Any) -> list[int]:
    """Every version that can be opened by number, oldest first.

    Raises:
        Trouble: they cannot be listed.
    """
    with speaking("its versions cannot be listed"):
        return sorted(ref["version"] for ref in dataset.version_refs())


def detached(path: Path) -> list[Path]:
    """Manifests of detached versions, which no list of the library shows and no cleanup removes."""
    return sorted((path / "_versions").glob("d*.manifest"))


def files(path: Path) -> dict[Path, tuple[int, int]]:
    """Every file of the dataset and its (inode, mtime in ns)."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                seen = os.lstat(file := Path(directory, name))
            except FileNotFoundError:
                continue
            found[file] = (seen.st_ino, seen.st_mtime_ns)
    return found
