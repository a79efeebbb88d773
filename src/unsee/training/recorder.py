"""The run recorder: what was trained on what, with which recipe, where, at what cost, and what it left."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from unsee import __version__
from unsee.books import training
from unsee.books.database import Books, stamp
from unsee.core.canonical import digest
from unsee.core.errors import Incomplete
from unsee.core.ids import ModelId, PersonId, RunId
from unsee.core.lineage import Node


@dataclass
class Recording:
    """A run under way. Everything that it leaves belongs into `directory`, which the body makes."""

    run: RunId
    model: ModelId
    directory: Path
    notes: dict[str, str] = field(default_factory=dict)


def environment() -> dict[str, Any]:
    """What the result may depend on besides data and recipe: versions, processor, threads."""
    versions = {}
    for name in ("torch", "numpy", "opencv-contrib-python-headless"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "unsee": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "packages": versions,
    }


@contextmanager
def record_run(
    books: Books,
    *,
    run: RunId,
    model: ModelId,
    purpose: str,
    recipe: Mapping[str, Any],
    inputs: Iterable[Node],
    person: PersonId,
    directory: Path,
) -> Iterator[Recording]:
    """Record a training around the code that does it.

    The beginning is written before the body runs, so that a killed run is on record with its inputs; the end, with the digest of
    every file in `directory`, when the body returns. Where it raises, the run stays on record without an end and without a model.

    Raises:
        AlreadyExists: run or model are on record.
        Incomplete: the body left no file.
    """
    recording = Recording(run, model, directory)
    with books.write() as tx:
        # With the directory on record, what a killed run leaves there is known for what it is.
        where = {**environment(), "directory": directory.name}
        begun = training.Run(run, purpose, recipe, where, person, stamp(tx.now), None, None)
        training.start_run(tx, begun, list(inputs))
    wall, cpu = time.monotonic(), time.process_time()
    yield recording
    cost = {"cpu_s": f"{time.process_time() - cpu:.1f}", "wall_s": f"{time.monotonic() - wall:.1f}", **recording.notes}
    files = file_digests(directory)
    if not files:
        raise Incomplete(
            f"Run {run} left no file in {directory}.", next_step="Write the model into the recording's directory."
        )
    with books.write() as tx:
        made = training.Model(
            model, run, str(recipe.get("kind", "model")), directory.name, digest(files), files, tx.at, None
        )
        training.end_run(tx, run, cost, made)


def file_digests(directory: Path) -> dict[str, str]:
    """Every file below `directory`, relative name to hexadecimal SHA-256, sorted by name."""
    found = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
