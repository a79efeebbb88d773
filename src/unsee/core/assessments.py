"""When a supplier's consent evidence has to be assessed, and what an assessment that is missing or failed stops (R33).

Rule: within 30 days of registration, then every year; data of a supplier that was not assessed is not used. Source: the FTC's
orders against X-Mode (C-4802, part VII: "supplier assessment program") and Mobilewalla (C-4811, part VI).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from unsee.core.parties import Assessment, AssessmentResult, Source, SourceKind

FIRST_WITHIN_DAYS: Final = 30
SUPPLIED: Final = frozenset({SourceKind.PARTNER, SourceKind.PANEL, SourceKind.ACQUIRED_DATASET})
"""Kinds of source whose photos somebody else collected. Legacy sources have no supplier duty: they are unusable anyway."""


def needed(source: Source) -> bool:
    """Whether the source has a supplier whose evidence has to be assessed."""
    return source.kind in SUPPLIED and not source.legacy


def a_year_after(day: date) -> date:
    """The same day of the next year; 28 February for the 29th."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def next_due(source: Source, assessments: Iterable[Assessment], today: date) -> date | None:
    """The day by which the next assessment is due, as known on `today`; None for a source without a supplier.

    A source whose day of registration nobody knows counts as registered on the day on which it was collected.
    """
    if not needed(source):
        return None
    last = latest(assessments, today)
    if last is None:
        return (source.registered_on or source.collected_on) + timedelta(days=FIRST_WITHIN_DAYS)
    return last.next_due


def latest(assessments: Iterable[Assessment], today: date) -> Assessment | None:
    """The assessment of the last day up to `today`; of several on one day a failed one counts."""
    known = [a for a in assessments if a.assessed_on <= today]
    return max(known, key=lambda a: (a.assessed_on, a.result is AssessmentResult.FAILED, a.next_due), default=None)


def intake_bar(source: Source, assessments: Iterable[Assessment], today: date) -> str | None:
    """Why nothing more is taken in from a source: an assessment is overdue, or the last one failed. None when it may be.

    Args:
        source: with the day on which it was registered.
        assessments: those of this source; later ones than `today` are not known yet.
        today: UTC. The day on which an assessment is due is still in time.
    """
    known = list(assessments)
    due = next_due(source, known, today)
    if due is None:
        return None
    failed = _failed(known, today)
    if failed is None and due < today:
        first = "first " if latest(known, today) is None else ""
        return f"the {first}assessment of its supplier was due on {due}"
    return failed


def bar(source: Source, assessments: Iterable[Assessment], today: date) -> str | None:
    """Why nothing of a source is used: its supplier was never assessed in time, or the last assessment failed. Else None.

    A yearly assessment that is overdue stops intake, not use. Arguments as in `intake_bar`; what bars use bars intake.
    """
    if not needed(source):
        return None
    known = list(assessments)
    if latest(known, today) is None:
        return intake_bar(source, known, today)
    return _failed(known, today)


def _failed(assessments: Iterable[Assessment], today: date) -> str | None:
    last = latest(assessments, today)
    if last is None or last.result is not AssessmentResult.FAILED:
        return None
    return f"the assessment of its supplier on {last.assessed_on} failed"
