"""Who may approve a plan: two people, neither of them its author, none interested in a party (R35)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Interest

NEEDED = 2


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's signature over a plan's digest (Ed25519, hexadecimal)."""

    person: PersonId
    signature: str
    at: str
    """UTC, ISO 8601."""


def objection(
    person: PersonId,
    *,
    author: PersonId,
    parties: Iterable[str],
    interests: Iterable[Interest],
    already: Iterable[PersonId] = (),
    source: SourceId | None = None,
) -> str | None:
    """Why `person` may not approve, in words that are printed as they are; None when nothing stands against it.

    Args:
        person: who would sign.
        author: who made the plan.
        parties: the organisations on both sides of the hand-over.
        interests: all declared interests; names of organisations are compared without regard to case.
        already: who has signed this plan.
        source: the source that the hand-over is about; an interest declared for it bars, whichever organisation it names.
    """
    if person == author:
        return f"{person} made this plan; an author does not approve"
    sides = {p.casefold(): p for p in parties}
    for interest in interests:
        if interest.person == person and interest.organisation.casefold() in sides:
            return (
                f"{person} declared an interest ({interest.kind}) in {interest.organisation}, a party to this hand-over"
            )
        if interest.person == person and source is not None and interest.source == source:
            return (
                f"{person} declared an interest ({interest.kind}) in {interest.organisation} for this source, {source}"
            )
    if person in set(already):
        return f"{person} has approved this plan already; another person is needed"
    return None
