"""Assessments of suppliers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, parties
from unsee.books.database import Tx
from unsee.books.schema import assessments, sources
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Assessment, AssessmentResult


def record(tx: Tx, assessment: Assessment, *, person: PersonId) -> None:
    """Record an assessment of a source's supplier.

    Raises:
        NotFound: there is no such source.
    """
    tx.conn.execute(
        assessments.insert().values(
            source_no=parties.source_no(tx.conn, assessment.source),
            assessed_on=assessment.assessed_on.isoformat(),
            evidence_sha256=assessment.evidence_sha256,
            result=str(assessment.result),
            next_due=assessment.next_due.isoformat(),
            note=assessment.note,
            person_id=person,
            at=tx.at,
        )
    )
    facts.record(
        tx,
        "SupplierAssessed",
        source=assessment.source,
        on=assessment.assessed_on.isoformat(),
        evidence_sha256=assessment.evidence_sha256,
        result=str(assessment.result),
        next_due=assessment.next_due.isoformat(),
        by=person,
    )


def by_source(conn: Connection) -> Mapping[SourceId, Sequence[Assessment]]:
    """All assessments of each source that has one, in the order of recording."""
    found: dict[SourceId, list[Assessment]] = defaultdict(list)
    rows = conn.execute(
        sa.select(assessments, sources.c.id.label("source_id"))
        .join(sources, sources.c.no == assessments.c.source_no)
        .order_by(assessments.c.no)
    )
    for row in rows:
        found[row.source_id].append(
            Assessment(
                row.source_id,
                date.fromisoformat(row.assessed_on),
                row.evidence_sha256,
                AssessmentResult(row.result),
                date.fromisoformat(row.next_due),
                row.note,
            )
        )
    return found


def of_source(conn: Connection, source_id: SourceId) -> Sequence[Assessment]:
    """The assessments of one source, in the order of recording."""
    return by_source(conn).get(source_id, ())
