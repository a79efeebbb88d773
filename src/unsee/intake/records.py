"""The rows of a CSV or JSON Lines file, as text fields with their lines; what cannot be read is a fault with its line and field.

A fault ends the reading, or, where the user chose to keep what is good, stands in the place of its row: nothing is left out
without a word. Limits hold before anything is held in memory: a field of ten million characters is read past, not in.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from unsee.core.errors import MetadataError
from unsee.intake.walk import printable

MAX_FIELD_CHARACTERS: Final = 4_096
MAX_LINE_BYTES: Final = 1 << 20
MAX_COLUMNS: Final = 256


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its fields, stripped. `fault` says why they cannot be used; the fields are those that could be read all the same."""

    line: int
    fields: Mapping[str, str]
    fault: MetadataError | None = None


def read_records(path: Path) -> Iterator[Record]:
    """Rows of a CSV (`.csv`) or JSON Lines (any other suffix) file, faulty ones among them.

    Raises:
        MetadataError: the file itself cannot be used: it cannot be opened, is empty or in another encoding, or its header is wrong.
    """
    return _csv_records(path, str(path)) if path.suffix.lower() == ".csv" else _json_records(path, str(path))


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fault: MetadataError | None = None


def _lines(path: Path, name: str) -> Iterator[_Line]:
    """Numbered lines as text; one that is too long (then empty) or no UTF-8 carries its fault."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise MetadataError(f"it cannot be opened: {error.strerror}", file=name) from error
    with file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1 and (raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:64]):
                raise MetadataError("it looks like UTF-16; save it as UTF-8", file=name, line=1)
            if len(raw) > MAX_LINE_BYTES:
                _skip_line(file, raw)
                what = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
                yield _Line(number, "\n", MetadataError(what, file=name, line=number))
                continue
            try:
                yield _Line(number, raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                at = f"byte {error.start + 1} of the line is 0x{raw[error.start]:02x}"
                what = f"it is not UTF-8 ({at}); it looks like Latin-1 or the like: save it as UTF-8"
                # Its quotes and commas stay: what follows of a quoted field is no row of its own.
                yield _Line(number, raw.decode("utf-8", "replace"), MetadataError(what, file=name, line=number))


def _skip_line(file: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(MAX_LINE_BYTES)


class _Fed:
    """Lines on their way into the CSV reader, which sees text only; their faults wait here for the row that they belong to."""

    def __init__(self, lines: Iterator[_Line]) -> None:
        self._lines = lines
        self.faults: list[MetadataError] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if line.fault is not None:
                self.faults.append(line.fault)
            yield line.text

    def taken(self) -> MetadataError | None:
        fault, self.faults = (self.faults[0] if self.faults else None), []
        return fault


def _csv_records(path: Path, name: str) -> Iterator[Record]:
    fed = _Fed(_lines(path, name))
    reader = csv.reader(fed, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1  # where the record begins; quoted fields may span lines
        try:
            row = next(reader, None)
        except csv.Error as error:
            fault = MetadataError(f"it is not CSV: {error}", file=name, line=reader.line_num)
            if header is None:
                raise fault from error
            yield Record(line, {}, fed.taken() or fault)
            continue
        unreadable = fed.taken()
        if row is None:
            break
        if header is None:
            if unreadable is not None:
                raise unreadable
            header = _header(row, name)
        elif unreadable is not None:
            yield Record(line, {}, unreadable)
        elif not row:
            continue  # an empty line holds nothing that could be lost
        elif len(row) != len(header):
            what = f"the row has {len(row)} fields, the header {len(header)}"
            yield Record(line, {}, MetadataError(what, file=name, line=line))
        else:
            yield _checked({key: value.strip() for key, value in zip(header, row, strict=True)}, name, line)
    if header is None:
        raise MetadataError("it is empty; its first line names the columns", file=name)


def _header(fields: list[str], name: str) -> list[str]:
    header = [field.strip() for field in fields]
    if len(header) > MAX_COLUMNS:
        raise MetadataError(f"it has {len(header)} columns, more than {MAX_COLUMNS}", file=name, line=1)
    for at, column in enumerate(header):
        if not column:
            raise MetadataError(f"column {at + 1} has no name", file=name, line=1)
        if len(column) > MAX_FIELD_CHARACTERS:
            what = f"the name of column {at + 1} is longer than {MAX_FIELD_CHARACTERS:,} characters"
            raise MetadataError(what, file=name, line=1)
        if column in header[:at]:
            raise MetadataError("the column is there twice", file=name, line=1, field=column)
    if "file" not in header:
        there = ", ".join(column[:40] for column in header[:8]) + (" …" if len(header) > 8 else "")
        what = f"the column is missing; it names the photo of each row (the columns are {there})"
        raise MetadataError(what, file=name, line=1, field="file")
    return header


def _json_records(path: Path, name: str) -> Iterator[Record]:
    for line in _lines(path, name):
        if line.fault is not None:
            yield Record(line.number, {}, line.fault)
        elif line.text.strip():
            try:
                yield _checked(_json_fields(line.text, name, line.number), name, line.number)
            except MetadataError as fault:
                yield Record(line.number, {}, fault)


def _json_fields(text: str, name: str, line: int) -> dict[str, str]:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_int=str,  # numbers stay as they are written
            parse_float=str,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"it is not JSON: {error}", file=name, line=line) from error
    if not isinstance(value, _Pairs):
        raise MetadataError("the line is not a JSON object", file=name, line=line)
    if len(value) > MAX_COLUMNS:
        raise MetadataError(f"it has {len(value)} fields, more than {MAX_COLUMNS}", file=name, line=line)
    record: dict[str, str] = {}
    for key, inner in value:
        if key in record:
            raise MetadataError("the field is there twice", file=name, line=line, field=key[:80])
        record[key] = _scalar(inner, key, name, line)
    if "file" not in record:
        raise MetadataError("the field is missing; it names the photo", file=name, line=line, field="file")
    return record


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as written, so that a key that is there twice is seen."""


def _no_constant(text: str) -> str:
    raise ValueError(f"{text} is not a JSON value")


def _scalar(value: Any, field: str, name: str, line: int) -> str:
    """The value as text; a list of purposes is joined."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    if field == "consent" and type(value) is list and all(isinstance(one, str) for one in value):
        return ";".join(value)
    what = "the value is neither text, number, truth value nor null"
    raise MetadataError(what, file=name, line=line, field=field[:80])


def _checked(record: dict[str, str], name: str, line: int) -> Record:
    for field, value in record.items():
        if (
            len(value) <= MAX_FIELD_CHARACTERS >= len(field)
            and field.isascii()
            and value.isascii()
            and "\0" not in field + value
        ):
            continue  # nearly every field: nothing more is to be looked at
        what = ""
        if len(value) > MAX_FIELD_CHARACTERS or len(field) > MAX_FIELD_CHARACTERS:
            what = f"it is longer than {MAX_FIELD_CHARACTERS:,} characters"
        elif "\0" in field or ("\0" in value and field != "file"):  # a file's name is judged as a name, by name
            what = "it holds a NUL character"
        else:
            try:
                value.encode()
                field.encode()
            except UnicodeEncodeError:  # JSON can spell half a surrogate pair
                what = "it holds half a surrogate pair, which is no character"
        if what:
            shown = printable(field[:80]).replace("\0", "\\0")
            return Record(line, record, MetadataError(what, file=name, line=line, field=shown))
    return Record(line, record)
