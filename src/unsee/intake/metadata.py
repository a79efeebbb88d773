"""The metadata file beside the photos: who is in which photo, what they consented to, and attributes.

CSV with a header, or JSON Lines with one object a line; UTF-8, with or without a byte-order mark. Fields:

=================  ==================================================================================================
`file`             required: the photo, relative to the folder
`person`           the giver's id of the person shown; kept only as a keyed pseudonym by whoever writes it to the books
`consent`          purposes, separated by `;` (JSON: or a list). Needs `person`, `consent_notice` and `consent_from`
`consent_notice`   which notice the person saw
`consent_from`     first day, YYYY-MM-DD
`consent_until`    last day, YYYY-MM-DD; empty: no end
`taken`            the day on which the photo was taken, YYYY-MM-DD
anything else      an attribute, a string
=================  ==================================================================================================

A file that breaks the format is refused as a whole, with line and field: half a consent register is worse than none.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, Final

from unsee.core.errors import MetadataError, UnknownPurpose
from unsee.core.purposes import known
from unsee.intake.walk import Listing, escape_of, printable

CANDIDATES: Final = ("photos.csv", "photos.jsonl", "metadata.csv", "metadata.jsonl", "metadata.ndjson")
MAX_FIELD_CHARACTERS: Final = 4_096
MAX_LINE_BYTES: Final = 1 << 20
MAX_COLUMNS: Final = 256
_OWN_FIELDS: Final = frozenset(
    {"file", "person", "consent", "consent_notice", "consent_from", "consent_until", "taken"}
)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class ConsentClaim:
    """What the file says that a person consented to. Both days count."""

    purposes: tuple[str, ...]
    notice: str
    valid_from: date
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the metadata file says about one photo."""

    file: str
    line: int
    person: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Sorted by name; empty values are left away."""
    consent: ConsentClaim | None = None
    taken: date | None = None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot belong to any photo of the folder, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """A metadata file as read: rows by the file they describe, and the rows that point out of the folder."""

    path: str
    rows: dict[str, Row]
    refused: tuple[RefusedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Pairing:
    """How rows and files meet. Nothing of either side is lost: it is in one of these."""

    rows: dict[str, Row]
    """For files that are there."""
    refused: tuple[RefusedRow, ...]
    """Rows without a file, or with a name that leads out of the folder."""
    without_row: tuple[str, ...]
    """Files that no row describes: the person in them is unknown."""


def find_metadata(folder: Path, explicit: Path | None = None) -> Path | None:
    """The metadata file: the one that was named, else `photos.csv`, `photos.jsonl` or `metadata.*` in the folder; None if none.

    Raises:
        MetadataError: the named file is not there, or the folder holds several that it could be.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise MetadataError("there is no such file", file=str(explicit))
        return explicit
    found = [folder / name for name in CANDIDATES if (folder / name).is_file() and not (folder / name).is_symlink()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise MetadataError(f"it could be any of {names}; name one", file=str(folder))
    return found[0] if found else None


def read_metadata(path: Path) -> Metadata:
    """All rows of a CSV (`.csv`) or JSON Lines (any other suffix) file.

    Raises:
        MetadataError: with file, line and field: not UTF-8, no `file` column, a column twice, a row too long or too short, a file
            described twice, an unknown purpose, a bad or reversed date, a field that is too long, JSON that is no object.
    Cost: about 5 µs and 1 kB of memory for each row.
    """
    name = str(path)
    records = _csv_records(path, name) if path.suffix.lower() == ".csv" else _json_records(path, name)
    rows: dict[str, Row] = {}
    refused: list[RefusedRow] = []
    seen: dict[str, int] = {}
    for line, fields in records:
        spelled = fields.get("file", "")
        if not spelled:
            raise MetadataError("it is empty; every row names its photo", file=name, line=line, field="file")
        why = escape_of(spelled)
        file = spelled if why else str(PurePosixPath(spelled))
        if file in seen:
            raise MetadataError(
                f"{file!r} is described already in line {seen[file]}", file=name, line=line, field="file"
            )
        seen[file] = line
        if why is not None:
            refused.append(RefusedRow(printable(file), line, why))
        else:
            rows[file] = _row(file, fields, name, line)
    return Metadata(name, rows, tuple(refused))


def pair(listing: Listing, metadata: Metadata | None) -> Pairing:
    """Bring rows and files together; with no metadata every file is without a row."""
    if metadata is None:
        return Pairing({}, (), listing.files)
    there = set(listing.files)
    reasons = {one.file: one.reason for one in listing.left_out}
    missing = tuple(
        RefusedRow(file, row.line, reasons.get(file, "there is no such file in the folder"))
        for file, row in metadata.rows.items()
        if file not in there
    )
    return Pairing(
        {file: row for file, row in metadata.rows.items() if file in there},
        tuple(sorted((*metadata.refused, *missing), key=lambda one: one.line)),
        tuple(file for file in listing.files if file not in metadata.rows),
    )


def _row(file: str, fields: dict[str, str], name: str, line: int) -> Row:
    person = fields.get("person") or None
    return Row(
        file=file,
        line=line,
        person=person,
        attributes=tuple(sorted((k, v) for k, v in fields.items() if k not in _OWN_FIELDS and v)),
        consent=_consent(fields, person, name, line),
        taken=_day(fields, "taken", name, line),
    )


def _consent(fields: dict[str, str], person: str | None, name: str, line: int) -> ConsentClaim | None:
    purposes = tuple(dict.fromkeys(p.strip() for p in fields.get("consent", "").split(";") if p.strip()))
    first, last = (_day(fields, field, name, line) for field in ("consent_from", "consent_until"))
    if not purposes:
        return None
    for purpose in purposes:
        try:
            known(purpose)
        except UnknownPurpose as error:
            raise MetadataError(f"{error.message} {error.next_step}", file=name, line=line, field="consent") from error
    notice = fields.get("consent_notice", "")
    if person is None:
        raise MetadataError("a consent needs the person who gave it", file=name, line=line, field="person")
    if not notice:
        raise MetadataError(
            "a consent needs the notice that the person saw", file=name, line=line, field="consent_notice"
        )
    if first is None:
        raise MetadataError("a consent needs its first day", file=name, line=line, field="consent_from")
    if last is not None and last < first:
        raise MetadataError(
            f"the consent ends on {last}, before it begins on {first}", file=name, line=line, field="consent_until"
        )
    return ConsentClaim(purposes, notice, first, last)


def _day(fields: dict[str, str], field: str, name: str, line: int) -> date | None:
    text = fields.get(field, "")
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise MetadataError(f"{text[:40]!r} is not a day as YYYY-MM-DD", file=name, line=line, field=field)


def _lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines as text; each within `MAX_LINE_BYTES`."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise MetadataError(f"it cannot be opened: {error.strerror}", file=name) from error
    with file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise MetadataError(f"the line is longer than {MAX_LINE_BYTES:,} bytes", file=name, line=number)
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                hint = "; it looks like UTF-16" if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
                raise MetadataError(
                    f"it is not UTF-8 (byte {error.start + 1} of the line){hint}", file=name, line=number
                ) from error
            yield number, text


def _csv_records(path: Path, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader((text for _, text in _lines(path, name)), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1  # where the record begins; quoted fields may span lines
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise MetadataError(f"it is not CSV: {error}", file=name, line=reader.line_num) from error
        if fields is None:
            break
        if header is None:
            header = _header(fields, name)
            continue
        if not fields:
            continue  # an empty line holds nothing that could be lost
        if len(fields) != len(header):
            raise MetadataError(f"the row has {len(fields)} fields, the header {len(header)}", file=name, line=line)
        record = {key: value.strip() for key, value in zip(header, fields, strict=True)}
        _check_lengths(record, name, line)
        yield line, record
    if header is None:
        raise MetadataError("it is empty; its first line names the columns", file=name)


def _header(fields: list[str], name: str) -> list[str]:
    header = [field.strip() for field in fields]
    if len(header) > MAX_COLUMNS:
        raise MetadataError(f"it has {len(header)} columns, more than {MAX_COLUMNS}", file=name, line=1)
    for at, column in enumerate(header):
        if not column:
            raise MetadataError(f"column {at + 1} has no name", file=name, line=1)
        if column in header[:at]:
            raise MetadataError("the column is there twice", file=name, line=1, field=column)
    if "file" not in header:
        raise MetadataError("the column is missing; it names the photo of each row", file=name, line=1, field="file")
    return header


def _json_records(path: Path, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, text in _lines(path, name):
        if not text.strip():
            continue
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
                raise MetadataError("the field is there twice", file=name, line=line, field=key)
            record[key] = _scalar(inner, key, name, line)
        if "file" not in record:
            raise MetadataError("the field is missing; it names the photo", file=name, line=line, field="file")
        _check_lengths(record, name, line)
        yield line, record


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
    raise MetadataError("the value is neither text, number, truth value nor null", file=name, line=line, field=field)


def _check_lengths(record: dict[str, str], name: str, line: int) -> None:
    for field, value in record.items():
        if len(value) > MAX_FIELD_CHARACTERS or len(field) > MAX_FIELD_CHARACTERS:
            raise MetadataError(
                f"it is longer than {MAX_FIELD_CHARACTERS:,} characters", file=name, line=line, field=field[:80]
            )
        try:
            value.encode()
            field.encode()
        except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
            raise MetadataError(
                "it holds half a surrogate pair, which is no character",
                file=name,
                line=line,
                field=printable(field[:80]),
            ) from error
