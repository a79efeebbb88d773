"""One photo of an identity: pose, light, expression, background, camera. What differs from photo to photo is drawn here."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from unsee.replace.canvas import CENTRE, UNIT, Turn
from unsee.replace.identity import Colour, Identity
from unsee.replace.moment import Expression, Light, Outfit
from unsee.replace.portrait import draw_head

SIDE: Final = 112
"""Pixels to a side of a photo."""

Bytes = npt.NDArray[np.uint8]
Floats32 = npt.NDArray[np.float32]


def take_photo(who: Identity, rng: np.random.Generator) -> Bytes:
    """A photo of `who`, (112, 112, 3) uint8 RGB; `rng` decides all that the identity does not. Costs about 6 ms."""
    roll = float(np.clip(rng.normal(0, 0.09), -0.25, 0.25))
    turn = Turn(
        yaw=float(np.clip(rng.normal(0, 0.22), -0.5, 0.5)), pitch=float(np.clip(rng.normal(0, 0.12), -0.28, 0.28))
    )
    head = draw_head(who, turn, _expression(rng), _light(rng, roll), _outfit(rng))
    backdrop = _backdrop(rng)
    layer = _framed(head, roll, rng).astype(np.float32)
    alpha = layer[:, :, 3:] * np.float32(1 / 255)
    photo: Floats32 = layer[:, :, :3] + backdrop * (1 - alpha)
    if rng.random() < 0.07:
        photo = _something_before(photo, rng)
    return _exposed(photo, rng)


def _expression(rng: np.random.Generator) -> Expression:
    blink = rng.random() < 0.05
    return Expression(
        smile=float(np.clip(rng.normal(0.35, 0.5), -0.6, 1.2)),
        mouth_open=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 else 0.0,
        eyes=0.12 if blink else float(np.clip(rng.normal(1.0, 0.14), 0.6, 1.3)),
        brows=float(rng.normal(0, 0.6)),
        gaze_x=float(rng.uniform(-1, 1)),
        gaze_y=float(rng.uniform(-0.6, 0.6)),
    )


def _light(rng: np.random.Generator, roll: float) -> Light:
    around, above = rng.uniform(-1.0, 1.0), rng.uniform(-0.15, 0.9)
    x, y, z = np.sin(around) * np.cos(above), -np.sin(above), np.cos(around) * np.cos(above)
    # The head is rolled after it is lit: the lamp turns back, so that it stays where it was in the room.
    c, s = np.cos(-roll), np.sin(-roll)
    return Light(
        direction=(float(c * x - s * y), float(s * x + c * y), float(z)),
        ambient=float(rng.uniform(0.35, 0.7)),
        gloss=float(rng.uniform(8, 34)),
    )


def _colour(rng: np.random.Generator, low: float = 20, high: float = 240, strength: float = 0.45) -> Colour:
    """A muted colour: any hue, `strength` the largest saturation, brightness even over `low`..`high`."""
    hue, saturation, value = rng.uniform(0, 6), strength * rng.random(), rng.uniform(low, high)
    red, green, blue = (
        value * (1 - saturation * min(max(min(k, 4 - k), 0), 1)) for k in ((n + hue) % 6 for n in (5, 3, 1))
    )
    return float(red), float(green), float(blue)


def _outfit(rng: np.random.Generator) -> Outfit:
    extra = rng.random()
    return Outfit(
        shirt=_colour(rng),
        stripe=_colour(rng) if rng.random() < 0.25 else None,
        collar=float(rng.uniform(0, 1)),
        glasses=bool(rng.random() < 0.85),
        hat=_colour(rng) if extra < 0.03 else None,
        mask=_colour(rng, 120, 240) if 0.03 <= extra < 0.04 else None,
        shades=bool(0.04 <= extra < 0.06),
    )


def _framed(head: Bytes, roll: float, rng: np.random.Generator) -> Bytes:
    """The head rolled, scaled and shifted into the picture, (112, 112, 4) premultiplied."""
    scale = float(np.clip(rng.normal(33.0, 2.2), 28.0, 39.0)) / UNIT
    x, y = SIDE / 2 + np.clip(rng.normal(0, 2.6), -7, 7), SIDE * 0.50 + np.clip(rng.normal(0, 2.4), -6, 6)
    c, s = scale * np.cos(roll), scale * np.sin(roll)
    matrix = np.array(
        [[c, -s, x - c * CENTRE[0] + s * CENTRE[1]], [s, c, y - s * CENTRE[0] - c * CENTRE[1]]], dtype=np.float64
    )
    softened = cv2.blur(head, (2, 2))
    # The last row, the chest, goes on below the canvas; every other edge of the canvas is empty.
    framed = cv2.warpAffine(softened, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(framed, dtype=np.uint8)


def _backdrop(rng: np.random.Generator) -> Floats32:
    """Something behind the head, (112, 112, 3) float32: large shapes of strong contrast, then finer ones."""
    plane = _gradient(rng, _colour(rng), _colour(rng))
    kind = rng.integers(5)
    draw = (_shelves, _rectangles, _discs, _bars, _hills)[kind]
    draw(plane, rng)
    if rng.random() < 0.5:
        _discs(plane, rng, count=4)
    if rng.random() < 0.45:
        cv2.GaussianBlur(plane, (0, 0), float(rng.uniform(0.8, 3.0)), dst=plane)
    return plane.astype(np.float32)


def _gradient(rng: np.random.Generator, a: Colour, b: Colour) -> Bytes:
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    ramp = np.clip(0.5 + axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle), 0, 1)[:, :, None]
    low, high = np.array(a, dtype=np.float32), np.array(b, dtype=np.float32)
    return np.asarray(low + (high - low) * ramp).astype(np.uint8)


def _polygon(plane: Bytes, points: npt.NDArray[np.float64], colour: Colour) -> None:
    cv2.fillPoly(plane, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _rectangles(plane: Bytes, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(3, 8)):
        x, y = rng.uniform(-10, SIDE, 2)
        w, h = rng.uniform(12, 60, 2)
        _polygon(plane, np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]), _colour(rng))


def _discs(plane: Bytes, rng: np.random.Generator, count: int = 9) -> None:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for _ in range(count):
        _polygon(plane, rng.uniform(0, SIDE, 2) + circle * rng.uniform(4, 26), _colour(rng))


def _bars(plane: Bytes, rng: np.random.Generator) -> None:
    tilt, width = rng.uniform(-0.9, 0.9), rng.uniform(7, 22)
    colours = [_colour(rng) for _ in range(3)]
    for k, x in enumerate(np.arange(-SIDE, 2 * SIDE, width)):
        lean = tilt * SIDE
        strip = np.array([(x, 0), (x + width, 0), (x + width + lean, SIDE), (x + lean, SIDE)])
        _polygon(plane, strip, colours[k % 3])


def _shelves(plane: Bytes, rng: np.random.Generator) -> None:
    y = float(rng.uniform(-20, 0))
    while y < SIDE:
        board = float(rng.uniform(22, 38))
        x = float(rng.uniform(-6, 0))
        while x < SIDE:
            w, gap = float(rng.uniform(4, 12)), float(rng.uniform(0, 9))
            _polygon(
                plane,
                np.array([(x, y + gap), (x + w, y + gap), (x + w, y + board - 3), (x, y + board - 3)]),
                _colour(rng),
            )
            x += w
        y += board


def _hills(plane: Bytes, rng: np.random.Generator) -> None:
    x = np.linspace(-4, SIDE + 4, 24)
    for level in np.sort(rng.uniform(15, 100, 4)):
        wave = level + rng.uniform(4, 16) * np.sin(x * rng.uniform(0.03, 0.12) + rng.uniform(0, 6.28))
        ring = np.concatenate([np.stack([x, wave], axis=1), np.array([(SIDE + 4.0, SIDE + 4.0), (-4.0, SIDE + 4.0)])])
        _polygon(plane, ring, _colour(rng))


def _something_before(photo: Floats32, rng: np.random.Generator) -> Floats32:
    """A hand, a leaf, a shoulder: one shape that comes in from an edge."""
    angle = rng.uniform(0, 2 * np.pi)
    middle = SIDE / 2 + rng.uniform(40, 58) * np.array([np.cos(angle), np.sin(angle)])
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = rng.uniform(14, 26) * (1 + 0.2 * np.sin(around * rng.integers(2, 6)))
    ring = middle + radius[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
    plane = np.clip(photo, 0, 255).astype(np.uint8)
    _polygon(plane, ring, _colour(rng))
    return plane.astype(np.float32)


def _exposed(photo: Floats32, rng: np.random.Generator) -> Bytes:
    """Light over the whole picture, white balance, blur, sensor noise."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ramp = 1 + strength * (axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle))
    gain = np.clip(rng.normal(1.0, 0.10), 0.75, 1.25) * (1 + rng.normal(0, 0.025, 3))
    photo = photo * ramp.astype(np.float32)[:, :, None] * gain.astype(np.float32)
    if rng.random() < 0.35:
        cv2.GaussianBlur(photo, (0, 0), float(rng.uniform(0.4, 1.1)), dst=photo)
    noise = rng.standard_normal((SIDE, SIDE, 3), dtype=np.float32)
    exposed: Bytes = np.clip(photo + noise * np.float32(rng.uniform(1, 6)), 0, 255).astype(np.uint8)
    return exposed
