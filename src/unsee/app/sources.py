"""One source as every report shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unsee.app.suppliers import Duty, duty
from unsee.app.workspace import Workspace
from unsee.books import agreements, assessments, channels, interests, orders, parties, privacy_policies, sums, world
from unsee.core.canonical import fields
from unsee.core.channels import Channel
from unsee.core.ids import SourceId
from unsee.core.interests import Path
from unsee.core.parties import Agreement, AgreementStatus, PrivacyPolicy, Source
from unsee.core.policy import Bar


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source: its fields, its papers, what bars it, every declared conflict (R35), and what it holds."""

    source: Source
    agreements: tuple[tuple[Agreement, AgreementStatus], ...]
    channels: tuple[Channel, ...]
    duty: Duty
    policies: tuple[PrivacyPolicy, ...]
    bars: tuple[Bar, ...]
    conflicts: tuple[Path, ...]
    items: int
    """Photos and documents that are not erased."""
    erased: int
    people: int
    opted_out: int
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            **fields(self.source),
            "agreements": [{"id": a.id, "state": str(state)} for a, state in self.agreements],
            "channels": [fields(c) for c in self.channels],
            "assessments": self.duty.as_json(),
            "privacy_policies": [fields(p) for p in self.policies],
            "bars": [{"code": b.code, "reason": b.reason} for b in self.bars],
            "conflicts": [c.as_json() for c in self.conflicts],
            "items": self.items,
            "erased": self.erased,
            "people": self.people,
            "opted_out": self.opted_out,
            "size_bytes": self.size_bytes,
        }


def source_report(ws: Workspace, name: str) -> SourceReport:
    """Everything that the books say of one source. Cost: a few rows and bitmaps, whatever it holds.

    Raises:
        NotFound: there is no such source.
    """
    today = ws.now().date()
    with ws.books.read() as conn:
        source = parties.source(conn, SourceId(name))
        agreed = agreements.of_source(conn, source.id)
        assessed = assessments.of_source(conn, source.id)
        policies = privacy_policies.of_source(conn, source.id)
        items, held = parties.items_of_source(conn, source.id), sums.of_source(conn, source.id)
        gone = items & orders.erased(conn)
        return SourceReport(
            source,
            tuple((a, a.state(today)) for a in agreed),
            tuple(c for c in channels.all_channels(conn) if c.source == source.id),
            duty(source, assessed, today),
            tuple(policies),
            world.bars(source, agreed, assessed, policies, today),
            interests.conflicts(conn, source.id, ws.organisation),
            len(items - gone),
            len(gone),
            len(held.people),
            len(held.opted_out),
            held.size_bytes,
        )


def all_sources(ws: Workspace) -> list[tuple[Source, int]]:
    """Every source by id, and how many items were ever taken in from it."""
    with ws.books.read() as conn:
        return [(s, len(parties.items_of_source(conn, s.id))) for s in parties.all_sources(conn)]
