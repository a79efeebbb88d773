"""The parts of a face, each drawn in its place: neck, ears, marks, beard, mouth, nose, eyes, brows, glasses."""

from __future__ import annotations

import numpy as np

from unsee.replace.canvas import Canvas, Floats, darker, ellipse, mixed, smooth
from unsee.replace.identity import BeardStyle, Colour, Identity
from unsee.replace.moment import Expression, Outfit


def shoulders(canvas: Canvas, who: Identity, outfit: Outfit) -> None:
    """Neck, chest and shirt."""
    neck, w = who.head.neck, who.head.width
    body = np.array(
        [(-1.65, 2.9), (-1.5, 1.85), (-0.75, 1.5), (-neck, 1.34), (neck, 1.34), (0.75, 1.5), (1.5, 1.85), (1.65, 2.9)]
    )
    canvas.fill(body, outfit.shirt)
    if outfit.stripe is not None:
        for y in (1.72, 1.94, 2.16, 2.38):
            reach = 0.80 + 1.6 * (y - 1.60)  # stays within the shoulders
            canvas.stroke(np.array([(-min(1.35, reach), y), (min(1.35, reach), y)]), outfit.stripe, 0.06)
    dip = 1.36 + 0.35 * outfit.collar
    skin = darker(who.skin, 0.86)
    column = np.array([(-neck, 0.55), (neck, 0.55), (neck * 1.06, 1.36), (0.0, dip), (-neck * 1.06, 1.36)])
    canvas.fill(column, skin)
    shade = np.array([(-w * 0.6, 0.6), (w * 0.6, 0.6), (neck * 0.9, 1.12), (0.0, 1.26), (-neck * 0.9, 1.12)])
    canvas.fill(shade * (min(1.0, neck / (0.6 * w)), 1.0), darker(who.skin, 0.70))


def ears(canvas: Canvas, who: Identity) -> None:
    """Both ears; the turned head shows them as they stand."""
    h = who.head
    for side in (-1.0, 1.0):
        x = side * (h.width * h.cheek + h.ear_out * 0.6)
        ear = canvas.flat(ellipse(x, 0.05, 0.06 + h.ear_out, h.ear_size), -0.12)
        canvas.fill(ear, darker(who.skin, 0.93))
        inner = canvas.flat(ellipse(x, 0.06, (0.06 + h.ear_out) * 0.5, h.ear_size * 0.6, 12), -0.12)
        canvas.fill(inner, darker(who.skin, 0.76))


def blush(canvas: Canvas, who: Identity) -> None:
    """Warmth of the cheeks."""
    warm = mixed(who.skin, (min(250.0, who.skin[0] * 1.06), who.skin[1] * 0.86, who.skin[2] * 0.84), who.marks.blush)
    for side in (-1.0, 1.0):
        for size, share in ((0.20, 0.5), (0.13, 1.0)):
            canvas.fill(canvas.surface(ellipse(side * 0.42, 0.30, size, size * 0.75, 16)), mixed(who.skin, warm, share))


def marks(canvas: Canvas, who: Identity) -> None:
    """Freckles, moles, scar, wrinkles."""
    skin = who.skin
    for x, y in who.marks.freckles:
        canvas.fill(canvas.surface(ellipse(x, y, 0.017, 0.015, 6)), mixed(skin, (120, 70, 40), 0.45))
    for x, y, radius in who.marks.moles:
        canvas.fill(canvas.surface(ellipse(x, y, radius, radius, 10)), darker(skin, 0.40))
    if who.marks.scar is not None:
        x, y, dx, dy = who.marks.scar
        pale = mixed(skin, (250, 200, 190), 0.45)
        canvas.stroke(canvas.surface(np.array([(x, y), (x + dx * 0.6, y + dy * 0.5), (x + dx, y + dy)])), pale, 0.035)
    if who.marks.wrinkles > 0.15:
        line = mixed(skin, darker(skin, 0.55), 0.30 + 0.4 * who.marks.wrinkles)
        for y in (-0.52, -0.42):
            x_row = np.linspace(-0.34, 0.34, 9)
            canvas.stroke(canvas.surface(np.stack([x_row, y - 0.03 * np.cos(4 * x_row)], 1)), line, 0.016)
        for side in (-1.0, 1.0):
            fold = np.array([(0.19, 0.36), (0.29, 0.48), (0.32, 0.60)]) * (side, 1.0)
            canvas.stroke(canvas.surface(fold), line, 0.02)


