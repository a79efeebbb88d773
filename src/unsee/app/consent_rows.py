"""Rows of a consent list, as columns of text by the hundred thousand: CSV, JSON Lines, Parquet, JSON-LD records.

What cannot be read is a problem with its line and field, never a row that is missing. What makes the file as a whole unusable (its
columns, its encoding, a line without end) is an error.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from unsee.app.consent_jsonld import records_of
from unsee.core.errors import MetadataError

REQUIRED: Final = ("person", "purpose", "state", "notice", "said_at")
OPTIONAL: Final = ("valid_from", "valid_until", "basis", "jurisdiction", "record_id", "release_sha256")
COLUMNS: Final = (*REQUIRED, *OPTIONAL)
SUFFIXES: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".jsonld": "jsonld"}
MAX_FIELD_CHARACTERS: Final = 4_096
MAX_LINE_BYTES: Final = 16 << 20
MAX_COLUMNS: Final = 256
_CHUNK = 100_000
_BLOCK = 8 << 20
_AGAIN = "Mend the file and import it again; nothing was kept."


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row: its line (in Parquet its row number, from 1), the field, and what is the matter."""

    line: int
    field: str
    message: str

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return asdict(self)

    def __str__(self) -> str:
        return f"line {self.line:,}" + (f", field {self.field!r}" if self.field else "") + f": {self.message}"


