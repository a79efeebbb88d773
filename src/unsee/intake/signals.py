"""What a photo says of itself before anything is done to it: EXIF, and machine-readable opt-outs.

Read here: IPTC/PLUS `DataMining` in XMP (PLUS License Data Format, "Data Mining" vocabulary). Not read: C2PA and CAWG manifests;
that one is there is told. TDMRep stands in HTTP and web pages, never in a picture. One re-save drops all of these, so **absence
is no consent**.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from PIL import Image

from unsee.match.exif import EXIF_DIRECTORY, GPS_DIRECTORY, orientation_of
from unsee.match.pictures import Embedded

MAX_XMP_BYTES: Final = 1 << 20
_MAKE, _MODEL, _DATE, _DATE_ORIGINAL, _OFFSET_ORIGINAL = 0x010F, 0x0110, 0x0132, 0x9003, 0x9011
_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_PLUS: Final = "{http://ns.useplus.org/ldf/xmp/1.0/}"
_VOCABULARY: Final = re.compile(r"https?://ns\.useplus\.org/ldf/vocab/", re.IGNORECASE)
_ALLOWING: Final = frozenset({"DMI-ALLOWED", "DMI-UNSPECIFIED"})
_OFFSET: Final = re.compile(r"[+-]\d{2}:\d{2}")


@dataclass(frozen=True, slots=True)
class Exif:
    """What the camera wrote. Texts are cut to 128 characters."""

    taken: str | None = None
    """ISO 8601 as the camera's clock had it; with an offset from UTC only where the camera wrote one."""
    camera: str | None = None
    has_position: bool = False
    latitude: float | None = None
    """Degrees, north positive; None where there is no position or it cannot be read."""
    longitude: float | None = None
    """Degrees, east positive."""
    orientation: int = 1
    """As written, 1–8; digests and hash are of the upright picture."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Machine-readable reservations in the file."""

    data_mining: tuple[str, ...] = ()
    """Values of `plus:DataMining` without the vocabulary's address, such as `DMI-PROHIBITED-AIMLTRAINING`."""
    opted_out: bool = False
    """Some value is neither `DMI-ALLOWED` nor `DMI-UNSPECIFIED`. A partial prohibition (generative training only, or "see
    constraints") counts as one against training, and so does a value that is not in the vocabulary: whoever wrote it meant to
    reserve something."""
    unread: tuple[str, ...] = ()
    """What is there and was not read, each with its reason."""


def read_exif(embedded: Embedded) -> Exif:
    """The EXIF of an examined file; fields that are damaged read as absent. Never raises."""
    exif = embedded.exif
    if not exif:
        return Exif()
    detail = _directory(exif, EXIF_DIRECTORY)
    position = _directory(exif, GPS_DIRECTORY)
    words = [_text(_value(exif, tag)) for tag in (_MAKE, _MODEL)]
    make, model = (word or "" for word in words)
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    latitude, longitude = _degrees(position, 1, 2, "S", 90), _degrees(position, 3, 4, "W", 180)
    whole = latitude is not None and longitude is not None
    return Exif(
        taken=_taken(detail.get(_DATE_ORIGINAL) or _value(exif, _DATE), detail.get(_OFFSET_ORIGINAL)),
        camera=camera or None,
        has_position=2 in position or 4 in position,
        latitude=latitude if whole else None,
        longitude=longitude if whole else None,
        orientation=orientation_of(exif),
    )


def read_signals(data: bytes, embedded: Embedded) -> Signals:
    """The opt-outs of an examined file. Never raises; hostile XMP (entities, nesting, size) is told as unread.

    Args:
        data: the file, in which a C2PA manifest is looked for.
        embedded: what `examine_with_embedded` found.
    Cost: two searches of the file for four bytes each, and 0.1 ms where there is XMP.
    """
    unread = list(embedded.unread)
    if b"jumb" in data and b"c2pa" in data:
        unread.append("a C2PA manifest is present and was not read")
    values: tuple[str, ...] = ()
    if embedded.xmp:
        try:
            values = _data_mining(embedded.xmp)
        except _UnreadXmp as error:
            unread.append(f"XMP was not read: {error}")
    return Signals(values, any(value.upper() not in _ALLOWING for value in values), tuple(unread))


class _UnreadXmp(ValueError):
    pass


def _data_mining(xmp: bytes) -> tuple[str, ...]:
    """Values of `plus:DataMining`, in any of the three spellings of a simple RDF property: attribute, element, resource."""
    if len(xmp) > MAX_XMP_BYTES:
        raise _UnreadXmp(f"it is {len(xmp):,} bytes large, more than {MAX_XMP_BYTES:,}")
    try:
        root: Element = defusedxml.ElementTree.fromstring(xmp.strip(b"\0 \r\n\t"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise _UnreadXmp(f"it declares a document type or entities ({type(error).__name__})") from error
    except (ParseError, ValueError, LookupError) as error:
        raise _UnreadXmp(f"it is not XML ({error})") from error
    found: dict[str, None] = {}
    for element in root.iter():
        if element.tag == _PLUS + "DataMining":
            nested = [one.text or one.get(_RDF + "resource") for one in element.iter(_RDF + "li")]
            for text in (element.get(_RDF + "resource"), element.text, *nested):
                if text and text.strip():
                    found[_short(text)] = None
        attribute = element.get(_PLUS + "DataMining")
        if attribute and attribute.strip():
            found[_short(attribute)] = None
    return tuple(found)


def _short(value: str) -> str:
    return _VOCABULARY.sub("", value.strip(), count=1)[:128]


def _directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(tag))
    except (
        Exception
    ):  # Pillow's parser raises whatever a damaged directory makes it trip over; the fields are then absent
        return {}


def _value(exif: Image.Exif, tag: int) -> Any:
    try:
        return exif.get(tag)
    except Exception:  # as above, for one value
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    text = "".join(c for c in value if c.isprintable()).strip()
    return text.encode("utf-8", "replace").decode()[:128] or None


def _taken(value: Any, offset: Any) -> str | None:
    try:
        moment = datetime.strptime(_text(value) or "", "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    zone = _text(offset) or ""
    return moment.isoformat() + (zone if _OFFSET.fullmatch(zone) else "")


def _degrees(position: dict[int, Any], reference: int, tag: int, negative: str, most: float) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in position[tag])
        value = degrees + minutes / 60 + seconds / 3600
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(value) or abs(value) > most:
        return None
    side = _text(position.get(reference)) or ""
    return round(-value if side.upper().startswith(negative) else value, 6)
