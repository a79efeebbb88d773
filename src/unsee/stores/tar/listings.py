"""Listings of samples in JSON, JSON Lines and CSV, and the shard list of wids, without the samples that went. Pure."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unsee.stores.tar.spelling import sample_of

_DEEPEST = 100


class NotUnderstood(Exception):
    """An index that is not what it should be."""

    def __init__(self, reason: str, data: bytes) -> None:
        super().__init__(reason)
        self.data = data


@dataclass(frozen=True, slots=True)
class Names:
    """What a row may call the members and samples that went, and nothing that stays."""

    words: frozenset[str]
    members: Mapping[str, bytes]
    """Each word with the member that it comes from."""

    @classmethod
    def of(cls, gone: Iterable[bytes], stays: Iterable[bytes]) -> Names:
        """Their names, base names, and the keys of samples of which no member stays."""
        kept = {word for name in stays for word in _words(name)}
        found = {word: name for name in gone for word in _words(name) if word not in kept}
        return cls(frozenset(found), found)

    def found_in(self, data: bytes) -> frozenset[bytes]:
        """The members that are named in some text, as whole words."""
        text = data.decode("utf-8", "surrogateescape")
        return frozenset(self.members[word] for word in set(re.split(r"[\s,;:\"'\[\]{}()|=]+", text)) & self.words)


def without(index: str, data: bytes, names: Names) -> bytes:
    """The listing without the rows that name what went.

    Raises:
        NotUnderstood: it is no JSON or CSV; or rows were taken out, and names are still in it.
    """
    if not names.words:
        return data
    try:
        text = data.decode("utf-8")
        if index.endswith(".json"):
            after = _json_without(text, names.words)
        elif index.endswith((".jsonl", ".ndjson")):
            after = "".join(line for line in text.splitlines(keepends=True) if not _line_names(line, names.words))
        else:
            after = _csv_without(text, "\t" if index.endswith(".tsv") else ",", names.words)
    except (ValueError, RecursionError, csv.Error) as error:
        raise NotUnderstood(f"cannot be read: {error}", data) from None
    changed = data if after is None else after.encode()
    if names.found_in(changed):
        raise NotUnderstood("holds them in places that are not understood", changed)
    return changed


def wids(data: bytes, means: Callable[[str], bool], facts: Callable[[], Mapping[str, int | str]]) -> bytes | None:
    """The shard list with the facts of the shard that is meant; None where it does not mean it.

    Raises:
        NotUnderstood: it is no shard list.
    """
    try:
        whole = json.loads(data)
        entries = [entry for entry in whole["shardlist"] if means(entry["url"])]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise NotUnderstood(f"is no shard list of wids: {error}", data) from None
    if not entries:
        return None
    known = facts()
    changed = False
    for entry in entries:
        for key, value in known.items():
            if key in entry and entry[key] != value:
                entry[key] = value
                changed = True
    return json.dumps(whole, indent=2, ensure_ascii=False).encode() if changed else data


def _words(name: bytes) -> set[str]:
    key = sample_of(name)
    every = {name, name.rpartition(b"/")[2], key, key.rpartition(b"/")[2]} - {b""}
    return {word.decode("utf-8", "surrogateescape") for word in every}


def _json_without(text: str, words: Collection[str]) -> str | None:
    whole = json.loads(text)
    changed, after = _pruned(whole, words, 0)
    if not changed:
        return None
    indent = 2 if "\n" in text.strip() else None
    return json.dumps(after, indent=indent, ensure_ascii=False)


def _pruned(value: Any, words: Collection[str], depth: int) -> tuple[bool, Any]:
    """Without what names a word; whether that changed anything. A count beside a list or object follows it."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, list):
        inner = [_pruned(one, words, depth + 1) for one in value if not _names(one, words)]
        return len(inner) < len(value) or any(c for c, _one in inner), [one for _c, one in inner]
    if not isinstance(value, dict):
        return False, value
    lengths: dict[int, int] = {}
    after: dict[str, Any] = {}
    changed = False
    for key, one in value.items():
        if key in words or (depth and _names(one, words) and not isinstance(one, dict)):
            changed = True
            continue
        moved, after[key] = _pruned(one, words, depth + 1)
        if moved and isinstance(one, list | dict) and len(one) != len(after[key]):
            lengths[len(one)] = len(after[key])
        changed |= moved
    for key, one in after.items():
        if type(one) is int and one in lengths:
            after[key] = lengths[one]
    return changed, after


def _names(row: Any, words: Collection[str]) -> bool:
    """Whether a row is one of the words, or an object or list that holds one of them as a value."""
    if isinstance(row, str):
        return row in words
    values: Iterable[Any] = row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()
    return any(isinstance(value, str) and value in words for value in values)


def _line_names(line: str, words: Collection[str]) -> bool:
    return bool(line.strip()) and _names(json.loads(line), words)


def _csv_without(text: str, delimiter: str, words: Collection[str]) -> str:
    """Rows that stay keep their text to the byte."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    kept: list[str] = []
    start = 0
    for row in reader:
        if not _names(row, words):
            kept += lines[start : reader.line_num]
        start = reader.line_num
    return "".join(kept)
