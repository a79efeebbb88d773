"""From an order to a plan on disk: what will go and why. Planning changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from unsee.books import backups, consents, disclosures, items, orders, parties, places, training
from unsee.books.interests import Sides
from unsee.core.ids import ModelId, PersonId, StoreId, SubjectNo
from unsee.core.orders import ModelScope, Order, profile
from unsee.core.sharing import received
from unsee.erase import scope as scopes
from unsee.erase.discovery import Discovery
from unsee.erase.looking import why_not
from unsee.erase.plandir import TARGETS, PlanDirectory, PlanWriter
from unsee.match.closure import SEARCHED
from unsee.stores.contract import Member, Store

RECORDED = "recorded copy of an item in scope"
_SAMPLE = 50
"""How many single things (twins, files not looked into) a summary names; beyond that it gives counts."""


@dataclass(frozen=True, slots=True)
class Planner:
    """What a plan is made from. `discovery` is the walk of the stores; `sides` the parties and interests of the hand-over."""

    conn: Connection
    order: Order
    stores: Mapping[StoreId, Store]
    sides: Sides
    discovery: Discovery
    models_store: Store
    tool_version: str

    def write(self, directory: Path, *, author: PersonId, at: str) -> PlanDirectory:
        """Write the plan of the order into `directory`, which does not exist yet.

        Cost: about 3 µs a recorded copy, 300 bytes of memory each (`bench/plan.py`).
        """
        writer = PlanWriter(directory)
        table = self._targets()
        parts = writer.write_targets(table)
        examined = writer.write_examined(self.discovery.examined, self.discovery.unsound)
        scope = orders.scope_of(self.conn, self.order.id)
        untouched = scopes.untouched(self.conn, scope, orders.erased(self.conn))
        retained = untouched & self.discovery.present
        kept = {
            "items": len(retained),
            "root": items.commitment(self.conn, retained).hex(),
            "set": writer.write_retained(retained),
            "without_sound_copy": len(untouched - retained),
        }
        return writer.finish(self._summary(table, parts, examined, kept, name=directory.name, author=author, at=at))

    def _targets(self) -> pa.Table:
        scope = orders.scope_of(self.conn, self.order.id)
        store_names = {row.no: str(row.id) for row in places.all_stores(self.conn)}
        objects = places.all_objects(self.conn)
        batches = [_recorded_batch(columns) for columns in places.copy_columns(self.conn, scope)]
        recorded = pa.Table.from_batches(batches, schema=_RECORDED)
        found_objects = sorted({(str(c.store), c.object) for c in self.discovery.copies})
        numbers = {(store_names[store], name): no for no, (store, name) in objects.items()}
        fresh = {key: -1 - i for i, key in enumerate(k for k in found_objects if k not in numbers)}
        places_by_no = {no: (store_names[s], n) for no, (s, n) in objects.items()} | {v: k for k, v in fresh.items()}
        extra = _found_table(self.discovery, numbers | fresh)
        # A recorded copy whose file was changed and still shows the picture is found again by the walk: its fresh stamp counts.
        table = pa.concat_tables([_without(recorded, extra), extra])
        return _with_units(_by_object(table), places_by_no)

    def _summary(
        self,
        table: pa.Table,
        parts: Sequence[Mapping[str, Any]],
        examined: Mapping[str, Any],
        retained: Mapping[str, Any],
        *,
        name: str,
        author: PersonId,
        at: str,
    ) -> dict[str, Any]:
        conn, found = self.conn, self.discovery
        scope = scopes.resolve(conn, orders.scope_of(conn, self.order.id))
        papers = scope.items & parties.documents(conn)
        embedded = items.embeddings_among(conn, papers)
        subjects = items.people_in(conn, scope.items)
        by_reason = Counter(c.reason for c in found.copies)
        return {
            "schema": "unsee/plan/1",
            "id": name,
            "order": self.order.as_json(),
            "author": author,
            "made_at": at,
            "tool": f"unsee {self.tool_version}",
            "scope": {
                "photo": len(scope.items - papers),
                "document": len(papers - embedded),
                **({"embedding": len(embedded)} if embedded else {}),
                "copy": table.num_rows,
                **items.attribute_counts(conn, scope.items, subjects),
            },
            "reach": {
                "items": len(scope.items),
                "digest": scopes.digest_of(scope.items),
                "people": len(subjects),
                "size_bytes": items.size_of(conn, scope.items),
                "consents": consents.counts(conn, {SubjectNo(no) for no in subjects}),
                "datasets": sorted(scope.names("dataset")),
                "runs": sorted(scope.names("run")),
                "models": sorted(scope.names("model")),
                "reasons": {str(r.node): r.reason for r in scope.reached},
            },
            "recipients": [
                {"id": who, "items": len(got.items), "models": list(got.models)}
                for who, got in received(
                    disclosures.outward(conn), scope.items, [ModelId(m) for m in scope.names("model")]
                ).items()
            ],
            "copies": {
                "recorded": table.num_rows - len(found.copies),
                "unrecorded": len(found.copies),
                "unrecorded_by_reason": dict(sorted(by_reason.items())),
                "size_bytes": pc.sum(table.column("size_bytes")).as_py() or 0,
            },
            "units": int(pc.max(table.column("unit")).as_py()) + 1 if table.num_rows else 0,
            "parts": [dict(p) for p in parts],
            "examined": dict(examined),
            "models": [self._model(m) for m in training.all_models(conn) if m.id in scope.names("model")],
            "strays": sorted(self._strays(scope.names("run"))),
            "retained": dict(retained),
            "stores": [self._store(row) for row in places.all_stores(conn)],
            "search": {
                "method": SEARCHED,
                "members": found.members,
                "recorded_unchanged": found.recorded,
                "read": found.read,
                "not_compared": dict(
                    sorted(Counter(why_not(u.reason, u.store, u.selector) for u in found.unlooked).items())
                ),
            },
            "twins": {
                "rule": "keep-lawful",
                "count": len(found.twins),
                "sample": [{"item": t.item, "of": t.of, "reason": t.reason} for t in found.twins[:_SAMPLE]],
            },
            "backups": [
                {
                    "id": one.id,
                    "location": one.location,
                    "stores": list(one.stores),
                    "made_on": one.made_on.isoformat(),
                    "expires_on": one.expires_on.isoformat(),
                    "items": len(held),
                }
                for one, held in backups.holding(conn, scope.items, date.fromisoformat(at[:10]))
            ],
            "parties": list(self.sides.parties),
            "interests": [
                {"holder": i.holder, "person": i.person, "organisation": i.organisation, "kind": i.kind}
                for i in self.sides.interests
            ],
            "holdings": [{"holder": h.holder, "held": h.held, "kind": h.kind} for h in self.sides.holdings],
            "conflicts": [path.as_json() for path in self.sides.conflicts()],
            "source": _source(conn, self.order),
        }

    def _model(self, model: training.Model) -> dict[str, Any]:
        if model.destroyed_by not in {None, self.order.id}:
            disposition, why = "outside-model-scope", f"destroyed before, under {model.destroyed_by}"
        elif profile(self.order.profile).model_scope is ModelScope.NO_FUTURE_USE:
            disposition, why = "outside-model-scope", "the order forbids future use of the data, not of models"
        else:
            disposition, why = "destroyed", "trained on items of the scope"
            if model.destroyed_by is not None:
                why += "; gone already, under an earlier plan of this order"
        return {
            "id": model.id,
            "object": model.object_name,
            "digest": model.digest,
            "files": dict(model.files),
            "disposition": disposition,
            "why": why,
        }

    def _strays(self, runs_in_scope: Collection[str]) -> set[str]:
        """Top-level objects of the models store that nothing outside the scope owns: what unfinished runs left (R4, R10).

        A living model owns its own, and so does a run that is under way, or was killed, on data that stays.
        """
        owned = {m.object_name for m in training.all_models(self.conn) if m.destroyed_by is None}
        for run in training.all_runs(self.conn):
            if run.ended_at is None and run.id not in runs_in_scope:
                place = str(run.environment.get("directory", ""))
                owned |= {place, f".{place}.partial"}
        tops = {e.object.split("/", 1)[0] for e in self.models_store.scan() if isinstance(e, Member)}
        return tops - owned

    def _store(self, row: places.StoreRow) -> dict[str, Any]:
        capability = self.stores[row.id].capability()
        return {
            "id": row.id,
            "kind": row.kind,
            "best_gone": str(capability.best_gone),
            "keeps_history": capability.keeps_history,
            "limits": list(capability.limits),
        }


_RECORDED = pa.schema(
    [
        ("object", pa.int64()),
        ("selector", pa.string()),
        ("stamp", pa.string()),
        ("size_bytes", pa.int64()),
        ("item", pa.int64()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
    ]
)


def _recorded_batch(copies: places.CopyColumns) -> pa.RecordBatch:
    reason = pa.DictionaryArray.from_arrays(np.zeros(len(copies.item), np.int32), [RECORDED])
    columns = (copies.object, copies.selector, copies.stamp, copies.size_bytes, copies.item, reason)
    return pa.record_batch(
        [pa.array(c, t) if c is not reason else c for c, t in zip(columns, _RECORDED.types, strict=True)],
        schema=_RECORDED,
    )


def _without(recorded: pa.Table, extra: pa.Table) -> pa.Table:
    """The recorded rows less those whose place is among the `extra` ones."""
    again = set(zip(*(extra.column(name).to_pylist() for name in ("object", "selector")), strict=True))
    if not again:
        return recorded
    near = pc.is_in(recorded.column("object"), pa.array(sorted({no for no, _selector in again}), pa.int64()))
    at = np.flatnonzero(near.to_numpy())
    names = recorded.select(["object", "selector"]).take(at)
    places_ = zip(*(names.column(name).to_pylist() for name in ("object", "selector")), strict=True)
    stays = np.ones(recorded.num_rows, bool)
    stays[at] = [place not in again for place in places_]
    return recorded.filter(stays)


def _by_object(table: pa.Table) -> pa.Table:
    """The rows grouped by object; within one as they came. Intake goes through a folder in order, so they mostly are already."""
    objects = table.column("object").to_numpy()
    if np.all(objects[1:] >= objects[:-1]):
        return table
    return table.take(np.argsort(objects, kind="stable"))


def _found_table(discovery: Discovery, numbers: Mapping[tuple[str, str], int]) -> pa.Table:
    copies = discovery.copies
    return pa.table(
        [
            pa.array([numbers[(str(c.store), c.object)] for c in copies], pa.int64()),
            pa.array([c.selector for c in copies], pa.string()),
            pa.array([c.stamp for c in copies], pa.string()),
            pa.array([c.size_bytes for c in copies], pa.int64()),
            pa.array([c.item for c in copies], pa.int64()),
            pa.array([c.reason for c in copies], pa.string()).dictionary_encode(),
        ],
        schema=_RECORDED,
    )


def _with_units(table: pa.Table, places_by_no: Mapping[int, tuple[str, str]]) -> pa.Table:
    """Rows of `TARGETS`: one unit for each object, numbered in order of their first row."""
    objects = table.column("object").combine_chunks().dictionary_encode()
    if isinstance(objects, pa.ChunkedArray):
        objects = objects.combine_chunks()
    order = objects.dictionary.to_pylist() if len(objects) else []
    stores = [places_by_no[no][0] for no in order]
    names = [places_by_no[no][1] for no in order]
    return pa.table(
        [
            objects.indices if len(objects) else pa.array([], pa.int32()),
            _spread(objects, stores),
            _spread(objects, names),
            table.column("selector"),
            table.column("stamp"),
            table.column("size_bytes"),
            table.column("item"),
            table.column("reason"),
        ],
        schema=TARGETS,
    )


def _spread(objects: pa.DictionaryArray, values: Sequence[str]) -> pa.Array:
    if not len(objects):
        return pa.array([], pa.string()).dictionary_encode()
    distinct = sorted(set(values))
    position = {value: i for i, value in enumerate(distinct)}
    codes = pa.array([position[v] for v in values], pa.int32()).take(objects.indices)
    return pa.DictionaryArray.from_arrays(codes, distinct)


def _source(conn: Connection, order: Order) -> dict[str, Any]:
    source = parties.source(conn, order.source)
    return {
        "id": source.id,
        "title": source.title,
        "kind": str(source.kind),
        "issuer": source.issuer,
        "collected_on": source.collected_on.isoformat(),
        "data_classes": list(source.data_classes),
        "legacy": source.legacy,
    }
