"""Whether the giver's own privacy policy allows what was agreed (R34, R29).

The snapshot that was in force when the photos were collected decides. A later edit of the policy never widens what it said then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

from unsee.core.interests import same_name
from unsee.core.parties import Agreement, PrivacyPolicy, Source, SourceKind
from unsee.core.purposes import any_covers

NEEDED: Final = frozenset({SourceKind.PARTNER, SourceKind.ACQUIRED_DATASET})
"""Kinds of source whose giver collected the photos under a privacy policy of its own: without a snapshot nothing is approved."""


def needed(source: Source) -> bool:
    """Whether an agreement about the source needs a snapshot of the giver's privacy policy."""
    return source.kind in NEEDED and not source.legacy


def deciding(policies: Iterable[PrivacyPolicy], collected_on: date) -> PrivacyPolicy | None:
    """The snapshot in force at collection: the last one that came into force by then. Of equal days the digest decides."""
    known = [p for p in policies if p.in_force_on <= collected_on]
    return max(known, key=lambda p: (p.in_force_on, p.text_sha256), default=None)


def contradictions(agreement: Agreement, source: Source, policies: Iterable[PrivacyPolicy]) -> tuple[str, ...]:
    """Every reason why the giver's privacy policy does not allow the agreement; empty when it does, or none is needed.

    Args:
        agreement: its purposes, and the category of recipient that the taker is.
        source: what it is about, with the day of collection.
        policies: the snapshots of this source.
    """
    known = list(policies)
    decides = deciding(known, source.collected_on)
    if decides is None:
        if not needed(source) and not known:
            return ()
        return (f"there is no snapshot of the giver's privacy policy that was in force on {source.collected_on}",)
    since = f"the privacy policy in force since {decides.in_force_on}"
    allowed = ", ".join(decides.purposes) or "nothing"
    reasons = [
        f"{since} allows {allowed}, not {purpose}"
        for purpose in agreement.purposes
        if not any_covers(decides.purposes, purpose)
    ]
    category = agreement.terms.recipient_category
    named = ", ".join(decides.recipient_categories) or "nobody"
    if not category.strip():
        reasons.append(f"the agreement does not say which of the policy's recipients the taker is ({named})")
    elif same_name(category) not in {same_name(c) for c in decides.recipient_categories}:
        reasons.append(f"{since} names {named} as recipients, not {category}")
    return tuple(reasons)
