"""Extended headers of tar (POSIX.1-2001 pax): records `LENGTH KEY=VALUE\\n`, and the sparse maps that GNU tar puts into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_PIECES = 1 << 16
"""Stretches of one sparse member; more are refused."""
Pieces = tuple[tuple[int, int], ...]
"""(offset, length) of each stretch that a sparse member's data fills; the rest of it is zeros."""
_DIGITS = 19


class Malformed(ValueError):
    """What is wrong with the header, in words."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What an extended header says of the member that follows it."""

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    sparse: Pieces | None = None
    real_size: int | None = None
    map_in_data: bool = False
    """GNU sparse 1.0: the map begins the member's data."""


def records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Key and value of each record, in order; NULs may follow the last one.

    Raises:
        Malformed: a record's length is not where its newline is, or it has no `=`.
    """
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + _DIGITS + 1)
        length = _decimal(data[at : max(space, at)])
        record = data[space + 1 : at + length]
        if length <= space - at + 1 or at + length > len(data) or not record.endswith(b"\n"):
            raise Malformed("a record of the extended header is not as long as it says")
        key, equals, value = record[:-1].partition(b"=")
        if not equals or not key:
            raise Malformed("a record of the extended header has no key")
        found.append((key, value))
        at += length
    if data[at:].strip(b"\0"):
        raise Malformed("something that is no record follows in the extended header")
    return found


def overrides(found: Sequence[tuple[bytes, bytes]]) -> Overrides:
    """What the records say of the member; of a key that comes twice the last one counts, as in GNU tar and Python's `tarfile`.

    Raises:
        Malformed: a number is none, a name is empty, or a sparse map makes no sense.
    """
    last = dict(found)
    path, link = last.get(b"path"), last.get(b"linkpath")
    if path == b"" or link == b"":
        raise Malformed("the extended header gives an empty name, which readers take differently")
    size = _decimal(last[b"size"]) if b"size" in last else None
    if not any(key.startswith(b"GNU.sparse.") for key in last):
        return Overrides(path, link, size)
    path = last.get(b"GNU.sparse.name", path)
    real = last.get(b"GNU.sparse.realsize", last.get(b"GNU.sparse.size"))
    if real is None:
        raise Malformed("a sparse member has no size")
    if b"GNU.sparse.major" in last:
        if (last[b"GNU.sparse.major"], last.get(b"GNU.sparse.minor")) != (b"1", b"0"):
            raise Malformed("the version of a sparse member is not known")
        return Overrides(path, link, size, None, _decimal(real), map_in_data=True)
    if b"GNU.sparse.map" in last:
        numbers = [_decimal(number) for number in last[b"GNU.sparse.map"].split(b",") if number]
    else:
        numbers = [_decimal(value) for key, value in found if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}]
    return Overrides(path, link, size, pieces(numbers, _decimal(real)), _decimal(real))


def pieces(numbers: Iterable[int], real_size: int) -> Pieces:
    """The stretches of a sparse member from the numbers of its map: offset, length, offset, length …

    Raises:
        Malformed: they overlap, go backwards or reach behind the end.
    """
    every = list(numbers)
    if len(every) % 2 or len(every) > 2 * MOST_PIECES:
        raise Malformed("the map of a sparse member is no list of pairs, or too long")
    found: list[tuple[int, int]] = []
    end = 0
    for offset, length in zip(every[::2], every[1::2], strict=True):
        if offset < end or offset + length > real_size:
            raise Malformed("the map of a sparse member goes backwards or beyond its end")
        end = offset + length
        if length:
            found.append((offset, length))
    return tuple(found)


def map_in_data(blocks: Iterable[bytes], real_size: int) -> tuple[Pieces, int]:
    """The map that begins the data of a sparse member of version 1.0, and how many blocks it takes.

    Raises:
        Malformed: it is none, or ends early.
    """
    text = b""
    numbers: list[int] = []
    wanted = None
    for taken, block in enumerate(blocks, start=1):
        lines = (text + block).split(b"\n")
        text = lines.pop()
        for line in lines:
            numbers.append(_decimal(line))
            if wanted is None:
                wanted = 2 * numbers.pop()
                if wanted > 2 * MOST_PIECES:
                    raise Malformed("the map of a sparse member is too long")
            if len(numbers) == wanted:
                return pieces(numbers, real_size), taken
        if wanted == 0:
            return (), taken
        if len(text) > _DIGITS:
            break
    raise Malformed("the map of a sparse member ends early")


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > _DIGITS:
        raise Malformed(f"{bytes(text[:24])!r} is no number")
    return int(text)
