"""Freezing datasets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.books import items, parties, training, world
from unsee.books.training import Dataset
from unsee.core.errors import BlockedByOrder, InputError, PolicyRefusal
from unsee.core.ids import DatasetId, ItemSet, PersonId, SourceId, slug
from unsee.core.policy import Decision, decide, summary
from unsee.core.purposes import known


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items a dataset is made from, before policy has its say."""

    sources: tuple[str, ...] = ()
    """Empty: every source."""
    of: str | None = None
    """Only items of this dataset."""
    without_people_of: tuple[str, ...] = ()
    """No photo of a person who is in one of these datasets: how held-out people are made."""
    drop_people: int = 0
    """Leave out so many people at random: the control that tells "less data" from "less of this group"."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """Policy set aside on purpose, on the record."""

    person: PersonId
    reason: str


def freeze(
    ws: Workspace,
    name: str,
    *,
    purpose: str,
    selection: Selection,
    permitted_only: bool,
    override: Override | None,
    person: PersonId,
) -> tuple[Dataset, Decision]:
    """Freeze a dataset for a purpose.

    Unless every selected item is permitted, nothing is frozen: `permitted_only` leaves the refused ones out, an `override` takes
    them in all the same and stands in the log and in every report. What an order blocks, no override lifts.

    Raises:
        PolicyRefusal: items are refused; `details` lists the reasons with counts.
        BlockedByOrder: an override was asked for, and an order blocks some of the items.
        InputError: nothing would be left.
        AlreadyExists, NotFound: names.
    """
    known(purpose)
    dataset_id = DatasetId(slug(name, what="dataset"))
    with ws.act() as tx:
        parties.person(tx.conn, person)
        chosen = _select(tx.conn, selection)
        decision = decide(purpose, chosen, world.as_of(tx.conn, tx.now), today=tx.now.date())
        members = decision.permitted
        refused = decision.refusals
        # What was erased is no longer there to be asked for; it is left out without a word against the rest.
        standing = [r for r in refused if r.code != "erased"]
        recorded: dict[str, object] | None = None
        if override is not None and standing:
            barred = [r for r in standing if not r.overridable]
            if barred:
                raise BlockedByOrder(
                    f"No override lifts this: {summary(barred)}.",
                    next_step="Leave these items out with --permitted-only.",
                    details=barred,
                )
            members = members | ItemSet.union(ItemSet(), *(r.items for r in standing))
            recorded = {
                "by": override.person,
                "reason": override.reason,
                "refused": [{"code": r.code, "reason": r.reason, "items": len(r.items)} for r in standing],
            }
        elif standing and not permitted_only:
            raise PolicyRefusal(
                f"{sum(len(r.items) for r in standing):,} of {len(chosen):,} items may not be used for {purpose}: "
                f"{summary(standing)}.",
                next_step="Leave them out with --permitted-only, or override with --override-policy --reason TEXT, on the record.",
                details=standing,
            )
        if not members:
            raise InputError(f"Dataset {name} would be empty: {summary(refused) or 'the selection holds nothing'}.")
        dataset = Dataset(
            dataset_id,
            purpose,
            members,
            items.commitment(tx.conn, members).hex(),
            recorded,
            _definition(selection, permitted_only),
            person,
            tx.at,
        )
        training.freeze_dataset(tx, dataset)
    return dataset, decision


def all_datasets(ws: Workspace) -> list[Dataset]:
    """Every dataset, in order of freezing."""
    with ws.books.read() as conn:
        return training.all_datasets(conn)


def _select(conn: Connection, selection: Selection) -> ItemSet:
    names: Sequence[SourceId] = [SourceId(s) for s in selection.sources] or [s.id for s in parties.all_sources(conn)]
    chosen = ItemSet.union(ItemSet(), *(parties.items_of_source(conn, s) for s in names)) - parties.documents(conn)
    if selection.of is not None:
        chosen &= training.dataset(conn, DatasetId(selection.of)).items
    for other in selection.without_people_of:
        people = items.people_in(conn, training.dataset(conn, DatasetId(other)).items)
        chosen -= items.items_of_subjects(conn, people)
    if selection.drop_people:
        people = items.people_in(conn, chosen)
        if selection.drop_people > len(people):
            raise InputError(f"{selection.drop_people} people cannot be left out of {len(people)}.")
        dropped = random.Random(selection.seed).sample(sorted(people), selection.drop_people)  # noqa: S311  # a draw, no secret
        chosen -= items.items_of_subjects(conn, dropped)
    return chosen


def _definition(selection: Selection, permitted_only: bool) -> dict[str, object]:
    return {
        "sources": list(selection.sources),
        "of": selection.of,
        "without_people_of": list(selection.without_people_of),
        "drop_people": selection.drop_people,
        "seed": selection.seed,
        "permitted_only": permitted_only,
    }