def beard(canvas: Canvas, who: Identity, outline: Floats) -> None:
    """What grows on the lower face, from stubble to a full beard."""
    if who.beard is BeardStyle.NONE:
        return
    hair = darker(who.hair.colour, 0.9)
    y, w = who.mouth.y, who.mouth.width
    density = 0.22 if who.beard is BeardStyle.STUBBLE else who.beard_density
    colour = mixed(who.skin, hair, density)
    if who.beard in (BeardStyle.FULL, BeardStyle.STUBBLE):
        low = np.linspace(18, 78, 31).astype(int)  # the outline from the right cheek round the chin to the left one
        rim = (outline[low] - (0.0, 0.1)) * (1.0, 1.0) + (0.0, 0.1)
        grown = rim * (1.01, 1.035) if who.beard is BeardStyle.FULL else rim
        inner = canvas.surface(
            np.array([(-0.52, 0.42), (-0.34, y - 0.12), (0.0, y - 0.17), (0.34, y - 0.12), (0.52, 0.42)])
        )
        canvas.fill(np.concatenate([grown, inner]), colour)
    if who.beard is BeardStyle.GOATEE:
        canvas.fill(
            canvas.surface(
                smooth(np.array([(-w, y - 0.02), (w, y - 0.02), (0.8 * w, 0.88), (0.0, 0.98), (-0.8 * w, 0.88)]), 5)
            ),
            colour,
        )
    if who.beard in (BeardStyle.MOUSTACHE, BeardStyle.GOATEE):
        canvas.fill(
            canvas.surface(
                smooth(
                    np.array(
                        [
                            (0.0, y - 0.15),
                            (w * 0.9, y - 0.09),
                            (w * 1.1, y + 0.02),
                            (0.0, y - 0.05),
                            (-w * 1.1, y + 0.02),
                            (-w * 0.9, y - 0.09),
                        ]
                    ),
                    5,
                ),
                0.04,
            ),
            colour,
        )


def mouth(canvas: Canvas, who: Identity, face: Expression) -> None:
    """Lips, and the teeth where it is open."""
    m = who.mouth
    half = m.width * (1 + 0.16 * face.smile)
    t = np.linspace(-1, 1, 15)
    lift = -0.075 * face.smile * np.abs(t) ** 1.6
    gap = 0.11 * face.mouth_open * np.sqrt(np.clip(1 - t**2, 0, 1))
    x, middle = t * half, m.y + lift
    cupid = 1 - m.bow * np.exp(-((t / 0.16) ** 2))
    top = middle - gap * 0.45 - m.upper * np.clip(1 - t**2, 0, 1) ** 0.7 * cupid
    bottom = middle + gap * 0.75 + m.lower * np.clip(1 - t**2, 0, 1) ** 0.6
    seam_up, seam_down = middle - gap * 0.45, middle + gap * 0.75

    def ring(above: Floats, below: Floats) -> Floats:
        return canvas.surface(np.concatenate([np.stack([x, above], 1), np.stack([x, below], 1)[::-1]]), 0.03)

    canvas.fill(ring(top, seam_up), darker(m.colour, 0.88))
    canvas.fill(ring(seam_down, bottom), m.colour)
    if face.mouth_open > 0.15:
        canvas.fill(ring(seam_up, seam_down), (58, 24, 26))
        canvas.fill(ring(seam_up, seam_up + 0.5 * (seam_down - seam_up)), (236, 230, 220))
    else:
        canvas.stroke(canvas.surface(np.stack([x, middle], 1), 0.03), darker(m.colour, 0.55), 0.018)


def nose(canvas: Canvas, who: Identity) -> None:
    """Wings, nostrils and the shadow below; its relief is in the shading."""
    n, skin = who.nose, who.skin
    shadow = darker(skin, 0.72)
    for side in (-1.0, 1.0):
        wing = np.array(
            [
                (n.bridge, -0.05),
                (n.bridge * 0.95, n.tip_y * 0.55),
                (n.wings, n.tip_y - 0.04),
                (n.wings * 0.92, n.tip_y + 0.02),
            ]
        )
        canvas.stroke(canvas.surface(wing[1:] * (side, 1.0), n.out * 0.4), darker(skin, 0.84), 0.022)
        hole = ellipse(side * n.wings * 0.5, n.tip_y + 0.015, n.nostril, n.nostril * 0.62, 10)
        canvas.fill(canvas.surface(hole, n.out * 0.55), darker(skin, 0.42))
    t = np.linspace(-1, 1, 9)
    under = np.stack([t * n.wings * 0.85, n.tip_y + 0.045 - 0.025 * t**2], axis=1)
    canvas.stroke(canvas.surface(under, n.out * 0.5), shadow, 0.02)


