"""What a person's words add up to: each yes and no, in the order in which they were recorded.

A yes to a purpose is one to every purpose below it. A no takes back every earlier yes to the same purpose, to those below it, and
to those above it as a whole: whoever said yes to `train` and then no to `train-face-recognition` consents to
`train-face-attributes` still, and no longer to `train`. So a permission for a purpose always holds for all that lies below.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from unsee.core.parties import Consent, ConsentState
from unsee.core.purposes import PARENT, covers, overlaps


def standing(words: Iterable[Consent]) -> dict[str, tuple[Consent, ...]]:
    """For each purpose that the words cover, the yeses that nothing took back, whether in force or not.

    Args:
        words: of one person, in the order of recording. Of several yeses to one purpose the last counts.
    Raises:
        UnknownPurpose: a purpose is not in the tree.
    """
    holding: dict[str, dict[str, Consent]] = {purpose: {} for purpose in PARENT}
    for word in words:
        for purpose, yeses in holding.items():
            if word.state is ConsentState.GIVEN:
                if covers(word.purpose, purpose):
                    yeses[word.purpose] = word
            elif overlaps(word.purpose, purpose):
                yeses.clear()
    return {purpose: tuple(yeses.values()) for purpose, yeses in holding.items() if yeses}


def consented(words: Iterable[Consent], moment: datetime) -> frozenset[str]:
    """The purposes that a person consents to at `moment`; with a purpose always those below it. Both ends of a term count."""
    return frozenset(
        purpose
        for purpose, yeses in standing(words).items()
        if any(y.valid_from <= moment and (y.valid_until is None or moment <= y.valid_until) for y in yeses)
    )


def widest(purposes: Iterable[str]) -> frozenset[str]:
    """Those of `purposes` that no other one covers: the fewest that say the same."""
    wanted = frozenset(purposes)
    return frozenset(p for p in wanted if not any(q != p and covers(q, p) for q in wanted))
