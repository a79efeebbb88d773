"""The canvas that a head is drawn on: smooth polygons in head units, turned by yaw and pitch, projected straight on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from unsee.replace.identity import Colour

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

CANVAS: Final = 240
UNIT: Final = 60.0
"""Canvas pixels to one head unit."""
CENTRE: Final = (120.0, 100.0)
_SHIFT_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """How the head is turned, in radians: yaw to the picture's right, pitch upwards."""

    yaw: float
    pitch: float


class Canvas:
    """Premultiplied RGBA, and the drawing of smooth shapes in head units on it."""

    def __init__(self, turn: Turn) -> None:
        self.pixels: Bytes = np.zeros((CANVAS, CANVAS, 4), dtype=np.uint8)
        self._sin_yaw, self._cos_yaw = float(np.sin(turn.yaw)), float(np.cos(turn.yaw))
        self._sin_pitch, self._cos_pitch = float(np.sin(turn.pitch)), float(np.cos(turn.pitch))

    def surface(self, points: Floats, lift: float = 0.0) -> Floats:
        """Places on the front of the head, (n, 2) head units, turned; `lift` moves them off the surface towards the camera."""
        x, y = points[:, 0], points[:, 1]
        depth = 0.80 * np.sqrt(np.clip(1 - (x / 0.84) ** 2 - (y / 1.3) ** 2, 0.02, 1)) + lift
        return self.turned(x, y, depth)

    def flat(self, points: Floats, z: float) -> Floats:
        """Places on the upright plane at depth `z`, (n, 2) head units, turned."""
        return self.turned(points[:, 0], points[:, 1], z)

    def turned(self, x: Floats, y: Floats, z: Floats | float) -> Floats:
        """Points in space, turned and projected straight on, (n, 2) head units."""
        z_after = z * self._cos_yaw - x * self._sin_yaw
        return np.stack(
            [x * self._cos_yaw + z * self._sin_yaw, y * self._cos_pitch - z_after * self._sin_pitch * 0.8], 1
        )

    def fill(self, points: Floats, colour: Colour) -> None:
        """A filled polygon; `points` are (n, 2) already turned."""
        cv2.fillPoly(self.pixels, [_fixed(points)], (*colour, 255), cv2.LINE_AA, _SHIFT_BITS)

    def stroke(self, points: Floats, colour: Colour, width: float, *, closed: bool = False) -> None:
        """A line of `width` head units; `points` are (n, 2) already turned."""
        pixels = max(1, round(width * UNIT))
        cv2.polylines(self.pixels, [_fixed(points)], closed, (*colour, 255), pixels, cv2.LINE_AA, _SHIFT_BITS)


def smooth(control: Floats, steps: int) -> Floats:
    """A closed Catmull-Rom curve through `control` (n, 2), with `steps` points for each of them."""
    basis = _catmull_rom(steps)
    around = np.stack([np.roll(control, k, axis=0) for k in (1, 0, -1, -2)], axis=1)
    curve: Floats = np.einsum("sk,nkd->nsd", basis, around).reshape(-1, 2)
    return curve


@lru_cache(maxsize=8)
def _catmull_rom(steps: int) -> Floats:
    t = np.arange(steps) / steps
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )


def _fixed(points: Floats) -> npt.NDArray[np.int32]:
    return np.round((points * UNIT + CENTRE) * (1 << _SHIFT_BITS)).astype(np.int32)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b`."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


def darker(colour: Colour, factor: float) -> Colour:
    """`colour` with `factor` of its light."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def ellipse(x: float, y: float, rx: float, ry: float, points: int = 20) -> Floats:
    """Points on an ellipse about (x, y), (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)
