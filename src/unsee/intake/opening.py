"""Whether photos of a source may be taken in at all."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection

from unsee.books import agreements, assessments, orders, parties
from unsee.core.assessments import intake_bar
from unsee.core.errors import BlockedByOrder, PolicyRefusal
from unsee.core.ids import SourceId
from unsee.core.orders import OrderState


def require_open(conn: Connection, source_id: SourceId, today: date) -> None:
    """Pass where photos of a source may be taken in on a day.

    Raises:
        PolicyRefusal: it is not marked as legacy and has no approved agreement in force, or the assessment of its supplier is
            overdue or failed (R33).
        BlockedByOrder: an order on it is being carried out.
    """
    source = parties.source(conn, source_id)
    agreed = agreements.of_source(conn, source_id)
    under_way = [o for o in orders.all_orders(conn) if o.source == source_id and o.state is not OrderState.CERTIFIED]
    if under_way:
        raise BlockedByOrder(
            f"Source {source_id} is under {under_way[0].id}; nothing is taken in from it.",
            next_step="Carry the order out first.",
        )
    if not source.legacy and not any(a.in_force(today) for a in agreed):
        states = ", ".join(f"{a.id} is {a.state(today)}" for a in agreed) or "there is none"
        raise PolicyRefusal(
            f"Source {source_id} has no approved agreement in force ({states}); nothing was taken in.",
            next_step=f'Draft one with "unsee agreement draft ID --source {source_id}" and have it approved.',
        )
    barred = intake_bar(source, assessments.of_source(conn, source_id), today)
    if barred is not None:
        raise PolicyRefusal(
            f"Source {source_id}: {barred}; nothing was taken in.",
            next_step=f'Assess the supplier and record it: "unsee assessment record {source_id}".',
        )
