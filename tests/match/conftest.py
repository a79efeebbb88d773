from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image


def _scene(seed: int, width: int = 160, height: int = 160) -> np.ndarray:
    """A picture with structure at several scales, as photos have: smooth noise and a few shapes. RGB."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((3, 90), (6, 60), (12, 35), (40, 15)):
        grid = rng.random((cells, cells, 3), np.float32)
        canvas += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(4):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.circle(picture, (x, y), int(rng.integers(8, max(9, width // 4))), colour, -1)
    return picture


def _encode(pixels: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def scene() -> Callable[..., np.ndarray]:
    return _scene


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return _encode
