"""What data and models may be used for: a tree. A child is allowed where its parent is, never the other way.

The names are ours. `mass-surveillance` stands apart from `identify-1-to-n`, so that permitting the one never permits the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from unsee.core.errors import UnknownPurpose

PARENT: Final[Mapping[str, str | None]] = {
    "any": None,
    "train": "any",
    "train-face-recognition": "train",
    "train-face-attributes": "train",
    "evaluate": "any",
    "test-fairness": "evaluate",
    "synthesise": "any",
    "share": "any",
    "use-model": "any",
    "verify-1-to-1": "use-model",
    "identify-1-to-n": "use-model",
    "estimate-attributes": "use-model",
    "mass-surveillance": "use-model",
}


def known(purpose: str) -> str:
    """`purpose` itself when it is in the tree.

    Raises:
        UnknownPurpose: it is not; the error lists the tree.
    """
    if purpose not in PARENT:
        raise UnknownPurpose(purpose, PARENT)
    return purpose


def covers(permitted: str, wanted: str) -> bool:
    """Whether a permission for `permitted` is one for `wanted`: they are the same, or `wanted` lies below it."""
    step: str | None = known(wanted)
    known(permitted)
    while step is not None:
        if step == permitted:
            return True
        step = PARENT[step]
    return False


def overlaps(one: str, other: str) -> bool:
    """Whether a use can be for both: one of the two covers the other."""
    return covers(one, other) or covers(other, one)


def any_covers(permitted: Iterable[str], wanted: str) -> bool:
    """Whether one of `permitted` covers `wanted`."""
    return any(covers(purpose, wanted) for purpose in permitted)


def ancestors(purpose: str) -> tuple[str, ...]:
    """`purpose` and what lies above it, nearest first: the permissions that would each cover it."""
    line = [known(purpose)]
    while (above := PARENT[line[-1]]) is not None:
        line.append(above)
    return tuple(line)
