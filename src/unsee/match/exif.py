"""The few EXIF fields the house uses, read with bounds from a TIFF structure (TIFF 6.0, section 2; EXIF 2.32, section 4.6).

Written here because parsers of whole EXIF blocks unfold what they find: a directory may name thousands of values that all cover
the same bytes, so that 64 kB become 300 MB, and a TIFF file of 60 MB terabytes. Honest values do not overlap, so together they
are never larger than the block that holds them; that is checked here, also before a TIFF file is opened elsewhere. Each
directory has to be walked for it, and the wanted values are taken on the way. Tests hold them equal to Pillow's reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

MAKE: Final = 0x010F
MODEL: Final = 0x0110
ORIENTATION: Final = 0x0112
DATE: Final = 0x0132
DATE_ORIGINAL: Final = 0x9003
OFFSET_ORIGINAL: Final = 0x9011
LATITUDE_REF: Final = 1
LATITUDE: Final = 2
LONGITUDE_REF: Final = 3
LONGITUDE: Final = 4

_DETAIL_POINTER, _POSITION_POINTER = 0x8769, 0x8825
_MAIN: Final = frozenset({MAKE, MODEL, ORIENTATION, DATE, _DETAIL_POINTER, _POSITION_POINTER})
_DETAIL: Final = frozenset({DATE_ORIGINAL, OFFSET_ORIGINAL})
_POSITION: Final = frozenset({LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE})
_SIZES: Final = (1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
"""Bytes of one value, by TIFF type; an unknown type counts as bytes."""
_ASCII, _SHORT, _LONG, _RATIONAL, _IFD = 2, 3, 4, 5, 13
_PREFIX: Final = b"Exif\0\0"
_MOST_VALUES: Final = 16
_MOST_TEXT: Final = 1024

Value = str | tuple[float, ...]
"""Text, or numbers, none where they are damaged; a rational with denominator 0 is not a number."""


class BrokenDirectory(ValueError):
    """A TIFF structure cannot be read, or its directories name more bytes than it has."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The wanted fields of one block by tag: of the picture, of its taking (EXIF), of its place (GPS)."""

    main: Mapping[int, Value] = field(default_factory=dict)
    detail: Mapping[int, Value] = field(default_factory=dict)
    position: Mapping[int, Value] = field(default_factory=dict)
    more_directories: bool = False
    """Another directory follows the first: a thumbnail in EXIF, a further picture in a TIFF file."""

    @property
    def orientation(self) -> int:
        """1–8; 1 where there is none or it is out of range."""
        value = self.main.get(ORIENTATION)
        return int(value[0]) if isinstance(value, tuple) and value and value[0] in range(1, 9) else 1


def read_tags(block: bytes) -> Tags:
    """The wanted fields of a TIFF file, or of an EXIF block with or without its `Exif` prefix.

    Raises:
        BrokenDirectory: it is damaged, a BigTIFF, or its values overlap.
    Cost: about 10 µs; proportional to the number of entries.
    """
    if block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise BrokenDirectory("it is not a TIFF structure with 32-bit offsets")
    if len(block) < 8:
        raise BrokenDirectory("its header is cut off")
    (first,) = struct.unpack_from(order + "L", block, 4)
    main, more = _directory(block, order, first, _MAIN)
    detail, position = (
        _directory(block, order, int(pointer[0]), wanted)[0] if isinstance(pointer, tuple) and pointer else {}
        for pointer, wanted in ((main.get(_DETAIL_POINTER), _DETAIL), (main.get(_POSITION_POINTER), _POSITION))
    )
    return Tags(main, detail, position, more)


def _directory(block: bytes, order: str, at: int, wanted: frozenset[int]) -> tuple[dict[int, Value], bool]:
    """The wanted values of one directory, and whether another follows; raises where its values overlap."""
    if at + 2 > len(block):
        raise BrokenDirectory("a directory lies outside the block")
    (count,) = struct.unpack_from(order + "H", block, at)
    end = at + 2 + 12 * count
    if end > len(block):
        raise BrokenDirectory("a directory is cut off")
    total = 0
    found: dict[int, Value] = {}
    entry = at + 2
    for tag, kind, number, offset in struct.iter_unpack(order + "HHLL", block[entry:end]):
        size = number * (_SIZES[kind] if kind < len(_SIZES) else 1)
        total += size
        if tag in wanted:
            start = entry + 8 if size <= 4 else offset  # up to four bytes lie in the entry itself
            found[tag] = _value(block, order, kind, number, start)
        entry += 12
    if total > len(block):
        raise BrokenDirectory("its values overlap")
    return found, any(block[end : end + 4])


def _value(block: bytes, order: str, kind: int, number: int, start: int) -> Value:
    if kind == _ASCII:
        text = block[start : start + min(number, _MOST_TEXT)]
        return text.split(b"\0", 1)[0].decode("utf-8", "replace")
    if (
        number > _MOST_VALUES
        or kind not in (_SHORT, _LONG, _RATIONAL, _IFD)
        or start + number * _SIZES[kind] > len(block)
    ):
        return ()
    numbers = struct.unpack_from(
        f"{order}{number * (2 if kind == _RATIONAL else 1)}{'H' if kind == _SHORT else 'L'}", block, start
    )
    return tuple(_ratios(numbers)) if kind == _RATIONAL else numbers


def _ratios(numbers: tuple[int, ...]) -> Iterator[float]:
    for above, below in zip(numbers[::2], numbers[1::2], strict=True):
        yield above / below if below else float("nan")
