"""The metadata file beside the photos: who is in which photo, what they consented to, and attributes.

CSV with a header, or JSON Lines with one object a line; UTF-8, with or without a byte-order mark. Fields:

=================  ==================================================================================================
`file`             required: the photo, relative to the folder
`person`           the giver's id of the person shown; kept only as a keyed pseudonym by whoever writes it to the books
`consent`          purposes, separated by `;` (JSON: or a list). Needs `person`, `consent_notice` and `consent_from`
`consent_notice`   which notice the person saw
`consent_from`     first day, YYYY-MM-DD
`consent_until`    last day, YYYY-MM-DD; empty: no end
`consent_release`  SHA-256 of the person's written release, in hexadecimal (R30)
`jurisdiction`     where the person lives, such as IE or US-IL; needs `person`
`taken`            the day on which the photo was taken, YYYY-MM-DD
anything else      an attribute, a string
=================  ==================================================================================================

What breaks the format is named by line and field. A file that holds such a row is refused as a whole, for half a consent register
is worse than none; or, where the user chose to keep the good rows, the bad ones are listed, and the photos that they may be about
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Final

from unsee.core.errors import InvalidValue, MetadataError, UnknownPurpose
from unsee.core.purposes import known
from unsee.intake.records import read_records
from unsee.intake.walk import LeftOut, Listing, escape_of, printable

CANDIDATES: Final = ("photos.csv", "photos.jsonl", "metadata.csv", "metadata.jsonl", "metadata.ndjson")
OWN_FIELDS: Final = frozenset(
    {
        *("file", "person", "consent", "consent_notice", "consent_from", "consent_until", "consent_release"),
        *("jurisdiction", "taken"),
    }
)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLACE: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,8})*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ConsentClaim:
    """What the file says that a person consented to. Both days count."""

    purposes: tuple[str, ...]
    notice: str
    valid_from: date
    valid_until: date | None
    release_sha256: str = ""


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
    jurisdiction: str = ""
    """Where the person lives; upper case."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot belong to any photo of the folder, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that breaks the format. `file` is the photo that it describes, None where it cannot be told."""

    line: int
    field: str | None
    reason: str
    file: str | None = None

    def as_json(self) -> dict[str, object]:
        """As printed; the photo's name is in the list of what was left out."""
        return {"line": self.line, "field": self.field, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Metadata:
    """A metadata file as read: rows by the file they describe, the rows that point out of the folder, and the bad ones."""

    path: str
    rows: dict[str, Row]
    refused: tuple[RefusedRow, ...] = ()
    bad: tuple[BadRow, ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)
    """The attributes that rows give a value to, each with the line where it does so first."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """How rows and files meet. Nothing of either side is lost: it is in one of these."""

    rows: dict[str, Row]
    """For files that are there."""
    refused: tuple[RefusedRow, ...]
    """Rows without a file, or with a name that leads out of the folder."""
    without_row: tuple[str, ...]
    """Files that no row describes: the person in them is unknown."""
    left_out: tuple[LeftOut, ...] = ()
    """Files that a bad row describes, or may describe."""


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


def read_metadata(path: Path, *, keep_good: bool = False) -> Metadata:
    """All rows of a CSV (`.csv`) or JSON Lines (any other suffix) file.

    Args:
        keep_good: list bad rows instead of refusing the file for them.
    Raises:
        MetadataError: with file, line and field: no `file` column, a column twice, another encoding; and unless `keep_good`: a row
            that is no UTF-8, too long or too short, a file described twice, an unknown purpose, a bad or reversed date, a field
            that is too long or holds what is no character, JSON that is no object.
    Cost: about 15 µs and 1 kB of memory for each row.
    """
    name = str(path)
    rows: dict[str, Row] = {}
    refused: list[RefusedRow] = []
    bad: list[BadRow] = []
    fields: dict[str, int] = {}
    seen: dict[str, int] = {}
    for record in read_records(path):
        file = record.fields.get("file", "")
        why = escape_of(file)
        if file and why is None:
            file = str(PurePosixPath(file))
        fault = record.fault or _fault_of_name(file, seen, name, record.line)
        if fault is None and why is not None:
            refused.append(RefusedRow(printable(file), record.line, why))
        elif fault is None:
            try:
                rows[file] = _row(file, record.fields, name, record.line)
                for attribute, _value in rows[file].attributes:
                    fields.setdefault(attribute, record.line)
            except MetadataError as error:
                fault = error
        if fault is not None:
            if not keep_good:
                raise fault
            bad.append(BadRow(fault.line or record.line, fault.field, fault.reason, file or None))
            first = rows.pop(file, None)  # of two rows for one photo neither is believed
            if first is not None:
                bad.append(BadRow(first.line, "file", f"line {record.line} describes {file!r} as well", file))
        if file:
            seen.setdefault(file, record.line)
    return Metadata(name, rows, tuple(refused), tuple(sorted(bad, key=lambda one: one.line)), fields)


def leave_out(metadata: Metadata, fields: Collection[str]) -> Metadata:
    """The same without these attributes.

    Raises:
        InvalidValue: a field has a meaning of its own, or no row has it.
    """
    for one in fields:
        if one in OWN_FIELDS:
            raise InvalidValue(f"The field {one!r} says whose photo it is; it cannot be left out.")
        if one not in metadata.fields:
            raise InvalidValue(
                f"No row of {metadata.path} has a value in the field {one!r}.",
                next_step="Its attributes: " + (", ".join(sorted(metadata.fields)) or "none") + ".",
            )
    gone = frozenset(fields)
    rows = {
        file: replace(row, attributes=tuple(a for a in row.attributes if a[0] not in gone))
        for file, row in metadata.rows.items()
    }
    return replace(metadata, rows=rows, fields={f: n for f, n in metadata.fields.items() if f not in gone})


def _fault_of_name(file: str, seen: Mapping[str, int], name: str, line: int) -> MetadataError | None:
    if not file:
        return MetadataError("it is empty; every row names its photo", file=name, line=line, field="file")
    if file in seen:
        return MetadataError(f"{file!r} is described already in line {seen[file]}", file=name, line=line, field="file")
    return None


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
    left_out = _left_out(listing, metadata)
    gone = {one.file for one in left_out}
    return Pairing(
        {file: row for file, row in metadata.rows.items() if file in there},
        tuple(sorted((*metadata.refused, *missing), key=lambda one: one.line)),
        tuple(file for file in listing.files if file not in metadata.rows and file not in gone),
        left_out,
    )


def _left_out(listing: Listing, metadata: Metadata) -> tuple[LeftOut, ...]:
    """The photos of bad rows. Where a bad row does not tell its photo, it may be any that no other row describes."""
    if not metadata.bad:
        return ()
    described = {one.file: one for one in reversed(metadata.bad) if one.file is not None}
    nameless = [one for one in metadata.bad if one.file is None]
    found = []
    for file in listing.files:
        if file in described:
            found.append(LeftOut(file, f"its row, line {described[file].line} of the metadata, cannot be used"))
        elif nameless and file not in metadata.rows:
            found.append(
                LeftOut(file, f"no row describes it, and line {nameless[0].line} of the metadata cannot be read")
            )
    return tuple(found)


def _row(file: str, fields: Mapping[str, str], name: str, line: int) -> Row:
    person = fields.get("person") or None
    return Row(
        file=file,
        line=line,
        person=person,
        attributes=tuple(sorted((k, v) for k, v in fields.items() if k not in OWN_FIELDS and v)),
        consent=_consent(fields, person, name, line),
        taken=_day(fields, "taken", name, line),
        jurisdiction=_jurisdiction(fields, person, name, line),
    )


def _jurisdiction(fields: Mapping[str, str], person: str | None, name: str, line: int) -> str:
    place = fields.get("jurisdiction", "").upper()
    if place and person is None:
        raise MetadataError("a place needs the person who lives there", file=name, line=line, field="person")
    if place and not _PLACE.fullmatch(place):
        what = f"{place[:40]!r} is no code of a place, such as IE or US-IL"
        raise MetadataError(what, file=name, line=line, field="jurisdiction")
    return place


def _consent(fields: Mapping[str, str], person: str | None, name: str, line: int) -> ConsentClaim | None:
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
    release = fields.get("consent_release", "").lower()
    if release and not _SHA256.fullmatch(release):
        raise MetadataError("it is no SHA-256 in hexadecimal", file=name, line=line, field="consent_release")
    return ConsentClaim(purposes, notice, first, last, release)


def _day(fields: Mapping[str, str], field: str, name: str, line: int) -> date | None:
    text = fields.get(field, "")
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise MetadataError(f"{text[:40]!r} is not a day as YYYY-MM-DD", file=name, line=line, field=field)
