"""Runs one target under atheris for a while: `python -m fuzz tar --seconds 60`. New inputs stay in `corpus/` with `--keep`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "unsee.stores.tar",
        "unsee.stores.parquet",
        "unsee.stores.arrow.messages",
        "unsee.stores.lmdb",
        "unsee.stores.tfrecord",
        "unsee.intake",
        "tarfile",
        "csv",
        "json",
    ]
):
    from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Ends with an error, and the input in a file `crash-…`, where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="write inputs that reach something new to the corpus")
    asked = parser.parse_args()
    seeds = str(CORPUS / asked.target)
    with tempfile.TemporaryDirectory() as fresh:
        where = [seeds] if asked.keep else [fresh, seeds]
        limits = [
            f"-max_total_time={asked.seconds}",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=32768",
            "-verbosity=1",
        ]
        atheris.Setup([sys.argv[0], *limits, *where], TARGETS[asked.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
