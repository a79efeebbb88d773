"""Consent: one person's words, and what they add up to.

The history of a person is a set of words, ordered by when they were *said*: in which order they were recorded changes nothing.

- A yes to a purpose is one to every purpose below it.
- A no takes back every earlier yes to the same purpose, to those below it, and to those above it as a whole: whoever said yes to
  `train` and then no to `train-face-recognition` consents to `train-face-attributes` still, and no longer to `train`. So a
  permission for a purpose always holds for all that lies below.
- A no counts from the second at which it was said, whatever term is written on it; at the same second it comes after every yes.
- Of several yeses to one purpose the last counts, with its term and its notice. Of those said at the same second the one that
  gives least counts: see `tie`.
- A word that is said after a moment does not count at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from unsee.core.ids import SubjectNo
from unsee.core.purposes import PARENT, covers, overlaps


class ConsentState(StrEnum):
    """A person's yes or no. A withdrawal is a new fact, not an edit; so is a renewal, which is another yes."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Consent:
    """One person's yes or no to one purpose, under one notice, for a time. Times are UTC; the books keep seconds.

    `record_id` and `release_sha256` say where it is written down; they change nothing of what was said.
    """

    subject: SubjectNo
    purpose: str
    state: ConsentState
    notice: str
    """The id of the notice that the person saw, or what stands for it in an older list."""
    said_at: datetime
    valid_from: datetime
    valid_until: datetime | None = None
    """The last second that counts; None: until it is taken back."""
    basis: str = "consent"
    """The kind of consent: `consent`, `explicit-consent`, …"""
    released: bool = False
    """Whether the person signed a written release (R30)."""
    record_id: str = ""
    release_sha256: str = ""

    def in_force(self, moment: datetime) -> bool:
        """Whether `moment` lies within its term; both ends count."""
        return self.valid_from <= moment and (self.valid_until is None or moment <= self.valid_until)


def tie(word: Consent) -> tuple[float, float, bool, str, str]:
    """How much a yes gives; of several to one purpose, said at the same second, the smallest counts.

    The earliest end; then the latest beginning; then without a written release; then by the names of notice and basis.
    """
    ends = float("inf") if word.valid_until is None else word.valid_until.timestamp()
    return (ends, -word.valid_from.timestamp(), word.released, word.notice, word.basis)


def standing(words: Iterable[Consent], moment: datetime | None = None) -> dict[str, tuple[Consent, ...]]:
    """For each purpose that the words cover, the yeses that nothing took back, whether in force or not.

    Args:
        words: of one person, in any order.
        moment: words said after it do not count; None: all count.
    Raises:
        UnknownPurpose: a purpose is not in the tree.
    """
    said = sorted((w for w in words if moment is None or w.said_at <= moment), key=tie, reverse=True)
    said.sort(key=lambda word: (word.said_at, word.state is ConsentState.WITHDRAWN))
    holding: dict[str, dict[str, Consent]] = {purpose: {} for purpose in PARENT}
    for word in said:
        for purpose, yeses in holding.items():
            if word.state is ConsentState.GIVEN:
                if covers(word.purpose, purpose):
                    yeses[word.purpose] = word
            elif overlaps(word.purpose, purpose):
                yeses.clear()
    return {purpose: tuple(yeses.values()) for purpose, yeses in holding.items() if yeses}


def consented(words: Iterable[Consent], moment: datetime) -> frozenset[str]:
    """The purposes that a person consents to at `moment`; with a purpose always those below it."""
    return frozenset(
        purpose for purpose, yeses in standing(words, moment).items() if any(yes.in_force(moment) for yes in yeses)
    )


def widest(purposes: Iterable[str]) -> frozenset[str]:
    """Those of `purposes` that no other one covers: the fewest that say the same."""
    wanted = frozenset(purposes)
    return frozenset(p for p in wanted if not any(q != p and covers(q, p) for q in wanted))
