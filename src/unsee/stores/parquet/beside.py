"""What other files tell of a Parquet file: the summary `_metadata`, and the counts of rows that Hugging Face `datasets` checks.

Both are renewed from the files as they are now, so doing it again, after a kill or with nothing to do, is harmless.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from unsee.core.errors import PathEscape, StoreError
from unsee.stores import beneath, shards
from unsee.stores.names import ROOT, below
from unsee.stores.parquet import footer as ft
from unsee.stores.parquet import thrift
from unsee.stores.parquet.footer import get
from unsee.stores.parquet.thrift import BINARY, STRUCT, Struct, ThriftError

SUMMARY = "_metadata"
INFOS = ("dataset_info.json", "dataset_infos.json")
CARD = "README.md"
_LARGEST_TEXT = 16 << 20
_SPLIT = re.compile(r"(?:^|[-._/])([A-Za-z0-9_]+?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet$")
"""`train-00000-of-00002.parquet`, as `datasets` names its files."""


def renew(location: str, object_name: str) -> None:
    """Renew what lies in the file's directory and in those above it, up to the root.

    Raises:
        StoreError: a summary cannot be read: it may hold the names and least and greatest values of erased rows.
        OSError: a file cannot be replaced.
    """
    above = object_name.rpartition("/")[0]
    while True:
        _renew_summary(location, above, object_name)
        renew_counts(location, above)
        if not above:
            return
        above = above.rpartition("/")[0]


def _in(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory and directory != ROOT else name


def _renew_summary(location: str, directory: str, object_name: str) -> None:
    name = _in(directory, SUMMARY)
    told = (object_name[len(directory) + 1 :] if directory else object_name).encode()
    with _opened(location, name) as file:
        if file is None:
            return
        try:
            tree = _summary(file)
        except StoreError as error:
            raise StoreError(
                f"{name!r} cannot be renewed: {error.message}. It may hold values of the rows: mend or remove it"
            ) from error
    groups: list[Struct] = get(tree, ft.GROUPS, (STRUCT, []))[1]
    mine = [n for n, group in enumerate(groups) if _lies_in(group) == told]
    if not mine:
        return
    with shards.opened(location, object_name) as file:
        present = ft.read(file).groups if file is not None else []
    wanted = [_told(group, told) for group in present]
    if [groups[n] for n in mine] == wanted:
        return
    others = [group for group in groups if _lies_in(group) != told]
    renewed = ft.MAGIC + ft.ending(tree, others[: mine[0]] + wanted + others[mine[0] :])
    _put(location, name, renewed)


def _summary(file: int) -> Struct:
    size = os.fstat(file).st_size
    tail = os.pread(file, 8, max(0, size - 8))
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != ft.MAGIC or length > min(size - 12, ft.LONGEST):
        raise StoreError("it is no Parquet summary")
    try:
        tree = thrift.read(os.pread(file, length, size - 8 - length))[0]
        for group in get(tree, ft.GROUPS, (STRUCT, []))[1]:
            _lies_in(group)
    except (ThriftError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StoreError("it is no Parquet summary") from error
    return tree


def _lies_in(group: Struct) -> bytes:
    columns = ft.chunks(group)
    path: bytes = get(columns[0], ft.FILE_PATH, b"") if columns else b""
    return path.removeprefix(b"./")


def _told(group: Struct, path: bytes) -> Struct:
    columns = [{**chunk, ft.FILE_PATH: (BINARY, path)} for chunk in ft.chunks(group)]
    return {**group, ft.COLUMNS: (group[ft.COLUMNS][0], (STRUCT, columns))}


def _put(location: str, name: str, data: bytes) -> None:
    def write(old: int, new: int) -> None:
        del old
        view = memoryview(data)
        while view:
            view = view[os.write(new, view) :]

    shards.replace(location, name, write)


# Counts. `datasets` refuses to load a split that has not as many rows as its card says.


def renew_counts(
    location: str,
    directory: str,
    files: Mapping[str, Sequence[str]] | None = None,
    count: Callable[[int], int] | None = None,
) -> None:
    """Set `num_examples` of each split in `dataset_info.json`, `dataset_infos.json` and `README.md` of the directory.

    Args:
        files: the files of each split, in this directory; when not given, those that are named as `datasets` names its Parquet
            files, here or in `data`.
        count: the rows of an open file.
    """
    present = [name for name in (*INFOS, CARD) if _is_there(location, _in(directory, name))]
    if not present:
        return
    listed = _by_name(location, directory) if files is None else files
    counts = dict(_counted(location, directory, listed, count or _rows))
    if not counts:
        return
    for name in present:
        place = _in(directory, name)
        with shards.opened(location, place) as file:
            if file is None:
                continue
            text = os.pread(file, _LARGEST_TEXT, 0)
        renewed = _card(text, counts) if name == CARD else _info(text, counts)
        if renewed != text:
            _put(location, place, renewed)


def _is_there(location: str, name: str) -> bool:
    with _opened(location, name) as file:
        return file is not None and os.fstat(file).st_size < _LARGEST_TEXT


@contextmanager
def _opened(location: str, name: str) -> Iterator[int | None]:
    """As `shards.opened`; a link is none of the store's files."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(shards.opened(location, name))
        except PathEscape:
            file = None
        yield file


def _rows(file: int) -> int:
    return sum(get(group, ft.GROUP_ROWS) for group in ft.read(file).groups)


def _by_name(location: str, directory: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for inner in ("", "data"):
        place = _in(directory, inner) if inner else directory
        with suppress(PathEscape), beneath.directory(location, place or ROOT) as opened:
            if opened is None:
                continue
            with os.scandir(opened) as entries:
                names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
            for name in names:
                if matched := _SPLIT.search(name):
                    found.setdefault(matched[1], []).append(below(inner or ROOT, name))
    return found


def _counted(
    location: str, directory: str, files: Mapping[str, Sequence[str]], count: Callable[[int], int]
) -> Iterator[tuple[str, int]]:
    """Rows of each split all of whose files can be read."""
    for split, names in files.items():
        rows = 0
        try:
            for name in names:
                with _opened(location, _in(directory, name)) as file:
                    rows += count(file) if file is not None else 0
        except (StoreError, OSError):
            continue
        yield split, rows


def _info(text: bytes, counts: dict[str, int]) -> bytes:
    try:
        info = json.loads(text)
    except ValueError:
        return text
    changed = False
    for one in [info, *(info.values() if isinstance(info, dict) else [])]:
        splits = one.get("splits") if isinstance(one, dict) else None
        for name, split in splits.items() if isinstance(splits, dict) else ():
            if isinstance(split, dict) and name in counts and split.get("num_examples") not in {None, counts[name]}:
                split["num_examples"] = counts[name]
                changed = True
    return json.dumps(info, indent=2).encode() if changed else text


_ENTRY = re.compile(rb"(?m)^(\s*- name: ['\"]?)(\w+)(['\"]?\n(?:(?!\s*- ).*\n)*?\s*num_examples: )(\d+)")


def _card(text: bytes, counts: dict[str, int]) -> bytes:
    """The counts in the YAML head of a card, changed in their places."""
    if not text.startswith(b"---\n") or (end := text.find(b"\n---", 4)) < 0:
        return text

    def entry(found: re.Match[bytes]) -> bytes:
        rows = counts.get(found[2].decode())
        return found[0] if rows is None else found[1] + found[2] + found[3] + str(rows).encode()

    return _ENTRY.sub(entry, text[:end]) + text[end:]
