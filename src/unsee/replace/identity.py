"""Who a rendered person is: geometry, skin, hair and marks as frozen numbers, the same in each of that person's photos.

Lengths are in head units: half the height of an average head is 1; x grows to the right of the picture, y downwards, z
towards the camera; (0, 0) lies between the eyes and the tip of the nose. Colours are sRGB triples, 0..255.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

Colour = tuple[float, float, float]


class Tone(StrEnum):
    """Skin-tone group. Within a group the tone varies from person to person; the groups do not overlap."""

    LIGHT = "light"
    MID = "mid"
    DARK = "dark"


class HairStyle(StrEnum):
    """How the hair is worn; lengths, volume and curl vary within a style."""

    BALD = "bald"
    BUZZ = "buzz"
    SHORT = "short"
    SWEPT = "swept"
    FRINGE = "fringe"
    BOB = "bob"
    LONG = "long"
    ROUND = "round"
    BUN = "bun"


class BeardStyle(StrEnum):
    """What grows on the lower face."""

    NONE = "none"
    STUBBLE = "stubble"
    MOUSTACHE = "moustache"
    GOATEE = "goatee"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Head:
    """The outline: half width at the temples, and the rest as shares of it."""

    width: float
    cheek: float
    jaw: float
    chin: float
    chin_y: float
    crown: float
    cheekbone: float
    ear_size: float
    ear_out: float
    neck: float


@dataclass(frozen=True, slots=True)
class Eyes:
    """Half distance, height, half width, half opening, tilt (rad, outer corner up), iris."""

    apart: float
    y: float
    width: float
    opening: float
    tilt: float
    iris_size: float
    iris: Colour
    lid: float
    bags: float


@dataclass(frozen=True, slots=True)
class Brows:
    """Height above the eye, half length, half thickness, arch and tilt."""

    above: float
    length: float
    thick: float
    arch: float
    tilt: float
    gap: float


@dataclass(frozen=True, slots=True)
class Nose:
    """Where it ends, how wide its wings and bridge are, how far it stands out."""

    tip_y: float
    wings: float
    bridge: float
    out: float
    nostril: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """Height, half width, thickness of both lips, cupid's bow, colour."""

    y: float
    width: float
    upper: float
    lower: float
    bow: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Hair:
    """Style and its measures. `curl` is the amplitude of the outline's waves, `waves` their number."""

    style: HairStyle
    colour: Colour
    hairline: float
    temple: float
    volume: float
    length: float
    part: float
    curl: float
    waves: int


@dataclass(frozen=True, slots=True)
class Marks:
    """Moles (x, y, radius), freckles (x, y), a scar (x, y, dx, dy), wrinkles 0..1, blush 0..1."""

    moles: tuple[tuple[float, float, float], ...]
    freckles: tuple[tuple[float, float], ...]
    scar: tuple[float, float, float, float] | None
    wrinkles: float
    blush: float


@dataclass(frozen=True, slots=True)
class Glasses:
    """A frame: half width and half height of a lens, squareness 0..1, thickness, colour."""

    width: float
    height: float
    square: float
    thick: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Identity:
    """All that stays the same from photo to photo."""

    tone: Tone
    skin: Colour
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    beard: BeardStyle
    beard_density: float
    marks: Marks
    glasses: Glasses | None


# Ends of the melanin scale and two steps between, chosen by eye near the Monk scale's 2, 5, 7 and 10.
_SKIN: Final = np.array([[250, 216, 192], [216, 164, 124], [148, 100, 72], [70, 46, 38]], dtype=np.float64)
_MELANIN: Final = {Tone.LIGHT: (0.00, 0.24), Tone.MID: (0.32, 0.54), Tone.DARK: (0.66, 1.00)}

_HAIR_COLOURS: Final[tuple[Colour, ...]] = (
    (24, 20, 20),
    (48, 34, 28),
    (84, 56, 38),
    (122, 82, 50),
    (136, 62, 34),
    (186, 146, 88),
    (222, 190, 132),
)
_HAIR_ODDS: Final = {
    Tone.LIGHT: (0.06, 0.16, 0.22, 0.18, 0.12, 0.14, 0.12),
    Tone.MID: (0.34, 0.28, 0.18, 0.10, 0.05, 0.03, 0.02),
    Tone.DARK: (0.42, 0.24, 0.13, 0.06, 0.07, 0.05, 0.03),
}
_IRIS: Final[tuple[Colour, ...]] = ((52, 34, 26), (94, 60, 34), (122, 96, 50), (84, 112, 72), (92, 130, 160))
_IRIS_ODDS: Final = {
    Tone.LIGHT: (0.10, 0.24, 0.20, 0.18, 0.28),
    Tone.MID: (0.46, 0.36, 0.12, 0.04, 0.02),
    Tone.DARK: (0.60, 0.30, 0.08, 0.01, 0.01),
}
_STYLES: Final = tuple(HairStyle)
#                          bald  buzz  short swept fringe bob  long  round bun
_STYLE_ODDS: Final = {
    "m": (0.13, 0.18, 0.24, 0.18, 0.08, 0.01, 0.06, 0.11, 0.01),
    "f": (0.01, 0.04, 0.09, 0.08, 0.14, 0.20, 0.24, 0.09, 0.11),
}
_VOLUME: Final = {
    HairStyle.BALD: 0.0,
    HairStyle.BUZZ: 0.03,
    HairStyle.SHORT: 0.10,
    HairStyle.SWEPT: 0.20,
    HairStyle.FRINGE: 0.12,
    HairStyle.BOB: 0.15,
    HairStyle.LONG: 0.12,
    HairStyle.ROUND: 0.38,
    HairStyle.BUN: 0.07,
}
_LENGTH: Final = {HairStyle.FRINGE: 0.45, HairStyle.BOB: 0.75, HairStyle.LONG: 1.6}


