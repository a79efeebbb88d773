"""Intake: what examining a photo costs beside the bare decode of the same file at the same scale. One core, one run.

The photos are made here: smooth shapes, fine texture and sensor noise, JPEG quality 85, EXIF with a position, as phones write
them. Real ones differ in bytes a pixel, which is printed; fewer bytes decode faster and make the ratio look worse.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image

from unsee.intake.examine import Photo, examine_photo
from unsee.match.pictures import examine

SIDES = (112, 512, 1024)
FILES = {112: 400, 512: 40, 1024: 12}
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Row:
    """Photos a second of CPU time at one size; medians over the rounds, the three works in turn in each round."""

    side: int
    bytes_per_pixel: float
    bare_decode: float
    examine: float
    examine_photo: float

    @property
    def ratio(self) -> float:
        """Examining a photo, as a share of the speed of its bare decode."""
        return self.examine_photo / self.bare_decode


def measure(side: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{n:04d}.jpg" for n in range(FILES[side])]
        size = 0
        for n, name in enumerate(names):
            data = _photo(side, n)
            size += len(data)
            (Path(folder) / name).write_bytes(data)

        def bare(name: str) -> None:
            data = np.frombuffer((Path(folder) / name).read_bytes(), np.uint8)
            assert cv2.imdecode(data, cv2.IMREAD_COLOR) is not None

        def hashed(name: str) -> None:
            examine((Path(folder) / name).read_bytes())

        def whole(name: str) -> None:
            assert isinstance(examine_photo(folder, name), Photo)

        speeds: dict[str, list[float]] = {"bare": [], "examine": [], "whole": []}
        for _ in range(ROUNDS):
            for key, work in (("bare", bare), ("examine", hashed), ("whole", whole)):
                speeds[key].append(len(names) / _cpu_s(work, names))
    bare_speed, examine_speed, whole_speed = (median(speeds[key]) for key in ("bare", "examine", "whole"))
    return Row(side, size / len(names) / side**2, bare_speed, examine_speed, whole_speed)


def _cpu_s(work: Callable[[str], None], names: list[str]) -> float:
    begin = time.process_time()
    for name in names:
        work(name)
    return time.process_time() - begin


def _photo(side: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    canvas = np.zeros((side, side, 3), np.float32)
    for cells, weight in ((3, 90), (8, 60), (24, 35), (64, 25)):
        grid = rng.random((cells, cells, 3), np.float32)
        canvas += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    canvas += rng.normal(0, 3, canvas.shape)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Phone 7", 1
    exif.get_ifd(0x8769)[0x9003] = "2014:05:03 12:34:56"
    exif.get_ifd(0x8825).update({1: "N", 2: (40.0, 42.0, 46.1), 3: "W", 4: (74.0, 0.0, 21.6)})
    buffer = io.BytesIO()
    Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85, exif=exif)
    return buffer.getvalue()


def main() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        print("intake: photos per CPU-second, one thread")
        print(
            f"{'JPEG':>8} {'bytes/px':>9} {'bare decode':>12} {'digests+hash':>13} {'whole photo':>12} {'of bare':>8}"
        )
        for row in map(measure, SIDES):
            print(
                f"{row.side:>5} px {row.bytes_per_pixel:>9.2f} {row.bare_decode:>12,.0f} {row.examine:>13,.0f} "
                f"{row.examine_photo:>12,.0f} {row.ratio:>8.2f}"
            )
    finally:
        cv2.setNumThreads(before)


if __name__ == "__main__":
    main()
