"""What a head does, wears and is lit by in one photo, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from unsee.replace.identity import Colour


@dataclass(frozen=True, slots=True)
class Expression:
    """What the face does in this photo. 0 is at rest; `eyes` is 1 at rest."""

    smile: float = 0.0
    mouth_open: float = 0.0
    eyes: float = 1.0
    brows: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0


@dataclass(frozen=True, slots=True)
class Light:
    """One lamp. `direction` is a unit vector from the face; `ambient` the share of light that comes from everywhere."""

    direction: tuple[float, float, float]
    ambient: float
    gloss: float


@dataclass(frozen=True, slots=True)
class Outfit:
    """What is worn in this photo: shirt colour and collar; the identity's glasses or not; what hides part of the face."""

    shirt: Colour
    stripe: Colour | None
    collar: float
    glasses: bool
    hat: Colour | None = None
    mask: Colour | None = None
    shades: bool = False
