"""Photos as training takes them: decoded once into one array, dealt to batches and augmented by a keyed hash of their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue
from unsee.training.reader import Sample

Ids = npt.NDArray[np.uint64]
Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

_MAX_PIXELS: Final = 64_000_000
_LOOK_AGAIN: Final = "Run unsee intake on its folder to see what changed."


@dataclass(frozen=True, slots=True)
class Photos:
    """Decoded photos, ascending by item id."""

    items: Ids
    """(n,)"""
    pixels: Pixels
    """(n, side, side, 3), BGR."""
    classes: Labels
    """(n,) places in `people`."""
    people: Labels
    """(k,) subject numbers, ascending."""


def decoded(samples: Iterable[Sample], side: int) -> Photos:
    """All photos, cut to their middle square and shrunk to `side`.

    Raises:
        InvalidValue: a photo cannot be decoded or shows nobody known, an item comes twice, or there are fewer than two people.
    Cost: about 0.25 ms for a photo of 112 pixels a side; memory side² · 3 bytes each.
    """
    items: list[int] = []
    persons: list[int] = []
    small: list[Pixels] = []
    for sample in samples:
        if sample.person is None:
            raise InvalidValue(
                f"Nobody is recorded for item {sample.item}; a recogniser learns from photos with a known person.",
                next_step="Freeze a dataset without it, or hand in metadata that names the person.",
            )
        items.append(int(sample.item))
        persons.append(int(sample.person))
        small.append(square(sample.data, side, f"item {sample.item}"))
    ids = np.array(items, dtype=np.uint64)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    if twice.size:
        raise InvalidValue(f"Item {twice[0]} comes twice.", next_step="Hand in each item once.")
    people, classes = np.unique(np.array(persons, dtype=np.int64)[order], return_inverse=True)
    if len(people) < 2:
        raise InvalidValue(
            f"There are photos of {len(people)} people; a recogniser needs at least 2.",
            next_step="Train on a dataset with more people.",
        )
    pixels = np.empty((len(small), side, side, 3), dtype=np.uint8)
    for place, source in enumerate(order):
        pixels[place] = small[source]
    return Photos(items=ids, pixels=pixels, classes=classes.astype(np.int64), people=people)


def square(image: bytes, side: int, what: str) -> Pixels:
    """The middle square of a photo, (side, side, 3) BGR, area-averaged.

    Raises:
        InvalidValue: it cannot be decoded or is larger than 64 megapixels; `what` names it.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(image, dtype=np.uint8), cv2.IMREAD_COLOR) if image else None
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[0] * pixels.shape[1] > _MAX_PIXELS:
        raise InvalidValue(f"The photo of {what} cannot be decoded.", next_step=_LOOK_AGAIN)
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    cut = pixels[top : top + edge, left : left + edge]
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def chunks(images: Iterable[bytes], size: int, side: int) -> Iterator[Pixels]:
    """`images` decoded, at most `size` at a time, each (k, side, side, 3)."""
    chunk: list[Pixels] = []
    for place, image in enumerate(images):
        chunk.append(square(image, side, f"place {place}"))
        if len(chunk) == size:
            yield np.array(chunk)
            chunk = []
    if chunk:
        yield np.array(chunk)


def keyed_hash(items: Ids, seed: int, epoch: int, use: str) -> Ids:
    """A 64-bit hash of each item id under a key made of seed, epoch and use: splitmix64's finaliser over id and key.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Spreads well; keeps no secret.
    """
    key = hashlib.blake2b(canonical_json([seed, epoch, use]), digest_size=8).digest()
    z = (items * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(int.from_bytes(key, "big"))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def dealt(items: Ids, *, batches: int, seed: int, epoch: int) -> Labels:
    """The batch of each item in one epoch, 0..batches-1: a hash of the item, so that it does not depend on who else is there."""
    return (keyed_hash(items, seed, epoch, "batch") % np.uint64(batches)).astype(np.int64)


def augmented(pixels: Pixels, draws: Ids) -> Pixels:
    """Each photo mirrored or not, shifted by up to a 16th of its side, its brightness changed by up to 15 %.

    Args:
        pixels: (n, side, side, 3).
        draws: (n,) hashes; their bits decide.
    Returns:
        (n, side, side, 3), new.
    """
    side = pixels.shape[1]
    reach = side // 16
    span = np.uint64(2 * reach + 1)
    grid = np.arange(side, dtype=np.int64)
    down = ((draws >> np.uint64(8)) % span).astype(np.int64) - reach
    right = ((draws >> np.uint64(24)) % span).astype(np.int64) - reach
    rows = np.clip(grid[None, :] + down[:, None], 0, side - 1)
    columns = np.clip(grid[None, :] + right[:, None], 0, side - 1)
    mirrored = (draws & np.uint64(1)).astype(bool)
    columns = np.where(mirrored[:, None], columns[:, ::-1], columns)
    moved = pixels[np.arange(len(pixels))[:, None, None], rows[:, :, None], columns[:, None, :]]
    gain = np.float32(0.85) + ((draws >> np.uint64(48)).astype(np.float32) * np.float32(0.30 / 65535))
    lit: Pixels = np.minimum(moved * gain[:, None, None, None], 255).astype(np.uint8)
    return lit
