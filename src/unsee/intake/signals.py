"""What a photo says of itself before anything is done to it: EXIF, and machine-readable opt-outs.

Read here: IPTC/PLUS `DataMining` in XMP (PLUS License Data Format, "Data Mining" vocabulary). Not read: C2PA and CAWG manifests;
that one is there is told. TDMRep stands in HTTP and web pages, never in a picture. One re-save drops all of these, so **absence
is no consent**.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from unsee.match import exif
from unsee.match.exif import Value
from unsee.match.pictures import Embedded

MAX_XMP_BYTES: Final = 1 << 20
_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_PLUS: Final = "{http://ns.useplus.org/ldf/xmp/1.0/}"
_VOCABULARY: Final = re.compile(r"https?://ns\.useplus\.org/ldf/vocab/", re.IGNORECASE)
_ALLOWING: Final = frozenset({"DMI-ALLOWED", "DMI-UNSPECIFIED"})
_MOMENT: Final = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_MOST_CHARACTERS: Final = 128
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
    tags = embedded.exif
    if not tags.main:
        return Exif()
    make, model = _text(tags.main.get(exif.MAKE)), _text(tags.main.get(exif.MODEL))
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    latitude = _degrees(tags.position, exif.LATITUDE_REF, exif.LATITUDE, "S", 90)
    longitude = _degrees(tags.position, exif.LONGITUDE_REF, exif.LONGITUDE, "W", 180)
    whole = latitude is not None and longitude is not None
    return Exif(
        taken=_taken(
            tags.detail.get(exif.DATE_ORIGINAL) or tags.main.get(exif.DATE), tags.detail.get(exif.OFFSET_ORIGINAL)
        ),
        camera=camera[:_MOST_CHARACTERS] or None,
        has_position=exif.LATITUDE in tags.position or exif.LONGITUDE in tags.position,
        latitude=latitude if whole else None,
        longitude=longitude if whole else None,
        orientation=tags.orientation,
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


def _text(value: Value | None) -> str:
    """Printable text of a field; empty where it is no text."""
    if not isinstance(value, str):
        return ""
    if not value.isprintable():
        value = "".join(c for c in value if c.isprintable())
    return value.strip()[:_MOST_CHARACTERS]


def _taken(value: Value | None, offset: Value | None) -> str | None:
    parts = _MOMENT.fullmatch(_text(value))
    if parts is None:
        return None
    try:
        moment = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*parts.groups()))
    except ValueError:
        return None
    zone = _text(offset)
    return moment.isoformat() + (zone if _OFFSET.fullmatch(zone) else "")


def _degrees(position: Mapping[int, Value], reference: int, tag: int, negative: str, most: float) -> float | None:
    value = position.get(tag)
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    degrees = value[0] + value[1] / 60 + value[2] / 3600
    if not degrees <= most:  # also where it is not a number
        return None
    return round(-degrees if _text(position.get(reference)).upper().startswith(negative) else degrees, 6)
