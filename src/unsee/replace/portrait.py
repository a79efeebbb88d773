"""Draws the head of an identity, turned and lit, on a transparent canvas of `CANVAS` × `CANVAS` pixels.

A two-and-a-half-dimensional puppet: every feature is a smooth polygon on the front of an ellipsoid, turned by yaw and pitch
and projected straight on; a height field gives the shading. Roll, scale and shift are left to the scene.
"""

from __future__ import annotations

import numpy as np

from unsee.replace.canvas import Bytes, Canvas, Floats, Turn, smooth
from unsee.replace.features import beard, blush, brow, ears, eye, glasses, marks, mask, mouth, nose, shoulders
from unsee.replace.hair import back_hair, front_hair, hat
from unsee.replace.identity import Identity
from unsee.replace.moment import Expression, Light, Outfit
from unsee.replace.shading import lit


def draw_head(who: Identity, turn: Turn, face: Expression, light: Light, outfit: Outfit) -> Bytes:
    """The lit head and shoulders, (CANVAS, CANVAS, 4) uint8, premultiplied RGBA. Costs about 3 ms."""
    canvas = Canvas(turn)
    outline = head_outline(who, canvas)
    back_hair(canvas, who, outline)
    shoulders(canvas, who, outfit)
    ears(canvas, who)
    canvas.fill(outline, who.skin)
    blush(canvas, who)
    marks(canvas, who)
    beard(canvas, who, outline)
    mouth(canvas, who, face)
    nose(canvas, who)
    for side in (-1.0, 1.0):
        eye(canvas, who, face, side)
        brow(canvas, who, face, side)
    if outfit.mask is not None:
        mask(canvas, outline, outfit.mask)
    front_hair(canvas, who, outline)
    if outfit.shades or (outfit.glasses and who.glasses is not None):
        glasses(canvas, who, dark=outfit.shades)
    if outfit.hat is not None:
        hat(canvas, who, outline, outfit.hat)
    return lit(canvas.pixels, who, turn, face, light)


def head_outline(who: Identity, canvas: Canvas) -> Floats:
    """The edge of the face, clockwise from the crown, (96, 2) turned head units."""
    h = who.head
    right = np.array(
        [
            (0.0, -h.crown),
            (h.width * 0.66, -0.86 * h.crown),
            (h.width, -0.32),
            (h.width * h.cheek, 0.18),
            (h.width * h.jaw, 0.64),
            (h.width * h.chin, 0.93 * h.chin_y),
            (0.0, 1.04 * h.chin_y),
        ]
    )
    left = right[-2:0:-1] * (-1.0, 1.0)
    points = smooth(np.concatenate([right, left]), 8)
    # The chin stands before the crown, so a turned head leads with its chin.
    return canvas.turned(points[:, 0], points[:, 1], np.clip(0.12 + 0.30 * points[:, 1], 0.0, 0.45))
