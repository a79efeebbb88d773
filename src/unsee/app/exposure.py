"""What falls if a source goes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from unsee.app.workspace import Workspace
from unsee.books import agreements, items, orders, parties, training
from unsee.core.ids import SourceId
from unsee.erase import scope as scopes


@dataclass(frozen=True, slots=True)
class Exposure:
    """One source and all that stands on it. `retrain_cpu_s` sums the recorded cost of the runs that would be done again."""

    source: SourceId
    lawful: bool
    why: str
    items: int
    people: int
    size_bytes: int
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    retrain_cpu_s: Decimal
    under_order: str | None

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "source": self.source,
            "lawful": self.lawful,
            "why": self.why,
            "items": self.items,
            "people": self.people,
            "size_bytes": self.size_bytes,
            "datasets": list(self.datasets),
            "models": list(self.models),
            "retrain_cpu_s": str(self.retrain_cpu_s),
            "under_order": self.under_order,
        }


def exposure(ws: Workspace) -> list[Exposure]:
    """One row a source, the most exposed first. Cost: one intersection for each source and dataset, and a count of people."""
    today = ws.now().date()
    with ws.books.read() as conn:
        agreed = agreements.all_agreements(conn)
        erased = orders.erased(conn)
        runs = {r.id: Decimal((r.cost or {}).get("cpu_s", "0")) for r in training.all_runs(conn)}
        destroyed = {m.id for m in training.all_models(conn) if m.destroyed_by}
        of_model = {str(m.id): m.run for m in training.all_models(conn)}
        under = {o.source: o.id for o in orders.all_orders(conn)}
        papers = parties.documents(conn)
        rows = []
        for source in parties.all_sources(conn):
            mine = parties.items_of_source(conn, source.id) - erased - papers
            reached = scopes.resolve(conn, mine)
            models = tuple(m for m in reached.names("model") if m not in destroyed)
            lawful = not source.legacy and any(a.source == source.id and a.in_force(today) for a in agreed)
            why = "legacy: taken in without an approved agreement" if source.legacy else ""
            if not lawful and not why:
                why = "no approved agreement in force"
            rows.append(
                Exposure(
                    source.id,
                    lawful,
                    why or "approved agreement in force",
                    len(mine),
                    len(items.people_in(conn, mine)),
                    items.size_of(conn, mine),
                    reached.names("dataset"),
                    models,
                    sum((runs.get(of_model[m], Decimal(0)) for m in models), Decimal(0)),
                    under.get(source.id),
                )
            )
    return sorted(rows, key=lambda r: (r.lawful, -len(r.models), -r.items))
