"""Which class of data an attribute belongs to. An order reaches every class that was handed over, not only photos (R2)."""

from __future__ import annotations

from typing import Final

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
