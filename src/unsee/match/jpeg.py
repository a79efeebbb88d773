"""The outline of a JPEG file, read from its markers without decoding: sizes, embedded metadata, and what would be a bomb.

Written here because no library tells these before it decodes: a file of a few megabytes with a million empty scans keeps any
libjpeg busy for hours, and a picture cut off in the middle decodes to grey without an error. ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SOI = b"\xff\xd8"
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_MULTI_PICTURE = b"MPF\0"
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SOS, _EOI, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_MARKER_IN_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_QUICK_COUNT = 16
"""Up to this many byte pairs that look like scans, their number is taken as it is; above, the markers are walked."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What the markers say. `process` is the low nibble of SOFn: 0 baseline, 1 extended, 2 progressive, others rare."""

    width: int
    height: int
    process: int
    precision: int
    components: int
    scans: int
    """Never too low; counting stops above the limit that was asked for."""
    complete: bool
    """An end-of-image marker follows the first scan."""
    more_pictures: bool
    """A multi-picture index (MPF) names further pictures behind the first."""
    exif: bytes | None
    xmp: bytes | None
    extended_xmp: bool


def outline(data: bytes, *, max_scans: int) -> Outline | str:
    """The outline of the first picture in `data`, or in words why there is none.

    Bytes between segments that are no marker are passed over, as libjpeg does.

    Cost: proportional to the number of segments; the bulk of the file is searched for two-byte patterns only.
    """
    if not data.startswith(SOI):
        return "it does not begin as a JPEG"
    exif: bytes | None = None
    xmp: bytes | None = None
    extended_xmp = more = False
    frame: tuple[int, int, int, int, int] | None = None
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker in _STANDALONE:
            continue
        if marker == _EOI:
            return "it ends before its picture begins"
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or at + length > len(data):
            return "it is cut off inside a header segment"
        if marker == _SOS:
            break
        if marker in _SOF:
            body = data[at + 2 : at + 8]
            if length < 8:
                return "its frame header is too short"
            frame = (
                int.from_bytes(body[3:5], "big"),
                int.from_bytes(body[1:3], "big"),
                marker - 0xC0,
                body[0],
                body[5],
            )
        elif marker == _APP1:
            payload = data[at + 2 : at + length]
            if payload.startswith(_EXIF):
                exif = (exif or b"") + payload[len(_EXIF) :]  # long EXIF goes on in the next segment
            elif payload.startswith(_XMP):
                xmp = xmp or payload[len(_XMP) :]
            elif payload.startswith(_XMP_EXTENSION):
                extended_xmp = True
        elif marker == _APP2 and data.startswith(_MULTI_PICTURE, at + 2):
            more = True
        at += length
    else:
        return "it ends before its picture begins"
    if frame is None:
        return "it has no frame header"
    return Outline(
        *frame,
        scans=_scans(data, at, frame, max_scans),
        complete=data.rfind(b"\xff\xd9") >= at,
        more_pictures=more,
        exif=exif,
        xmp=xmp,
        extended_xmp=extended_xmp,
    )


def _scans(data: bytes, first: int, frame: tuple[int, ...], limit: int) -> int:
    """The number of scans that a decoder goes through; `first` points behind the first start-of-scan marker."""
    _, _, process, _, components = frame
    if process in (0, 1) and data[first + 2 : first + 3] == bytes([components]):
        return 1  # a sequential scan with all components is the whole picture; decoders stop there
    quick = 1 + data.count(b"\xff\xda", first)
    if quick <= _QUICK_COUNT:
        return quick
    count, at = 1, first
    while count <= limit and (found := _MARKER_IN_SCAN.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        if marker not in _STANDALONE:
            count += marker == _SOS
            at += int.from_bytes(data[at : at + 2], "big")
    return count