def draw_identity(rng: np.random.Generator, *, tone: Tone, sex: str, age: int) -> Identity:
    """A person, drawn from `rng`.

    Args:
        rng: consumed; equal states give equal persons.
        tone: the skin-tone group to draw within.
        sex: `f` or `m`; shifts the odds of hair, beard and outline, decides none of them.
        age: years; grey hair and wrinkles follow it.
    """
    hair_colour, skin = _hair_colour(rng, tone, age), _skin(rng, tone)
    female = sex == "f"
    return Identity(
        tone=tone,
        skin=skin,
        head=_head(rng, female=female),
        eyes=_eyes(rng, tone),
        brows=Brows(
            above=_around(rng, 0.19, 0.035),
            length=_around(rng, 0.19, 0.028),
            thick=max(0.012, _around(rng, 0.026 if female else 0.036, 0.011)),
            arch=_around(rng, 0.04, 0.03),
            tilt=_around(rng, 0.02, 0.12),
            gap=_around(rng, 0.0, 0.03),
        ),
        nose=Nose(
            tip_y=_around(rng, 0.33, 0.055),
            wings=_around(rng, {"light": 0.130, "mid": 0.142, "dark": 0.160}[tone], 0.028),
            bridge=_around(rng, 0.06, 0.016),
            out=_around(rng, 0.30, 0.08),
            nostril=_around(rng, 0.034, 0.008),
        ),
        mouth=_mouth(rng, tone, skin, female=female),
        hair=_hair(rng, hair_colour, female=female),
        beard=BeardStyle.NONE if female else _beard(rng),
        beard_density=float(rng.uniform(0.55, 0.95)),
        marks=_marks(rng, tone, age),
        glasses=_glasses(rng) if rng.random() < 0.2 else None,
    )


def _colour(values: Iterable[float]) -> Colour:
    """Three numbers as a colour, kept within what a photo can show."""
    red, green, blue = (min(252.0, max(8.0, float(v))) for v in values)
    return red, green, blue


def _around(rng: np.random.Generator, mean: float, sd: float) -> float:
    """Normal, cut at two deviations: no monster."""
    return float(mean + sd * np.clip(rng.standard_normal(), -2.0, 2.0))


def _pick(rng: np.random.Generator, odds: tuple[float, ...]) -> int:
    return int(np.searchsorted(np.cumsum(odds), rng.random() * sum(odds), side="right"))


def _shifted(rng: np.random.Generator, colour: Colour, sd: float) -> Colour:
    """A colour near `colour`: one common step in lightness, a smaller one in each channel."""
    step = rng.standard_normal(4) * sd
    return _colour(np.array(colour) + step[0] + 0.45 * step[1:])


def _skin(rng: np.random.Generator, tone: Tone) -> Colour:
    low, high = _MELANIN[tone]
    place = rng.uniform(low, high) * (len(_SKIN) - 1)
    base = [float(np.interp(place, np.arange(len(_SKIN)), _SKIN[:, channel])) for channel in range(3)]
    red, yellow = rng.uniform(-1, 1, 2)
    depth = 0.5 + base[0] / 500
    warm = np.array([5 * red + 2 * yellow, -6 * red + 1 * yellow, -2 * red - 13 * yellow]) * depth
    return _colour(np.array(base) + warm)


def _hair_colour(rng: np.random.Generator, tone: Tone, age: int) -> Colour:
    colour = _shifted(rng, _HAIR_COLOURS[_pick(rng, _HAIR_ODDS[tone])], 9)
    grey = float(np.clip((age - 38) / 40 + 0.25 * rng.standard_normal(), 0, 1)) if age > 36 else 0.0
    silver = 178 + 30 * rng.random()
    if rng.random() < 0.03:  # dyed
        colour = _colour(rng.uniform(40, 200, 3))
    return _colour(c + (silver - c) * grey for c in colour)


