"""The permitted reader: the only way by which training gets at photos.

Opening it asks the policy, today, for every item of the dataset, and is logged. What an order blocks or has erased is never read,
whatever a dataset's override says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unsee.books import disclosures, facts, items, places, world
from unsee.books.database import Tx
from unsee.books.training import Dataset
from unsee.core.errors import BlockedByOrder, PolicyRefusal, StoreError, Tampered
from unsee.core.ids import ItemId, PersonId, StoreId, SubjectNo
from unsee.core.policy import Decision, decide, summary
from unsee.core.purposes import covers
from unsee.core.sharing import Disclosure, DisclosureKind
from unsee.stores.contract import Store

NOBODY = PersonId("")


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo as training gets it: the file's bytes, checked against the digest of its intake."""

    item: ItemId
    data: bytes
    person: SubjectNo | None


@dataclass(frozen=True, slots=True)
class Reader:
    """An open dataset. Iterating yields its photos ascending by item id; each call of `__iter__` starts anew.

    Raises while iterating:
        StoreError: no copy of an item can be read.
        Tampered: an item's bytes are not those that were taken in.
    """

    dataset: Dataset
    purpose: str
    decision: Decision
    people: Mapping[ItemId, SubjectNo]
    _places: Mapping[int, tuple[tuple[StoreId, str, str], ...]]
    _sha256: Mapping[int, bytes]
    _stores: Mapping[StoreId, Store]

    def __len__(self) -> int:
        return len(self.dataset.items)

    def __iter__(self) -> Iterator[Sample]:
        for item in self.dataset.items:
            yield Sample(ItemId(item), self._read(item), self.people.get(ItemId(item)))

    def _read(self, item: int) -> bytes:
        problem: StoreError | Tampered | None = None
        for store, object_name, selector in self._places.get(item, ()):
            try:
                data = self._stores[store].read(object_name, selector)
            except StoreError as error:
                problem = error
                continue
            if hashlib.sha256(data).digest() == self._sha256[item]:
                return data
            problem = Tampered(
                f"Item {item} at {store}:{object_name}/{selector} is not what was taken in.",
                next_step="Restore the file, or take the folder in again and freeze a new dataset.",
            )
        raise problem or StoreError(f"Item {item} has no copy on record.", next_step="Freeze a new dataset.")


def open_reader(
    tx: Tx,
    dataset: Dataset,
    purpose: str,
    stores: Mapping[StoreId, Store],
    *,
    person: PersonId = NOBODY,
    disclosed: bool = False,
) -> Reader:
    """Open a dataset for a purpose that its own covers; the opening is a fact of the transaction, and in the register (R18).

    Args:
        tx: the transaction that the opening is written in.
        dataset: what is read.
        purpose: what for.
        stores: where the photos lie.
        person: who reads; `NOBODY` where nobody is named.
        disclosed: the caller has the photos in the register already, as a way out; nothing is written here.
    Raises:
        BlockedByOrder: an order blocks or has erased some of its items.
        PolicyRefusal: the purpose is not the dataset's, or policy permits less than it did when the set was frozen, and no override
            is on record.
    """
    if not covers(dataset.purpose, purpose):
        raise PolicyRefusal(
            f"Dataset {dataset.id} was frozen for {dataset.purpose}, not for {purpose}.",
            next_step=f'Freeze a set for it: "unsee dataset freeze NAME --purpose {purpose}".',
        )
    decision = decide(purpose, dataset.items, world.as_of(tx.conn, tx.now), today=tx.now.date())
    barred = [r for r in decision.refusals if not r.overridable]
    if barred:
        raise BlockedByOrder(
            f"Dataset {dataset.id} may not be read: {summary(barred)}.",
            next_step="Freeze a new dataset without these items.",
            details=barred,
        )
    if decision.refusals and dataset.override is None:
        raise PolicyRefusal(
            f"Dataset {dataset.id} may no longer be read for {purpose}: {summary(decision.refusals)}.",
            next_step="Freeze a new dataset: what is refused is left out with --permitted-only.",
            details=decision.refusals,
        )
    names = {row.no: row.id for row in places.all_stores(tx.conn)}
    objects = places.all_objects(tx.conn)
    found: dict[int, list[tuple[StoreId, str, str]]] = {}
    for rows in places.copies_of(tx.conn, dataset.items):
        for row in rows:
            store_no, object_name = objects[row.object_no]
            found.setdefault(row.item_id, []).append((names[store_no], object_name, row.selector))
    digests = items.digests_of(tx.conn, dataset.items)
    if not disclosed:
        _register(tx, dataset, purpose, person)
    return Reader(
        dataset=dataset,
        purpose=purpose,
        decision=decision,
        people=items.subjects_of_items(tx.conn, dataset.items),
        _places={item: tuple(places_) for item, places_ in found.items()},
        _sha256={i: sha.tobytes() for i, sha in zip(digests.ids.tolist(), digests.sha256, strict=True)},
        _stores=stores,
    )


def _register(tx: Tx, dataset: Dataset, purpose: str, person: PersonId) -> None:
    facts.record(
        tx,
        "ReaderOpened",
        dataset=dataset.id,
        purpose=purpose,
        items=len(dataset.items),
        overridden=dataset.override is not None,
    )
    disclosures.record(
        tx,
        Disclosure(
            kind=DisclosureKind.READER,
            recipient=None,
            disclosed_on=tx.now.date(),
            items=dataset.items,
            models=(),
            data_classes=("photo",),
            purpose=purpose,
            basis="overridden policy" if dataset.override is not None else "permitted by policy",
            agreement=None,
            channel="permitted reader",
            dataset=dataset.id,
            person=person,
        ),
    )
