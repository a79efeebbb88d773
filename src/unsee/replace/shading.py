"""Light on a drawn head: a height field of a few Gaussian bumps, Lambert's law and a little gloss."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from unsee.replace.canvas import CANVAS, CENTRE, UNIT, Bytes, Canvas, Turn
from unsee.replace.identity import Identity
from unsee.replace.moment import Expression, Light

Floats32 = npt.NDArray[np.float32]

_SHADE: Final = 80
"""Side of the coarse grid; shading is smooth, so it is drawn small and enlarged."""


def lit(pixels: Bytes, who: Identity, turn: Turn, face: Expression, light: Light) -> Bytes:
    """Multiplies the drawing by the shading of a height field and adds the gloss."""
    shade, gloss = _shading(who, turn, face, light)
    big = (CANVAS, CANVAS)
    lit = pixels[:, :, :3] * cv2.resize(shade, big)[:, :, None]
    lit += (cv2.resize(gloss, big) * (pixels[:, :, 3] * np.float32(1 / 255)))[:, :, None]
    out = pixels.copy()
    np.minimum(lit, pixels[:, :, 3:], out=lit)
    out[:, :, :3] = lit
    return out


def _shading(who: Identity, turn: Turn, face: Expression, light: Light) -> tuple[Floats32, Floats32]:
    """Share of light and gloss (0..255) over a coarse grid, each (_SHADE, _SHADE) float32. Lambert wrapped by a quarter; Blinn."""
    step = CANVAS / _SHADE
    xs = ((np.arange(_SHADE, dtype=np.float32) + 0.5) * step - CENTRE[0]) / UNIT
    ys = ((np.arange(_SHADE, dtype=np.float32) + 0.5) * step - CENTRE[1]) / UNIT
    wide = (xs / (who.head.width * 1.28 + 0.3 * who.hair.volume)) ** 2
    tall = ((ys - 0.02) / 1.42) ** 2
    height = 0.95 * np.sqrt(np.maximum(0.04, 1 - wide[None, :] - tall[:, None]))
    bumps = np.array(_bumps(who, face))
    places = Canvas(turn).surface(bumps[:, :2]).astype(np.float32)
    across = np.exp(-(((xs[None, :] - places[:, :1]) / bumps[:, 3:4]) ** 2))
    along = np.exp(-(((ys[None, :] - places[:, 1:]) / bumps[:, 4:5]) ** 2))
    height = (height + np.einsum("b,by,bx->yx", bumps[:, 2], along, across, optimize=True)).astype(np.float32)
    gy, gx = np.gradient(height, step / UNIT)
    norm = 1 / np.sqrt(1 + gx * gx + gy * gy)
    lx, ly, lz = light.direction
    facing = (lz - gx * lx - gy * ly) * norm
    lambert = np.maximum(0, (facing + 0.25) / 1.25)
    hx, hy, hz = np.array([lx, ly, lz + 1]) / np.sqrt(lx**2 + ly**2 + (lz + 1) ** 2)
    shine = np.maximum(0, (hz - gx * hx - gy * hy) * norm) ** 24
    shade = light.ambient + (1 - light.ambient) * 1.25 * lambert
    return shade.astype(np.float32), (light.gloss * shine).astype(np.float32)


def _bumps(who: Identity, face: Expression) -> list[tuple[float, float, float, float, float]]:
    """The relief: x, y, height, width and length of each bump."""
    n, e, m, h = who.nose, who.eyes, who.mouth, who.head
    bumps = [
        (0.0, n.tip_y * 0.35, n.out * 0.55, n.bridge * 1.5, n.tip_y * 0.75),
        (0.0, n.tip_y - 0.05, n.out * 0.75, n.wings * 0.85, 0.11),
        (0.0, m.y - 0.02, 0.06, m.width * 0.9, 0.10),
        (0.0, m.y + m.lower + 0.09, -0.05, 0.18, 0.05),
        (0.0, 0.92 * h.chin_y, 0.12, h.width * h.chin * 0.7, 0.13),
    ]
    for side in (-1.0, 1.0):
        bumps += [
            (side * e.apart, e.y, -0.10, 0.20, 0.13),
            (side * e.apart, e.y - 0.24, 0.06, 0.24, 0.10),
            (side * 0.45, 0.24, h.cheekbone + 0.04 * max(0.0, face.smile), 0.19, 0.16),
        ]
    return bumps
