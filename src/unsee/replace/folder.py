"""Writes a population as a giver would hand it over: JPEG files with EXIF in sub-directories, and a metadata file beside them.

`write_folder(spec, directory)` is the one entry. The folder appears whole or not at all, and equal specs give equal bytes on the
same machine and build.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from unsee.core.errors import AlreadyExists, InvalidValue, StoreError
from unsee.core.purposes import known
from unsee.engine.local import run_units
from unsee.engine.outcome import Failed
from unsee.replace.faces import Person, Population, generator, render

ATTRIBUTES: Final = ("age", "sex", "tone", "latitude", "longitude")
"""What a giver may say of a person besides consent."""
_CONSENT: Final = ("consent", "consent_notice", "consent_from", "consent_until")
_MOST_PHOTOS: Final = 3_000
_HABITS, _MOMENT = 2, 3


class Camera(NamedTuple):
    """A camera as EXIF names it, and how it names its files."""

    make: str
    model: str
    prefix: str


CAMERAS: Final = (
    Camera("Apple", "iPhone 4S", "IMG_"),
    Camera("Apple", "iPhone 5", "IMG_"),
    Camera("Canon", "Canon PowerShot A2300", "IMG_"),
    Camera("NIKON CORPORATION", "NIKON D3100", "DSC_"),
    Camera("SONY", "DSC-W650", "DSC0"),
    Camera("SAMSUNG", "GT-I9300", "SAM_"),
)


@dataclass(frozen=True, slots=True)
class ConsentSpec:
    """The consent that people of the folder gave, all under one notice."""

    purposes: tuple[str, ...]
    notice: str
    valid_from: date
    valid_until: date | None = None
    share: float = 1.0
    """Share of the people who gave it; the fields of the others are empty."""


@dataclass(frozen=True, slots=True)
class FolderSpec:
    """All that decides a folder.

    Raises:
        InvalidValue: a field holds what it cannot hold.
        UnknownPurpose: consent names a purpose that is not in the tree.
    """

    seed: int
    tones: Mapping[str, int]
    """People in each skin-tone group: `light`, `mid`, `dark`."""
    photos_per_person: int
    attributes: tuple[str, ...] = ATTRIBUTES
    """Which columns of `ATTRIBUTES` the metadata file has."""
    consent: ConsentSpec | None = None
    cameras: tuple[Camera, ...] = CAMERAS
    """Without any, EXIF names a program and no camera, as a generator's pictures do."""
    gps_share: float = 0.0
    """Share of the people whose camera notes where it is."""
    taken_from: date = date(2011, 1, 1)
    taken_until: date = date(2014, 6, 30)
    people_per_directory: int = 50
    quality: int = 88
    metadata_format: Literal["csv", "jsonl"] = "csv"

    def __post_init__(self) -> None:
        _within("photos for each person", self.photos_per_person, 1, _MOST_PHOTOS)
        _within("people to a directory", self.people_per_directory, 1, 1_000_000)
        _within("JPEG quality", self.quality, 1, 100)
        _within("share of people with GPS", self.gps_share, 0, 1)
        if self.consent is not None:
            _within("share of people who consent", self.consent.share, 0, 1)
            for purpose in self.consent.purposes:
                known(purpose)
            if not self.consent.purposes or not self.consent.notice:
                raise InvalidValue("A consent needs purposes and a notice.", next_step="Give both, or no consent.")
            if self.consent.valid_until is not None and self.consent.valid_until < self.consent.valid_from:
                raise InvalidValue("The consent ends before it begins.", next_step="Give its last day after its first.")
        unknown = sorted(set(self.attributes) - set(ATTRIBUTES))
        if unknown:
            raise InvalidValue(
                f"There is no attribute {unknown[0]!r}.", next_step=f"Attributes: {', '.join(ATTRIBUTES)}."
            )
        if self.taken_until < self.taken_from:
            raise InvalidValue(
                f"Photos cannot be taken from {self.taken_from} until {self.taken_until}.",
                next_step="Give the earlier day first.",
            )
        if self.metadata_format not in ("csv", "jsonl"):
            raise InvalidValue(
                f"There is no metadata format {self.metadata_format!r}.", next_step="Formats: csv, jsonl."
            )


@dataclass(frozen=True, slots=True)
class Folder:
    """What was written."""

    directory: Path
    metadata: Path
    people: int
    photos: int
    size_bytes: int
    """Of the photos."""


class _Photo(NamedTuple):
    file: str
    taken: datetime
    size_bytes: int


def write_folder(
    spec: FolderSpec, directory: Path, *, workers: int = 2, on_photos: Callable[[int], None] = lambda _: None
) -> Folder:
    """Render the population of `spec` into `directory`.

    Args:
        spec: what to write.
        directory: must not exist, or be empty. Parents are made. A killed call leaves at most `.NAME.partial` beside it, which the
            next call clears away.
        workers: processes; the bytes do not depend on it. With 1 all runs in this process.
        on_photos: called with the number of photos that were written since the last call.
    Raises:
        AlreadyExists: `directory` holds something.
        InvalidValue: see `FolderSpec` and `Population`.
        StoreError: the disk refused.
    Cost: about 5.5 ms of one core and 4 kB for each photo. Photos are not synced to the disk one by one, since the same spec gives
        them again: whole after a kill, not after a power cut.
    """
    population = Population(spec.seed, spec.tones)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise AlreadyExists("folder", str(directory))
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial_path = directory.with_name(f".{directory.name}.partial")
    if partial_path.exists():
        shutil.rmtree(partial_path)
    partial_path.mkdir()
    written: dict[int, tuple[_Photo, ...]] = {}
    for outcome in run_units(partial(_write_person, spec, partial_path), population.people, workers=workers):
        if isinstance(outcome, Failed):
            raise StoreError(
                f"The photos of {outcome.unit.id} could not be written: {outcome.error_type}: {outcome.error}",
                next_step=f"Make room or mend what is named, and write {directory} again.",
            )
        written[outcome.unit.number] = outcome.value
        on_photos(len(outcome.value))
    name = f"photos.{spec.metadata_format}"
    rows = (_row(spec, person, photo) for person in population.people for photo in written[person.number])
    _durably(partial_path / name, _spelled(spec, rows))
    partial_path.rename(directory)
    photos = [photo for each in written.values() for photo in each]
    return Folder(directory, directory / name, len(population), len(photos), sum(photo.size_bytes for photo in photos))


