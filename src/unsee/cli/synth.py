"""`unsee synth`: folders of rendered faces, as a giver would hand them over."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from unsee.cli.output import DAY, command, done, print_json, progress, size, workers_option


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--seed", type=int, required=True, help="Equal seeds and options give equal bytes.")
@click.option(
    "--people", "tones", multiple=True, required=True, metavar="TONE=N", help="light=30, mid=30, dark=190 (repeat)"
)
@click.option(
    "--people-per-directory",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How the folder is laid out.",
)
@click.option("--photos", type=click.IntRange(min=1), required=True, help="Photos of each person.")
@click.option("--consent", "purposes", multiple=True, metavar="PURPOSE", help="What all of them consent to (repeat).")
@click.option("--notice", default="notice-2024-1", show_default=True, help="The notice that they saw.")
@click.option("--consent-from", type=DAY, help="First day of the consent.")
@click.option("--consent-until", type=DAY, help="Its last day; default: no end.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    help="Columns of the metadata file: age, sex, tone, latitude, longitude.",
)
@workers_option
@command
def synth(
    directory: Path,
    seed: int,
    tones: tuple[str, ...],
    people_per_directory: int,
    photos: int,
    purposes: tuple[str, ...],
    notice: str,
    consent_from: datetime | None,
    consent_until: datetime | None,
    attributes: tuple[str, ...],
    workers: int,
    workspace: str | None,  # noqa: ARG001  # every command takes it; this one needs none
    as_json: bool,
) -> None:
    """Render DIRECTORY: JPEG files with EXIF, and photos.csv. Nobody in them exists."""
    from unsee.replace.folder import ATTRIBUTES, ConsentSpec, FolderSpec, write_folder

    counts = {}
    for entry in tones:
        tone, separator, count = entry.partition("=")
        if not separator or not count.isdigit():
            raise click.UsageError(f"{entry!r}: say TONE=N, as in dark=190.")
        counts[tone] = int(count)
    if purposes and consent_from is None:
        raise click.UsageError("--consent needs --consent-from: consent has a first day.")
    consent = (
        ConsentSpec(purposes, notice, consent_from.date(), consent_until.date() if consent_until else None)
        if purposes and consent_from
        else None
    )
    spec = FolderSpec(
        seed=seed,
        tones=counts,
        photos_per_person=photos,
        people_per_directory=people_per_directory,
        attributes=attributes or ATTRIBUTES,
        consent=consent,
    )
    written = 0
    with progress("photos") as report:

        def more(count: int) -> None:
            nonlocal written
            written += count
            report("photos", written, sum(counts.values()) * photos)

        folder = write_folder(spec, directory, workers=workers, on_photos=more)
    if as_json:
        print_json(
            {
                "schema": "unsee/synth/1",
                "directory": str(folder.directory),
                "metadata": str(folder.metadata),
                "people": folder.people,
                "photos": folder.photos,
                "size_bytes": folder.size_bytes,
            }
        )
    else:
        done(
            f"{folder.photos:,} photos of {folder.people:,} people who do not exist in {directory}/ ({size(folder.size_bytes)})."
        )
