"""Which class of data an attribute belongs to. An order reaches every class that was handed over, not only photos (R2)."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from unsee.core.errors import MetadataError
from unsee.core.rules import Entry
from unsee.intake.metadata import OWN_FIELDS, Metadata

LOCATION: Final = "location"
DEMOGRAPHICS: Final = "demographics"
EXIF: Final = "exif"
"""What the camera wrote: when, and with what."""
OTHER: Final = "other"

_LOCATION: Final = frozenset(
    {
        "latitude",
        "longitude",
        "lat",
        "lon",
        "gps",
        "location",
        "address",
        "city",
        "region",
        "country",
        "postcode",
        "zip",
    }
)
_DEMOGRAPHICS: Final = frozenset(
    {
        "age",
        "birth_year",
        "birthday",
        "sex",
        "gender",
        "tone",
        "skin_tone",
        "ethnicity",
        "race",
        "nationality",
        "orientation",
    }
)


def class_of(attribute: str) -> str:
    """`location`, `demographics` or `other`, by the attribute's name; an `exif_` in front of it does not count."""
    name = attribute.lower().removeprefix("exif_")
    if name in _LOCATION:
        return LOCATION
    if name in _DEMOGRAPHICS:
        return DEMOGRAPHICS
    return OTHER


def require_kept(metadata: Metadata, schedule: Mapping[str, Entry]) -> None:
    """Pass where every attribute's class has an entry in the retention schedule (R32).

    What the camera wrote into the photos is not asked for here: its classes are in the schedule that every workspace begins with.

    Raises:
        MetadataError: one has none; file, field and the line where it comes first are named.
    """
    for attribute, line in metadata.fields.items():
        data_class = class_of(attribute)
        if data_class not in schedule:
            meant = get_close_matches(attribute.lower().replace("-", "_"), OWN_FIELDS, n=1)
            raise MetadataError(
                f"it is of class {data_class!r}, for which the retention schedule has no entry; nothing is kept without a limit"
                + (f" (is {meant[0]!r} meant?)" if meant else ""),
                file=metadata.path,
                line=line,
                field=attribute,
                next_step=f"Say how long it is kept: unsee retention set {data_class} --days N --basis TEXT --as P; "
                f"or leave it out: --leave-out {attribute}. Nothing was taken in.",
            )
