"""Snapshots of givers' privacy policies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts, parties
from unsee.books.database import Tx
from unsee.books.parties import texts
from unsee.books.schema import privacy_policies, sources
from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import PrivacyPolicy


def add(tx: Tx, policy: PrivacyPolicy, *, person: PersonId) -> None:
    """Record a snapshot; earlier ones stay on record.

    Raises:
        NotFound: there is no such source.
    """
    tx.conn.execute(
        privacy_policies.insert().values(
            source_no=parties.source_no(tx.conn, policy.source),
            in_force_on=policy.in_force_on.isoformat(),
            text_sha256=policy.text_sha256,
            url=policy.url,
            purposes=json.dumps(policy.purposes),
            recipient_categories=json.dumps(policy.recipient_categories, ensure_ascii=False),
            person_id=person,
            at=tx.at,
        )
    )
    facts.record(
        tx,
        "PrivacyPolicySnapshotted",
        source=policy.source,
        in_force_on=policy.in_force_on.isoformat(),
        text_sha256=policy.text_sha256,
        purposes=list(policy.purposes),
        recipient_categories=list(policy.recipient_categories),
        by=person,
    )


def by_source(conn: Connection) -> Mapping[SourceId, Sequence[PrivacyPolicy]]:
    """All snapshots of each source that has one, in the order in which they came into force."""
    found: dict[SourceId, list[PrivacyPolicy]] = defaultdict(list)
    rows = conn.execute(
        sa.select(privacy_policies, sources.c.id.label("source_id"))
        .join(sources, sources.c.no == privacy_policies.c.source_no)
        .order_by(privacy_policies.c.in_force_on, privacy_policies.c.no)
    )
    for row in rows:
        found[row.source_id].append(
            PrivacyPolicy(
                row.source_id,
                date.fromisoformat(row.in_force_on),
                row.text_sha256,
                texts(row.purposes),
                texts(row.recipient_categories),
                row.url,
            )
        )
    return found


def of_source(conn: Connection, source_id: SourceId) -> Sequence[PrivacyPolicy]:
    """The snapshots of one source, in the order in which they came into force."""
    return by_source(conn).get(source_id, ())