def eye(canvas: Canvas, who: Identity, face: Expression, side: float) -> None:
    """One eye with socket, lid, white, iris, pupil and glint; `side` is -1 or 1."""
    e = who.eyes
    t = np.linspace(-1, 1, 13)
    tilt = -e.tilt * t * e.width  # the outer corner lies at t = 1
    upper = tilt - e.opening * face.eyes * np.clip(1 - t**2, 0, 1) ** 0.6
    lower = tilt + 0.72 * e.opening * min(1.0, face.eyes) * np.clip(1 - t**2, 0, 1) ** 0.7

    def place(x: Floats, y: Floats) -> Floats:
        return canvas.surface(np.stack([side * (e.apart + x), e.y + y], axis=1), -0.05)

    socket = mixed(who.skin, darker(who.skin, 0.78), 0.35 + 0.5 * e.bags)
    canvas.fill(place(*ellipse(0.0, 0.05, e.width * 1.05, e.opening + 0.06, 16).T), socket)
    lid = place(np.concatenate([t, t[::-1]]) * e.width * 1.06, np.concatenate([upper - 0.05, upper[::-1]]))
    canvas.fill(lid, mixed(who.skin, darker(who.skin, 0.70), 0.3 + 0.7 * e.lid))
    canvas.fill(place(np.concatenate([t, t[::-1]]) * e.width, np.concatenate([upper, lower[::-1]])), (234, 230, 226))
    for size, colour in ((e.iris_size, e.iris), (e.iris_size * 0.48, (14.0, 12.0, 12.0))):
        disc = ellipse(side * 0.05 * face.gaze_x, 0.03 * face.gaze_y - 0.008, size, size, 18)
        x = disc[:, 0]
        inside = np.clip(disc[:, 1], np.interp(x, t * e.width, upper), np.interp(x, t * e.width, lower))
        canvas.fill(place(x, inside), colour)
    glint = ellipse(side * 0.05 * face.gaze_x + side * 0.02, -0.03 * face.eyes, 0.014, 0.014, 8)
    if face.eyes > 0.6:
        canvas.fill(place(*glint.T), (250, 250, 250))
    canvas.stroke(place(t * e.width, upper), darker(mixed(who.skin, (20, 16, 16), 0.75), 0.9), 0.024)


def brow(canvas: Canvas, who: Identity, face: Expression, side: float) -> None:
    """One brow; `side` is -1 or 1."""
    b, e = who.brows, who.eyes
    t = np.linspace(-1, 1, 11)
    y = e.y - b.above - 0.035 * face.brows - b.arch * (1 - t**2) - b.tilt * t * 0.3
    thick = b.thick * np.clip(1.15 - 0.45 * (t + 1) / 2 - 0.5 * np.abs(t) ** 6, 0.15, None)
    x = side * (e.apart + 0.01 + b.gap + t * b.length)
    ring = np.concatenate([np.stack([x, y - thick], 1), np.stack([x, y + thick], 1)[::-1]])
    canvas.fill(canvas.surface(ring), mixed(darker(who.hair.colour, 0.75), who.skin, 0.12))


def glasses(canvas: Canvas, who: Identity, *, dark: bool) -> None:
    """The person's own frame, or a pair of sunglasses."""
    g, e = who.glasses, who.eyes
    width, height, square, thick, colour = (
        (g.width, g.height, g.square, g.thick, g.colour)
        if g is not None
        else (0.24, 0.18, 0.0, 0.03, (20.0, 20.0, 22.0))
    )
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    power = 0.45 if square else 1.0
    for side in (-1.0, 1.0):
        rim_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * width + side * max(e.apart, width + 0.03)
        rim_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * height + e.y + 0.02
        rim = canvas.surface(np.stack([rim_x, rim_y], axis=1), 0.10)
        if dark:
            canvas.fill(rim, (28, 26, 30))
        canvas.stroke(rim, colour, thick, closed=True)
        arm = np.array([(side * (max(e.apart, width + 0.03) + width), e.y), (side * who.head.width, e.y - 0.02)])
        canvas.stroke(canvas.surface(arm, 0.05), colour, thick)
    bridge = np.array(
        [(-max(e.apart, width + 0.03) + width, e.y), (0.0, e.y - 0.04), (max(e.apart, width + 0.03) - width, e.y)]
    )
    canvas.stroke(canvas.surface(bridge, 0.15), colour, thick)


def mask(canvas: Canvas, outline: Floats, colour: Colour) -> None:
    """A cloth over mouth and nose."""
    low = outline[np.linspace(24, 72, 25).astype(int)] * (1.0, 1.01)
    upper = canvas.surface(np.array([(-0.55, 0.30), (-0.2, 0.16), (0.0, 0.12), (0.2, 0.16), (0.55, 0.30)]), 0.1)
    canvas.fill(np.concatenate([low, upper]), colour)
    canvas.stroke(canvas.surface(np.array([(-0.5, 0.5), (0.0, 0.46), (0.5, 0.5)]), 0.1), darker(colour, 0.86), 0.02)
