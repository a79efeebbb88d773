"""A rule book as a TOML text, and back: what `unsee rules export` prints and `--rules FILE` reads.

::

    schema = "unsee/rules/1"

    [[jurisdiction]]
    id = "US-TX"
    name = "Texas: …"
    retention_days = { photo = 365 }
    citations = { retention_days = "Tex. Bus. & Com. Code 503.001(c)(3)" }

    [schedule.photo]
    days = 1825
    basis = "…"

A file that names no jurisdiction, or has no schedule, leaves those as they are. Every field is checked: a typing mistake in a rule
must not make it vanish.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsee.core.errors import InvalidValue
from unsee.core.purposes import PARENT
from unsee.core.rules import CITED, Entry, Jurisdiction, RuleBook

SCHEMA: Final = "unsee/rules/1"
MAX_DAYS: Final = 36_525
"""A hundred years: more is "for ever", which no schedule may say (R31)."""


def to_toml(book: RuleBook) -> str:
    """The rule book as text; `from_toml` reads the same book from it."""
    lines = [f"schema = {_text(SCHEMA)}"]
    for place in book.jurisdictions:
        lines += ["", "[[jurisdiction]]", f"id = {_text(place.id)}", f"name = {_text(place.name)}"]
        lines += [f"covers = {_list(place.covers)}"] if place.covers else []
        lines += [f"{rule} = true" for rule in ("written_release", "separate_from_terms") if getattr(place, rule)]
        lines += [f"prohibited = {_list(place.prohibited)}"] if place.prohibited else []
        if place.retention_days:
            days = ", ".join(f"{_key(name)} = {n}" for name, n in sorted(place.retention_days.items()))
            lines.append(f"retention_days = {{ {days} }}")
        if place.citations:
            cited = ", ".join(f"{rule} = {_text(place.citations[rule])}" for rule in CITED if rule in place.citations)
            lines.append(f"citations = {{ {cited} }}")
        lines += [f"note = {_text(place.note)}"] if place.note else []
    for data_class, entry in sorted(book.schedule.items()):
        lines += ["", f"[schedule.{_key(data_class)}]", f"days = {entry.days}", f"basis = {_text(entry.basis)}"]
    return "\n".join(lines) + "\n"


def from_toml(text: str, *, file: str, base: RuleBook) -> RuleBook:
    """The rule book in `text`; what it leaves out is taken from `base`.

    Raises:
        InvalidValue: it is no TOML, or a field is unknown, missing or of the wrong kind; the message names file and key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{file} is no TOML: {error}.", next_step=_NEXT) from None
    top = _Table(file, "", document)
    if top.take("schema", str) != SCHEMA:
        raise top.wrong("schema", f"is not {SCHEMA!r}")
    found = tuple(_jurisdiction(row) for row in top.tables("jurisdiction")) or base.jurisdictions
    _distinct(found, file)
    rows = top.inside("schedule")
    schedule = {name: _entry(rows.inside(name)) for name in list(rows.values)}
    rows.end()
    top.end()
    return RuleBook(found, schedule or base.schedule)


_NEXT = 'See how a rule book is written with "unsee rules export".'
_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a file, emptied field by field: what is left in the end is unknown."""

    file: str
    key: str
    values: dict[str, Any]

    def wrong(self, name: str, what: str) -> InvalidValue:
        return InvalidValue(f"{self.file}: {self._key(name)} {what}.", next_step=_NEXT)

    def take(self, name: str, kind: type, default: Any = _REQUIRED) -> Any:
        value = self.values.pop(name, default)
        if value is _REQUIRED:
            raise self.wrong(name, "is missing")
        if type(value) is not kind:
            raise self.wrong(name, f"is not {_KINDS[kind]}")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        values = self.take(name, list, [])
        if not all(isinstance(v, str) and v for v in values):
            raise self.wrong(name, "is not a list of texts")
        return tuple(values)

    def inside(self, name: str) -> _Table:
        return _Table(self.file, self._key(name), dict(self.take(name, dict, {})))

    def tables(self, name: str) -> Iterator[_Table]:
        for number, row in enumerate(self.take(name, list, []), 1):
            if not isinstance(row, dict):
                raise self.wrong(name, "is not a list of tables")
            yield _Table(self.file, f"{self._key(name)}[{number}]", dict(row))

    def days(self, name: str) -> int:
        days: int = self.take(name, int)
        if not 0 < days <= MAX_DAYS:
            raise self.wrong(name, f"is not a number of days from 1 to {MAX_DAYS:,}")
        return days

    def end(self) -> None:
        for name in self.values:
            raise self.wrong(name, "is no field of a rule book")

    def _key(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


_KINDS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}


def _jurisdiction(row: _Table) -> Jurisdiction:
    name = row.take("id", str)
    if not name.strip():
        raise row.wrong("id", "is empty")
    limits = row.inside("retention_days")
    cited = row.inside("citations")
    place = Jurisdiction(
        name,
        row.take("name", str),
        covers=tuple(code.upper() for code in row.words("covers")),
        written_release=row.take("written_release", bool, False),
        separate_from_terms=row.take("separate_from_terms", bool, False),
        retention_days={data_class: limits.days(data_class) for data_class in list(limits.values)},
        prohibited=row.words("prohibited"),
        citations={rule: cited.take(rule, str) for rule in CITED if rule in cited.values},
        note=row.take("note", str, ""),
    )
    cited.end()
    row.end()
    for purpose in place.prohibited:
        if purpose not in PARENT:
            raise row.wrong("prohibited", f"names {purpose!r}, which is no purpose; known: {', '.join(PARENT)}")
    for rule in CITED:
        if getattr(place, rule) and not place.citations.get(rule, "").strip():
            raise cited.wrong(rule, "is missing: every rule names its source")
    return place


def _entry(row: _Table) -> Entry:
    entry = Entry(row.days("days"), row.take("basis", str))
    if not entry.basis.strip():
        raise row.wrong("basis", "is empty")
    row.end()
    return entry


def _distinct(found: tuple[Jurisdiction, ...], file: str) -> None:
    seen: dict[str, str] = {}
    for place in found:
        for code in {place.id.upper(), *place.covers}:
            if code in seen:
                raise InvalidValue(f"{file}: {code} stands for {seen[code]} and for {place.id}.", next_step=_NEXT)
            seen[code] = place.id


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for DEL, which JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"
