"""Who may approve a plan: two people, neither of them its author, none interested in a party (R35)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from unsee.core.ids import PersonId, SourceId
from unsee.core.interests import paths
from unsee.core.parties import Holding, Interest

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
    author: PersonId | None,
    parties: Iterable[str],
    interests: Iterable[Interest],
    holdings: Iterable[Holding] = (),
    already: Iterable[PersonId] = (),
    source: SourceId | None = None,
) -> str | None:
    """Why `person` may not approve, in words that are printed as they are; None when nothing stands against it.

    Args:
        person: who would sign.
        author: who made the plan; None where nobody's authorship counts.
        parties: the organisations on both sides of the hand-over.
        interests: all declared interests.
        holdings: all declared holdings of organisations in each other; an interest reaches along them (`unsee.core.interests`).
        already: who has signed this plan.
        source: the source that the hand-over is about; an interest declared for it bars, whichever organisation it names.
    """
    if person == author:
        return f"{person} made this plan; an author does not approve"
    reaching = paths(person, interests, holdings, parties, source=source)
    if reaching:
        return str(reaching[0])
    if person in set(already):
        return f"{person} has approved this plan already; another person is needed"
    return None


def agreement_objection(
    person: PersonId,
    *,
    drafter: PersonId,
    approved_by: Sequence[PersonId],
    conflict_of: Callable[[PersonId], str | None],
) -> str | None:
    """Why `person` may not approve an agreement; None when they may, or may co-sign what an independent person approved.

    Args:
        person: who would approve.
        drafter: who drafted it: never its sole approver.
        approved_by: who has approved it.
        conflict_of: what stands against a person by their declared interests.
    """
    if person in approved_by:
        return f"{person} has approved this agreement already; another person is needed"
    against = f"{person} drafted this agreement; its drafter is not its sole approver" if person == drafter else None
    against = conflict_of(person) or against
    if against and not any(p != drafter and conflict_of(p) is None for p in approved_by):
        return against
    return None