def _head(rng: np.random.Generator, *, female: bool) -> Head:
    return Head(
        width=_around(rng, 0.73, 0.05),
        cheek=_around(rng, 0.97, 0.035),
        jaw=_around(rng, 0.76 if female else 0.82, 0.065),
        chin=_around(rng, 0.36 if female else 0.42, 0.075),
        chin_y=_around(rng, 1.0, 0.07),
        crown=_around(rng, 1.0, 0.05),
        cheekbone=_around(rng, 0.06, 0.03),
        ear_size=_around(rng, 0.20, 0.03),
        ear_out=_around(rng, 0.07, 0.03),
        neck=_around(rng, 0.36 if female else 0.46, 0.04),
    )


def _eyes(rng: np.random.Generator, tone: Tone) -> Eyes:
    return Eyes(
        apart=_around(rng, 0.33, 0.034),
        y=_around(rng, -0.08, 0.035),
        width=_around(rng, 0.145, 0.018),
        opening=_around(rng, 0.066, 0.014),
        tilt=_around(rng, 0.06, 0.10),
        iris_size=_around(rng, 0.066, 0.006),
        iris=_shifted(rng, _IRIS[_pick(rng, _IRIS_ODDS[tone])], 7),
        lid=float(rng.uniform(0.0, 1.0)),
        bags=float(rng.uniform(0.0, 1.0)),
    )


def _mouth(rng: np.random.Generator, tone: Tone, skin: Colour, *, female: bool) -> Mouth:
    target = {Tone.LIGHT: (196, 96, 96), Tone.MID: (160, 78, 72), Tone.DARK: (112, 52, 54)}[tone]
    strength = float(np.clip(_around(rng, 0.62 if female else 0.42, 0.18), 0.1, 1.0))
    mixed = _colour(s + (t - s) * strength for s, t in zip(skin, target, strict=True))
    fuller = 1.25 if tone is Tone.DARK else 1.0
    return Mouth(
        y=_around(rng, 0.575, 0.045),
        width=_around(rng, 0.25, 0.036),
        upper=max(0.015, _around(rng, 0.045, 0.014) * fuller),
        lower=max(0.025, _around(rng, 0.062, 0.017) * fuller),
        bow=float(rng.uniform(0.0, 0.5)),
        colour=_shifted(rng, mixed, 6),
    )


def _hair(rng: np.random.Generator, colour: Colour, *, female: bool) -> Hair:
    style = _STYLES[_pick(rng, _STYLE_ODDS["f" if female else "m"])]
    base = _VOLUME[style]
    curly = rng.random() < (0.9 if style is HairStyle.ROUND else 0.35)
    return Hair(
        style=style,
        colour=colour,
        hairline=_around(rng, -0.30 if style is HairStyle.FRINGE else -0.62, 0.06),
        temple=_around(rng, -0.10, 0.09),
        volume=base * float(rng.uniform(0.65, 1.4)),
        length=_LENGTH.get(style, 0.0) * float(rng.uniform(0.75, 1.2)),
        part=float(rng.uniform(-0.8, 0.8)),
        curl=float(rng.uniform(0.02, 0.06)) if curly else 0.0,
        waves=int(rng.integers(9, 22)),
    )


def _beard(rng: np.random.Generator) -> BeardStyle:
    return tuple(BeardStyle)[_pick(rng, (0.46, 0.18, 0.09, 0.10, 0.17))]


def _marks(rng: np.random.Generator, tone: Tone, age: int) -> Marks:
    moles = tuple(
        (float(rng.uniform(-0.55, 0.55)), float(rng.uniform(-0.45, 0.85)), float(rng.uniform(0.018, 0.038)))
        for _ in range(_pick(rng, (0.45, 0.30, 0.17, 0.08)))
    )
    freckled = rng.random() < {Tone.LIGHT: 0.22, Tone.MID: 0.10, Tone.DARK: 0.06}[tone]
    places = rng.normal((0.0, 0.15), (0.30, 0.11), (34, 2)) if freckled else np.empty((0, 2))
    scarred = rng.random() < 0.10
    x, y, dx, dy = rng.uniform((-0.5, -0.5, -0.12, 0.06), (0.5, 0.8, 0.12, 0.22))
    return Marks(
        moles=moles,
        freckles=tuple((float(a), float(b)) for a, b in places),
        scar=(float(x), float(y), float(dx), float(dy)) if scarred else None,
        wrinkles=float(np.clip((age - 35) / 40 + 0.2 * rng.standard_normal(), 0, 1)),
        blush=float(rng.uniform(0, 1)),
    )


def _glasses(rng: np.random.Generator) -> Glasses:
    return Glasses(
        width=float(rng.uniform(0.20, 0.26)),
        height=float(rng.uniform(0.13, 0.21)),
        square=float(rng.integers(0, 2)),
        thick=float(rng.uniform(0.02, 0.05)),
        colour=_shifted(rng, ((30, 28, 30), (110, 70, 40), (150, 30, 40), (160, 150, 130))[rng.integers(4)], 8),
    )