def jpeg(person: Person, photo: int, *, exif: bytes = b"", quality: int = 88) -> bytes:
    """One photo as a JPEG file's bytes."""
    held = io.BytesIO()
    Image.fromarray(render(person, photo)).save(held, "JPEG", quality=quality, exif=exif)
    return held.getvalue()


def _write_person(spec: FolderSpec, root: Path, person: Person) -> tuple[_Photo, ...]:
    """All photos of one person, in order. Runs in a worker process."""
    cv2.setNumThreads(1)  # the workers share the cores among themselves
    place = f"part-{person.number // spec.people_per_directory:03d}"
    (root / place).mkdir(exist_ok=True)
    habits = generator(person.seed, person.number, _HABITS)
    camera = spec.cameras[habits.integers(len(spec.cameras))] if spec.cameras else None
    first, step = int(habits.integers(1, 9_999)), int(habits.integers(1, 4))
    located = habits.random() < spec.gps_share
    photos = []
    for number in range(spec.photos_per_person):
        moment = generator(person.seed, person.number, _MOMENT, number)
        taken = _taken(spec, moment)
        north, east = moment.normal(0, 0.01, 2)
        where = (person.latitude + float(north), person.longitude + float(east)) if located else None
        data = jpeg(person, number, exif=_exif(camera, taken, where), quality=spec.quality)
        counter = (first + step * number) % 10_000
        file = f"{place}/{person.id}-{camera.prefix if camera else 'face_'}{counter:04d}.jpg"
        (root / file).write_bytes(data)
        photos.append(_Photo(file, taken, len(data)))
    return tuple(photos)


def _taken(spec: FolderSpec, rng: np.random.Generator) -> datetime:
    days = (spec.taken_until - spec.taken_from).days
    midnight = datetime.combine(spec.taken_from, datetime.min.time())
    return midnight + timedelta(days=int(rng.integers(days + 1)), seconds=int(rng.integers(8 * 3600, 23 * 3600)))


def _exif(camera: Camera | None, taken: datetime, where: tuple[float, float] | None) -> bytes:
    """An EXIF block: camera or program, time, place."""
    exif = Image.Exif()
    if camera is None:
        exif[0x0131] = "unsee synth"  # Software
    else:
        exif[0x010F], exif[0x0110] = camera.make, camera.model
    stamp = f"{taken:%Y:%m:%d %H:%M:%S}"
    exif[0x0132] = stamp  # DateTime
    exif.get_ifd(0x8769)[0x9003] = stamp  # DateTimeOriginal
    if where is not None:
        latitude, longitude = where
        gps = exif.get_ifd(0x8825)
        gps[1], gps[2] = "N" if latitude >= 0 else "S", _degrees(latitude)
        gps[3], gps[4] = "E" if longitude >= 0 else "W", _degrees(longitude)
    return exif.tobytes()


def _degrees(value: float) -> tuple[float, float, float]:
    """Degrees, minutes and seconds to a hundredth, as EXIF has them."""
    hundredths = round(abs(value) * 360_000)
    return float(hundredths // 360_000), float(hundredths // 6_000 % 60), (hundredths % 6_000) / 100


def _row(spec: FolderSpec, person: Person, photo: _Photo) -> dict[str, str]:
    """One row of the metadata file."""
    known_of = {
        "age": str(person.age),
        "sex": person.sex,
        "tone": str(person.tone),
        "latitude": f"{person.latitude:.5f}",
        "longitude": f"{person.longitude:.5f}",
    }
    row = {"file": photo.file, "person": person.id, "taken": f"{photo.taken:%Y-%m-%d}"}
    row |= {name: known_of[name] for name in spec.attributes}
    if spec.consent is not None:
        gave = generator(person.seed, person.number, _HABITS, 1).random() < spec.consent.share
        until = spec.consent.valid_until
        fields = (
            ";".join(spec.consent.purposes),
            spec.consent.notice,
            spec.consent.valid_from.isoformat(),
            until.isoformat() if until else "",
        )
        row |= dict(zip(_CONSENT, fields if gave else ("",) * 4, strict=True))
    return row


def _spelled(spec: FolderSpec, rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The lines of the metadata file."""
    if spec.metadata_format == "jsonl":
        for row in rows:
            yield json.dumps({name: value for name, value in row.items() if value}, ensure_ascii=False) + "\n"
        return
    columns: Sequence[str] = ("file", "person", "taken", *spec.attributes, *(_CONSENT if spec.consent else ()))
    line = io.StringIO()
    writer = csv.DictWriter(line, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
    yield line.getvalue()


def _durably(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _within(what: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InvalidValue(f"The {what} is {value}.", next_step=f"Give {least} to {most}.")
