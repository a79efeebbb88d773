"""The retroactive audit: everything judged again under today's rules, proposed ones, or those of another day. Nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee.app.rules import rule_book
from unsee.app.uses import Judge, Objection
from unsee.app.workspace import Workspace
from unsee.books import training, world
from unsee.core.lineage import Node, closure
from unsee.core.policy import Refusal, decide
from unsee.core.purposes import known


@dataclass(frozen=True, slots=True)
class FallenDataset:
    """A dataset of which some items may not be used. `erased` ones are out of it already, and count for nothing here."""

    id: str
    purpose: str
    items: int
    erased: int
    refusals: tuple[Refusal, ...]
    overridden: bool

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "id": self.id,
            "purpose": self.purpose,
            "items": self.items,
            "erased": self.erased,
            "refused": sum(len(r.items) for r in self.refusals),
            "refusals": [r.as_json() for r in self.refusals],
            "overridden": self.overridden,
        }


@dataclass(frozen=True, slots=True)
class Fallen:
    """A run or model that stands on a dataset that fell, and the edge by which it does."""

    kind: str
    id: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {"kind": self.kind, "id": self.id, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class FallenRelease:
    """A model in use for purposes that do not hold."""

    model: str
    purpose: str
    objections: tuple[Objection, ...]

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "model": self.model,
            "purpose": self.purpose,
            "objections": [o.as_json() for o in self.objections],
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """What would fall. The worst comes first: models in use whose purposes do not hold."""

    as_of: date
    rules: str
    purpose: str | None
    judged: tuple[int, int, int]
    """How many datasets, runs and models that are not destroyed were judged."""
    releases: tuple[FallenRelease, ...]
    datasets: tuple[FallenDataset, ...]
    below: tuple[Fallen, ...]

    @property
    def findings(self) -> int:
        """How many things would fall."""
        return len(self.releases) + len(self.datasets) + len(self.below)

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "as_of": self.as_of.isoformat(),
            "rules": self.rules,
            "purpose": self.purpose,
            "judged": dict(zip(("datasets", "runs", "models"), self.judged, strict=True)),
            "findings": self.findings,
            "releases": [r.as_json() for r in self.releases],
            "datasets": [d.as_json() for d in self.datasets],
            "below": [b.as_json() for b in self.below],
        }


def audit(ws: Workspace, *, day: date | None, rules_file: Path | None, purpose: str | None) -> Audit:
    """Judge all datasets, runs and models again, and say what would fall, why, and how much of it. Nothing is written.

    Args:
        day: as of the end of this day, past or to come; today where it is None.
        rules_file: proposed rules in place of those in force.
        purpose: judge every dataset for this purpose, in place of the one that it was frozen for.
    Raises:
        InputError, InvalidValue: the rules cannot be read.
        UnknownPurpose: no such purpose.
    Cost: one decision a dataset, and a walk of the lineage.
    """
    if purpose is not None:
        known(purpose)
    book = rule_book(ws, rules_file)
    now = ws.now()
    moment = now if day is None or day == now.date() else datetime.combine(day, time(23, 59, 59), UTC)
    with ws.books.read() as conn:
        facts = world.as_of(conn, moment, rules=book, as_it_was=moment < now)
        judge = Judge.reading(conn, facts, moment.date())
        datasets = _datasets(judge, purpose)
        return Audit(
            moment.date(),
            str(rules_file) if rules_file else "in force",
            purpose,
            (len(judge.datasets), len(judge.runs), sum(m.destroyed_by is None for m in judge.models.values())),
            _releases(conn, judge),
            datasets,
            _below(judge, datasets),
        )


def _datasets(judge: Judge, purpose: str | None) -> tuple[FallenDataset, ...]:
    fallen = []
    for dataset in judge.datasets.values():
        left = dataset.items - judge.world.erased
        wanted = purpose or dataset.purpose
        refusals = decide(wanted, left, judge.world, today=judge.today).refusals
        if refusals:
            gone = len(dataset.items) - len(left)
            overridden = dataset.override is not None
            fallen.append(FallenDataset(dataset.id, wanted, len(left), gone, refusals, overridden))
    return tuple(sorted(fallen, key=lambda d: (-sum(len(r.items) for r in d.refusals), d.id)))


def _below(judge: Judge, datasets: tuple[FallenDataset, ...]) -> tuple[Fallen, ...]:
    destroyed = {m.id for m in judge.models.values() if m.destroyed_by is not None}
    reached = closure([Node("dataset", d.id) for d in datasets], judge.edges)
    return tuple(
        Fallen(r.node.kind, r.node.name, r.reason)
        for r in reached
        if r.through is not None and not (r.node.kind == "model" and r.node.name in destroyed)
    )


def _releases(conn: Connection, judge: Judge) -> tuple[FallenRelease, ...]:
    fallen: list[FallenRelease] = []
    for name, release in sorted(training.releases(conn).items()):
        answers = [judge.may_use(name, purpose) for purpose in release.purposes]
        fallen.extend(FallenRelease(name, a.purpose, a.objections) for a in answers if not a.allowed)
    return tuple(fallen)
