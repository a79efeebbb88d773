"""The command line: nouns and verbs over the use cases of `app`. stdout carries data, stderr progress and messages."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `unsee` command."""
    from unsee.cli.root import run

    sys.exit(run())
