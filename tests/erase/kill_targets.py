"""What child processes do until they are killed: top-level functions that another process can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy.random  # noqa: F401  # what is imported here is not imported anew in each child

import unsee.app.logbook  # noqa: F401
from small_corpus import OKCUPID, PANEL, Corpus


def apply_until(root: Path, boundary: str) -> None:
    """Carry the plan out, and die by SIGKILL when the journal reaches `boundary`."""

    def die(name: str) -> None:
        if name == boundary:
            os.kill(os.getpid(), signal.SIGKILL)

    Corpus(root).apply(at_boundary=die)


def apply_plan(root: Path) -> None:
    Corpus(root).apply()


def make_plan(root: Path) -> None:
    Corpus(root).plan()


def take_in(root: Path) -> None:
    Corpus(root).take_in(root / "corpus" / "fresh", PANEL)


def take_in_by_mail(root: Path) -> None:
    Corpus(root).take_in(root / "corpus" / "fresh", PANEL, channel=False)


def freeze(root: Path) -> None:
    Corpus(root).freeze("set-x", OKCUPID, PANEL, override=True)
