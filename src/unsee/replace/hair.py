"""Hair, before and behind the head, and what is worn on it."""

from __future__ import annotations

import numpy as np

from unsee.replace.canvas import Canvas, Floats, darker, ellipse, mixed, smooth
from unsee.replace.identity import Colour, HairStyle, Identity


def hat(canvas: Canvas, who: Identity, outline: Floats, colour: Colour) -> None:
    """A cap over the hair."""
    crown = _upper(outline, 1.10 + 0.5 * who.hair.volume)
    x = np.linspace(1, -1, 13) * who.head.width * 1.04
    band = canvas.surface(np.stack([x, np.full(13, -0.46)], axis=1), 0.05)
    canvas.fill(np.concatenate([crown, band]), colour)
    canvas.stroke(band + np.array((0.0, 0.02)), darker(colour, 0.7), 0.09)


def _upper(outline: Floats, grow: float, down: int = 20) -> Floats:
    """The outline from the left temple over the crown to the right one, grown by `grow` about the middle of the head."""
    index = np.arange(-down, down + 1)
    return outline[index] * (grow, 1 + (grow - 1) * 1.15)


def _wavy(points: Floats, who: Identity) -> Floats:
    """`points` with the hair's waves on them, about the middle of the head."""
    if who.hair.curl == 0.0:
        return points
    phase = np.linspace(0, who.hair.waves * np.pi, len(points))
    return points * (1 + who.hair.curl * np.abs(np.sin(phase)))[:, None]


def _dense(points: Floats, count: int) -> Floats:
    """`points` resampled to `count` along their index, so that waves have corners to live on."""
    at = np.linspace(0, len(points) - 1, count)
    base = np.arange(len(points))
    return np.stack([np.interp(at, base, points[:, 0]), np.interp(at, base, points[:, 1])], axis=1)


def back_hair(canvas: Canvas, who: Identity, outline: Floats) -> None:
    """What hangs or stands behind the head; drawn first."""
    h = who.hair
    shade = darker(h.colour, 0.72)
    if h.style is HairStyle.BUN:
        canvas.fill(canvas.flat(_wavy(ellipse(0.25 * h.part, -1.22, 0.34, 0.30, 40), who), -0.3), shade)
    if h.style is HairStyle.ROUND:
        canvas.fill(_wavy(_dense(_upper(outline, 1 + 1.25 * h.volume, 27), 120), who), shade)
    if h.length > 0:
        w = who.head.width + h.volume
        flare = 1.0 + 0.25 * h.curl / 0.06
        right = np.array(
            [(w * 0.95, -0.5), (w * 1.05, 0.2), (w * 1.05 * flare, h.length * 0.8), (w * 0.8, h.length + 0.1)]
        )
        ring = np.concatenate([right, right[::-1] * (-1.0, 1.0)])
        mane = _wavy(_dense(smooth(ring, 8), 120), who)
        canvas.fill(canvas.flat(mane, -0.30), shade)


def front_hair(canvas: Canvas, who: Identity, outline: Floats) -> None:
    """From the hairline to the crown, with a few strands."""
    h = who.hair
    if h.style is HairStyle.BALD:
        return
    x = np.linspace(1, -1, 25)
    reach = np.abs(x) ** 3.2
    line = h.hairline + (h.temple - h.hairline) * reach
    if h.style is HairStyle.SWEPT:
        line = line + 0.10 * np.sin(2.2 * (x - h.part)) - 0.05
    elif h.style is HairStyle.FRINGE:
        line = line + 0.035 * np.sin(9 * x + 6 * h.part) + 0.10 * h.part * x
    else:
        line = line - 0.09 * np.exp(-(((x - h.part) / 0.16) ** 2)) + 0.03 * np.cos(5 * x + 3 * h.part)
    if h.length > 0:
        line = np.maximum(line, line + 0.45 * np.clip(np.abs(x) - 0.8, 0, None) / 0.2)
    crown = _wavy(_dense(_upper(outline, 1 + h.volume), 120), who)
    front = canvas.surface(np.stack([x * who.head.width * 0.985, line], axis=1), 0.02)
    colour = mixed(h.colour, who.skin, 0.35) if h.style is HairStyle.BUZZ else h.colour
    canvas.fill(np.concatenate([crown, front]), colour)
    if h.style is HairStyle.BUZZ:
        return
    for k, start in enumerate(np.linspace(-0.62, 0.62, 7)):
        root = np.array([start, h.hairline + (h.temple - h.hairline) * abs(start) ** 3.2 - 0.06])
        top = np.array([start * 0.6 + 0.15 * (h.part - start), -0.94 - 0.3 * h.volume])
        bend = (root + top) / 2 + (0.06 * np.sign(start), 0.0)
        strand = canvas.surface(np.stack([root, bend, top]), 0.02)
        tint = mixed(h.colour, (255, 240, 220), 0.07) if k % 2 else darker(h.colour, 0.90)
        canvas.stroke(strand, tint, 0.035)
