"""One column of a consent list at a time: each distinct text understood once, and every wrong row named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from unsee.app.consent_rows import Chunk, Problem
from unsee.books.consent_words import Numbers
from unsee.core.consent import ConsentState
from unsee.core.dpv import BASES
from unsee.core.errors import UnknownPurpose
from unsee.core.purposes import known

MAX_RECORD_ID: Final = 200
_STATES: Final = {
    "given": ConsentState.GIVEN,
    "renewed": ConsentState.GIVEN,
    "withdrawn": ConsentState.WITHDRAWN,
    "refused": ConsentState.WITHDRAWN,
}
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLAIN_TIME: Final = r"^[1-9]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_PLACE: Final = re.compile(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,8})*")
RELEASE: Final = "[0-9a-f]{64}|written|"
NO_TIME: Final = np.iinfo(np.int64).min

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Look:
    """One chunk under examination: `bad` marks its rows as problems are found."""

    chunk: Chunk
    bad: npt.NDArray[np.bool_]
    problems: list[Problem]

    def column(
        self, name: str, parse: Callable[[str], Value], *, but: npt.NDArray[np.bool_] | None = None
    ) -> tuple[list[Value | None], Numbers]:
        """Each distinct text of a column, parsed once (None: wrong), and for each row the index of its own.

        Args:
            but: rows whose text the caller understands already; it stands as an empty one here.
        """
        array = self.chunk.columns.get(name)
        if array is None:
            array = pa.repeat(pa.scalar(""), len(self.bad))
        elif but is not None and but.any():
            array = pc.if_else(pa.array(but), "", array)
        coded = array.dictionary_encode()
        index = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        values: list[Value | None] = []
        for at, text in enumerate(coded.dictionary.to_pylist()):
            try:
                values.append(parse(text))
            except (ValueError, UnknownPurpose) as error:
                values.append(None)
                what = f"{error.message} {error.next_step}" if isinstance(error, UnknownPurpose) else str(error)
                self.wrong(name, index == at, what)
        return values, index

    def times(self, name: str, *, last: bool) -> Numbers:
        """A column of days or times as UTC seconds; `last`: a day stands for its last second; none is `NO_TIME`."""
        array = self.chunk.columns.get(name)
        found, spelled = plain_seconds(array) if array is not None else (None, None)
        values, index = self.column(name, lambda text: _time(text, last=last), but=spelled)
        other = np.array([NO_TIME if v is None else v for v in values], dtype=np.int64)[index]
        return other if found is None or spelled is None else np.where(spelled, found, other)

    def texts(self, name: str, good: Callable[[pa.Array], pa.Array], parse: Callable[[str], str]) -> pa.Array:
        """A column as it is; of the rows that are not good `parse` says what is wrong."""
        array = self.chunk.columns.get(name)
        if array is None:
            return pa.repeat(pa.scalar(""), len(self.bad))
        fine = good(array).to_numpy(zero_copy_only=False)
        if not fine.all():
            self.column(name, parse, but=fine)
        return array

    def filled(self, name: str) -> tuple[list[Any], Numbers]:
        """Whether a row has a text in a column, as `column` would answer it."""
        array = self.chunk.columns.get(name)
        if array is None:
            return [False, True], np.zeros(len(self.bad), dtype=np.int64)
        return [False, True], pc.not_equal(array, "").to_numpy(zero_copy_only=False).astype(np.int64)

    def wrong(self, name: str, rows: npt.NDArray[np.bool_], what: str) -> None:
        """Report a problem for each of these rows that has none yet."""
        for at in np.flatnonzero(rows & ~self.bad):
            self.problems.append(Problem(int(self.chunk.lines[at]), name, what))
        np.logical_or(self.bad, rows, out=self.bad)


def purposes_of(text: str) -> tuple[str, ...]:
    """The purposes of a field, each once: `train;evaluate`. What is wrong raises, in words (ValueError, UnknownPurpose)."""
    found = tuple(dict.fromkeys(known(p.strip()) for p in text.split(";") if p.strip()))
    if not found:
        raise ValueError("it is empty; for what?")
    return found


def state_of(text: str) -> ConsentState:
    """Yes or no: a renewal is another yes, a refusal a no."""
    if text not in _STATES:
        raise ValueError(f"{text[:40]!r} is no state; states are {', '.join(_STATES)}")
    return _STATES[text]


def basis_of(text: str) -> str:
    """The kind of consent; `consent` where nothing is said."""
    if text and text not in BASES:
        raise ValueError(f"{text[:40]!r} is no basis; bases are {', '.join(BASES)}")
    return text or "consent"


def places_of(text: str) -> tuple[str, ...]:
    """Where the person lives: `IE`, `US-IL`; several with `;`."""
    found = tuple(dict.fromkeys(p.strip().upper() for p in text.split(";") if p.strip()))
    for place in found:
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{place[:40]!r} is no code of a place, such as IE or US-IL")
    return found


def record_id_of(text: str) -> str:
    """The record's own id; empty where it has none."""
    if len(text) > MAX_RECORD_ID:
        raise ValueError(f"it is longer than {MAX_RECORD_ID} characters")
    return text


def release_of(text: str) -> str:
    """The digest of a written release, `written` where only that there is one is known, or empty."""
    if not re.fullmatch(RELEASE, text):
        raise ValueError("it is no SHA-256 in hexadecimal, lower case")
    return text


def plain_seconds(texts: pa.Array) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Texts such as 2024-02-01T10:00:00Z as UTC seconds, and which texts are such; of the others the seconds mean nothing."""
    spelled = pc.match_substring_regex(texts, _PLAIN_TIME)
    try:
        moments = pc.if_else(spelled, texts, "1970-01-01T00:00:00Z").cast(pa.timestamp("s", "UTC"))
    except pa.ArrowInvalid:  # there is a day such as 31 February among them: whoever words the error finds it
        spelled, moments = pa.repeat(False, len(texts)), pa.repeat(0, len(texts))
    return moments.cast(pa.int64()).to_numpy(), spelled.to_numpy(zero_copy_only=False)


def _time(text: str, *, last: bool) -> int:
    if not text:
        return NO_TIME
    try:
        moment = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            moment = datetime.combine(moment.date(), time(23, 59, 59) if last else time.min)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no day (YYYY-MM-DD) and no time (YYYY-MM-DDTHH:MM:SSZ)") from None


def text_array(values: Sequence[str]) -> pa.Array:
    """Texts as a column."""
    return pa.array(values, type=pa.string())