Report = Callable[[Problem], None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Many rows: their lines, and a column of trimmed text for each field that the file has; an empty text is no value."""

    lines: npt.NDArray[np.int64]
    columns: Mapping[str, pa.Array]


def read_rows(path: Path, kind: str, report: Report) -> Iterator[Chunk]:
    """The rows of a file that can be read, in order; each row that cannot is reported.

    Args:
        kind: `csv`, `jsonl`, `parquet` or `jsonld`.
        report: is told every problem.
    Raises:
        MetadataError: the file as a whole cannot be used; `file`, `line` and `field` say where.
    Cost: one pass over the file; memory for a block of 8 MB or 100,000 rows.
    """
    if not path.is_file():
        raise MetadataError("there is no such file", file=str(path), next_step="Name the list.")
    if kind == "parquet":
        return _parquet(path, report)
    _require_text(path)
    if kind == "csv":
        return _csv(path, report)
    return _json(path, report, records_of if kind == "jsonld" else _json_lines)


def _broken(what: str, path: Path, line: int | None = None, field: str | None = None) -> MetadataError:
    return MetadataError(what, file=str(path), line=line, field=field, next_step=_AGAIN)


def _require_text(path: Path) -> None:
    """Pass where the file can be text of lines that fit in memory."""
    with path.open("rb") as file:
        first = True
        number = 1
        while block := file.read(MAX_LINE_BYTES):
            if first and (block[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in block[:64]):
                raise _broken("it looks like UTF-16 or binary; save it as UTF-8", path, 1)
            first = False
            ends = block.count(b"\n")
            if not ends and len(block) == MAX_LINE_BYTES:
                raise _broken(f"the line is longer than {MAX_LINE_BYTES >> 20} MB", path, number)
            number += ends
        if first:
            raise _broken("it is empty", path)


def require_columns(names: Sequence[str], path: Path) -> None:
    """Pass where the columns are ours, each once, and none that is needed is missing.

    Raises:
        MetadataError: with the column, and what it may have been meant to be.
    """
    if len(names) > MAX_COLUMNS:
        raise _broken(f"it has {len(names):,} columns, more than {MAX_COLUMNS}", path, 1)
    for at, name in enumerate(names):
        if name in names[:at]:
            raise _broken("the column is there twice", path, 1, name[:80])
        if name not in COLUMNS:
            raise _broken(_unknown(name), path, 1, name[:80])
    for name in REQUIRED:
        if name not in names:
            there = ", ".join(n[:40] for n in names[:12]) or "none"
            raise _broken(f"the column is missing; the columns are {there}", path, 1, name)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.strip().lower(), COLUMNS, 1, 0.6)
    return "there is no such column" + (
        f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join(COLUMNS)}"
    )


def _csv(path: Path, report: Report) -> Iterator[Chunk]:
    """By the block: where nothing is odd it is cut into columns at once, else it goes row by row, and problems are worded."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))  # longer fields are named and refused below
    with path.open("rb") as file:
        head = file.readline()
        line = 2
        if b'"' in head or b"\r" in head.removesuffix(b"\n").removesuffix(b"\r") or not head.strip():
            file.seek(0)
            yield from _row_by_row(file, path, None, 1, report)
            return
        header = [name.strip() for name in head.decode("utf-8-sig", "surrogateescape").rstrip("\r\n").split(",")]
        require_columns(header, path)
        while block := file.read(_BLOCK):
            block += file.readline()
            columns = _plain(block, header)
            if columns is not None:
                lines = np.arange(line, line + len(columns[0]))
                yield _chunk_of(header, columns, lines, report)
                line += len(lines)
            elif b'"' not in block:
                line += yield from _row_by_row(io.BytesIO(block), path, header, line, report)
            else:  # a quoted field may go on in the next block
                file.seek(-len(block), io.SEEK_CUR)
                yield from _row_by_row(file, path, header, line, report)
                return


def _plain(block: bytes, header: Sequence[str]) -> list[pa.Array] | None:
    """The columns of whole lines, each of them one row; None where anything is odd."""
    if b'"' in block or block.count(b"\r") != block.count(b"\r\n"):
        return None
    if (
        block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block
    ):  # an empty line is no row of nothing
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            arrow_csv.ReadOptions(use_threads=False, column_names=list(header), block_size=len(block) + 1),
            arrow_csv.ParseOptions(quote_char=False, double_quote=False, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    rows = block.count(b"\n") + (not block.endswith(b"\n"))
    return [column.combine_chunks() for column in table.columns] if table.num_rows == rows else None


def _row_by_row(
    file: BinaryIO, path: Path, header: Sequence[str] | None, first: int, report: Report
) -> Generator[Chunk, None, int]:
    """The rows of the rest of a file, of which `first` is the first line; how many lines there were.

    Args:
        header: None: it is the first row.
    """
    with io.TextIOWrapper(
        file, encoding="utf-8-sig" if header is None else "utf-8", errors="surrogateescape", newline=""
    ) as text:
        reader = csv.reader(text, strict=True)
        if header is None:
            try:
                header = [name.strip() for name in next(reader, [])]
            except csv.Error as error:
                raise _broken(f"it is not CSV: {error}", path, 1) from error
            require_columns(header, path)
        rows: list[list[str]] = []
        lines: list[int] = []
        while True:
            line = first + reader.line_num  # where the row begins; quoted fields may span lines
            try:
                row = next(reader, None)
            except csv.Error as error:
                last = first + reader.line_num - 1
                through = f" (lines {line:,} to {last:,})" if last > line else ""
                report(Problem(line, "", f"it is not CSV: {error}{through}"))
                continue
            if row is None:
                break
            if len(row) == len(header):
                rows.append(row)
                lines.append(line)
                if len(rows) == _CHUNK:
                    yield _chunk(header, rows, lines, report)
                    rows, lines = [], []
            elif row:  # an empty line holds nothing that could be lost
                report(Problem(line, "", f"the row has {len(row)} fields, the header {len(header)}"))
        yield _chunk(header, rows, lines, report)
        return reader.line_num


Lines = Callable[[Path, Report], Iterator[tuple[int, Mapping[str, Any]]]]


def _json(path: Path, report: Report, lines_of: Lines) -> Iterator[Chunk]:
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, record in lines_of(path, report):
        row = _row(record, line, report)
        if row is not None:
            rows.append(row)
            lines.append(line)
            if len(rows) == _CHUNK:
                yield _chunk(COLUMNS, rows, lines, report)
                rows, lines = [], []
    yield _chunk(COLUMNS, rows, lines, report)


def _json_lines(path: Path, report: Report) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                value = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"), object_pairs_hook=_Pairs)
            except UnicodeDecodeError as error:
                report(Problem(line, "", f"byte {error.start + 1} of the line is no UTF-8 (0x{raw[error.start]:02x})"))
            except (ValueError, RecursionError) as error:
                report(Problem(line, "", f"it is not JSON: {error}"))
            else:
                if not isinstance(value, _Pairs):
                    report(Problem(line, "", "the line is not a JSON object"))
                    continue
                record = dict(value)
                if len(record) != len(value):
                    report(Problem(line, "", "a field is there twice"))
                    continue
                yield line, record


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as written, so that a key that is there twice is seen."""


def _row(record: Mapping[str, Any], line: int, report: Report) -> list[str] | None:
    wrong = [name for name in record if name not in COLUMNS]
    for name in wrong:
        report(Problem(line, name[:80], _unknown(name)))
    missing = [name for name in REQUIRED if name not in record]
    for name in missing:
        report(Problem(line, name, "the field is missing"))
    row = []
    for name in COLUMNS:
        value = record.get(name)
        if value is None:
            row.append("")
        elif isinstance(value, str):
            row.append(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            row.append(str(value))
        elif name == "purpose" and type(value) is list and all(isinstance(one, str) for one in value):
            row.append(";".join(value))
        else:
            report(Problem(line, name, "the value is neither text nor a whole number"))
            wrong.append(name)
    return None if wrong or missing else row


def _parquet(path: Path, report: Report) -> Iterator[Chunk]:
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(f"it is no whole Parquet file: {str(error)[:200]}", path) from error
    with file:
        require_columns(names, path)
        first = 1
        batches = file.iter_batches(batch_size=_CHUNK)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _broken(f"it is damaged from row {first:,} on: {str(error)[:200]}", path) from error
            if batch is None:
                return
            columns = [_text_column(batch.column(name), name, path) for name in names]
            lines = np.arange(first, first + batch.num_rows)
            first += batch.num_rows
            yield _chunk_of(names, columns, lines, report)


def _text_column(column: pa.Array, name: str, path: Path) -> list[str] | pa.Array:
    """One column of a Parquet batch as text; bytes that are no UTF-8 become lone surrogates, which `_chunk_of` finds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column, kind = pc.binary_join(column.cast(pa.list_(pa.string())), ";"), pa.string()
    if pa.types.is_timestamp(kind):
        column = pc.strftime(column.cast(pa.timestamp("s", "UTC"), safe=False), format="%Y-%m-%dT%H:%M:%SZ")
    elif pa.types.is_date(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise _broken(f"the column holds {kind}, which is neither text nor a time", path, field=name)
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(pa.string()).fill_null("")
    except pa.ArrowInvalid:
        pass
    raw = raw.to_pylist()
    return [value.decode("utf-8", "surrogateescape") if value else "" for value in raw]


def _chunk(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int], report: Report) -> Chunk:
    columns: Iterable[Sequence[str]] = zip(*rows, strict=True) if rows else ((),) * len(header)
    return _chunk_of(header, list(columns), np.array(lines, dtype=np.int64), report)


def _chunk_of(
    names: Sequence[str], columns: Sequence[Sequence[str] | pa.Array], lines: npt.NDArray[np.int64], report: Report
) -> Chunk:
    good = np.ones(len(lines), dtype=bool)
    arrays: dict[str, pa.Array] = {}
    for name, column in zip(names, columns, strict=True):
        try:
            array = column if isinstance(column, pa.Array) else pa.array(column, type=pa.string())
        except UnicodeEncodeError:
            wrong = [_no_utf8(value) for value in column]
            for row, what in enumerate(wrong):
                if what:
                    report(Problem(int(lines[row]), name, what))
                    good[row] = False
            array = pa.array(["" if what else v for v, what in zip(column, wrong, strict=True)], type=pa.string())
        long = pc.greater(pc.utf8_length(array), MAX_FIELD_CHARACTERS).to_numpy(zero_copy_only=False)
        nul = pc.match_substring(array, "\0").to_numpy(zero_copy_only=False)
        for rows, what in (
            (long, f"it is longer than {MAX_FIELD_CHARACTERS:,} characters"),
            (nul, "it holds a NUL character"),
        ):
            for at in np.flatnonzero(rows):
                report(Problem(int(lines[at]), name, what))
        good &= ~(long | nul)
        arrays[name] = pc.utf8_trim_whitespace(array)
    if good.all():
        return Chunk(lines, arrays)
    keep = pa.array(good)
    return Chunk(lines[good], {name: array.filter(keep) for name, array in arrays.items()})


def _no_utf8(value: str) -> str:
    """What is wrong with the characters of a text, or ""."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return f"character {error.start + 1} is no UTF-8 (byte 0x{code - 0xDC00:02x}); save the file as UTF-8"
        return "it holds half a surrogate pair, which is no character"
    return ""
