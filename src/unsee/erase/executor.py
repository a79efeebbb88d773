"""Carrying out an approved plan: every unit idempotent, journalled before and after, resumable after a kill anywhere.

Order of work: the suppression list first (so that nothing comes back while the rest goes), then the objects of all stores, then
the models, last the books: their rows are deleted only when everything they point at is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from unsee.attest.durable import write_file
from unsee.books import items, orders, places, training
from unsee.books.database import Books
from unsee.core.errors import StalePlan, StoreError, UnitsFailed
from unsee.core.evidence import Gone
from unsee.core.ids import ItemSet, ModelId, OrderId
from unsee.core.orders import OrderState
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.erase import scope as scopes
from unsee.erase.aside import AnchorFile
from unsee.erase.journal import Entry, Journal
from unsee.erase.plandir import PlanDirectory, Unit
from unsee.match.suppression import Sealed, SuppressionKey, seal_digests
from unsee.stores.contract import Erased, Member, Store, same_stamp, unhinted
from unsee.stores.contract import Target as StoreTarget

Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) after each unit."""

SUPPRESS = "suppress"
TIDY = "tidy-stores"
SCRUB = "scrub-books"


@dataclass(frozen=True, slots=True)
class Failure:
    """A target or unit that was not erased, and why."""

    unit: str
    store: str
    object: str
    selector: str
    """Empty where it is the whole unit."""
    reason: str
    held: bool = False
    """A rule of the place forbids it for now; it is retained, not failed."""

    def as_json(self) -> dict[str, Any]:
        """As printed."""
        return {
            "unit": self.unit,
            "store": self.store,
            "object": self.object,
            "selector": self.selector,
            "reason": self.reason,
            "held": self.held,
        }

    def __str__(self) -> str:
        place = f"{self.store}:{self.object}" + (f"/{self.selector}" if self.selector else "")
        return f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of an apply. `gone` counts copies by the step of the ladder that their store checked."""

    units: int
    erased: int
    absent: int
    gone: Mapping[str, int]
    by_store: Mapping[str, Mapping[str, int]]
    """The same, by store."""
    models: tuple[str, ...]
    rows: Mapping[str, int]
    suppressed: int
    may_hold: tuple[str, ...]
    """What may hold the deleted rows of the books still."""
    failures: tuple[Failure, ...]
    notes: tuple[tuple[str, str], ...] = ()
    """What else the erasure took with it, (store, what): versions that can no longer be read, and the like."""
    without_anchors: int = 0
    """Members that were too small, or could not be read, for anchors to be put aside: the raw search does not look for them."""

    def as_json(self) -> dict[str, Any]:
        """As printed and as kept with the order."""
        return {
            "units": self.units,
            "erased": self.erased,
            "absent": self.absent,
            "gone": dict(self.gone),
            "by_store": {store: dict(steps) for store, steps in self.by_store.items()},
            "models": list(self.models),
            "rows": dict(self.rows),
            "suppressed": self.suppressed,
            "rows_may_be_held_by": list(self.may_hold),
            "failures": [f.as_json() for f in self.failures],
            "notes": [f"{store}: {note}" for store, note in self.notes],
            "without_anchors": self.without_anchors,
        }


@dataclass(frozen=True, slots=True)
class Executor:
    """All that an apply needs, wired by `app`. `models_store` is the store that holds model files."""

    books: Books
    order: OrderId
    plan: PlanDirectory
    stores: Mapping[str, Store]
    models_store: Store
    suppression_key: SuppressionKey
    journal: Journal
    workers: int = 2
    on_progress: Progress = field(default=lambda _what, _done, _total: None)

    def run(self) -> Applied:
        """Carry the plan out, or go on where a killed run stopped.

        Raises:
            StalePlan: the world moved after the plan was made; nothing was erased.
            UnitsFailed: some targets could not be erased; all others were, the books still know the failed ones, and the same
                command tries them again.
        """
        known = self.journal.entries()
        if not known:
            self._require_fresh()
        total = (
            int(self.plan.summary["units"]) + len(self.plan.summary["models"]) + len(self.plan.summary["strays"]) + 3
        )
        progress = _Counter(self.on_progress, total)
        self._once(SUPPRESS, known, self._suppress, progress)
        failures = list(self._erase_objects(known, progress))
        for model in self.plan.summary["models"]:
            if model["disposition"] == "destroyed":
                within = partial(self._directories, str(model["object"]))
                self._once(f"model:{model['id']}", known, partial(self._destroy, model), progress, about=within)
        for stray in self.plan.summary["strays"]:
            within = partial(self._directories, stray)
            self._once(f"stray:{stray}", known, partial(self._clear, stray), progress, about=within)
        if failures:
            raise _left(self.plan.path.name, failures)
        self._once(TIDY, known, self._tidy, progress)
        self._once(SCRUB, known, self._scrub, progress)
        return summarise(self.journal.entries(), failures)

    def _require_fresh(self) -> None:
        with self.books.read() as conn:
            now = scopes.resolve(conn, scopes.items_of_order(conn, orders.order(conn, self.order)))
        planned = self.plan.summary["reach"]
        changes: list[str] = []
        if scopes.digest_of(now.items) != planned["digest"]:
            changes.append(f"{abs(len(now.items) - int(planned['items'])):,} items joined or left the scope")
        for kind in ("dataset", "model"):
            fresh = sorted(set(now.names(kind)) - set(planned[f"{kind}s"]))
            changes.extend(f"{kind} {name} appeared" for name in fresh)
        appeared = list(self._appeared())
        if appeared:
            changes.append(f"{len(appeared)} members appeared in the stores or were changed")
        if changes:
            raise StalePlan(
                f"The plan is stale: {'; '.join(changes)} since it was made.",
                next_step='Run "unsee plan" again.',
                details=appeared[:20],
            )

    def _appeared(self) -> Iterator[str]:
        planned = {(u.store, u.object, t.selector): t.stamp for u in self.plan.units() for t in u.targets}
        examined = {(*place, unhinted(stamp)) for *place, stamp in self.plan.examined()}
        with self.books.read() as conn:
            for row in places.all_stores(conn):
                numbers = {name: no for no, name in places.objects_of(conn, row.no).items()}
                recorded: dict[str, str] = {}
                current = None
                for member in self.stores[row.id].scan():
                    if not isinstance(member, Member):
                        continue
                    if member.object != current:
                        current = member.object
                        no = numbers.get(current)
                        copies = places.copies_in_object(conn, no) if no is not None else {}
                        recorded = {selector: copy.stamp for selector, copy in copies.items()}
                    expected = planned.get((row.id, member.object, member.selector)) or recorded.get(member.selector)
                    if same_stamp(expected, member.stamp):
                        continue
                    if (row.id, member.object, member.selector, unhinted(member.stamp)) not in examined:
                        yield f"{row.id}:{member.object}/{member.selector}"

    def _once(
        self,
        unit: str,
        known: Mapping[str, Entry],
        act: Callable[[], Mapping[str, Any]],
        progress: _Counter,
        *,
        about: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Do a unit where it is not done. What it is `about` is journalled with the intent, before the act destroys it."""
        before = known.get(unit)
        if before is None or before.state != "done":
            said = before.outcome if before is not None else about()
            self.journal.intend(unit, said)
            outcome = act()
            self.journal.acted(unit)
            self.journal.conclude(unit, {**said, **outcome})
        progress.step(unit)

    def _suppress(self) -> Mapping[str, Any]:
        with self.books.read() as conn:
            found = items.digests_of(conn, orders.scope_of(conn, self.order))
        sealed = (_sealed(self.suppression_key, found, at) for at in range(len(found.ids)))
        with self.books.write() as tx:
            return {"entries": orders.add_suppression(tx, self.order, sealed)}

    def _erase_objects(self, known: Mapping[str, Entry], progress: _Counter) -> Iterator[Failure]:
        def waiting() -> Iterator[Unit]:
            for unit in self.plan.units():
                if _is_settled(known.get(_name(unit))):
                    progress.step(_name(unit))
                else:
                    yield unit

        erase = partial(self._erase_object, known)
        for outcome in run_units(erase, waiting(), workers=self.workers, kind="thread"):
            unit = outcome.unit
            failed = partial(Failure, _name(unit), unit.store, unit.object)
            progress.step(_name(unit))
            if not isinstance(outcome, Done):
                yield failed("", outcome.error)
                continue
            yield from (failed(k["selector"], k["reason"], k["held"]) for k in outcome.value["kept"])

    def _erase_object(self, known: Mapping[str, Entry], unit: Unit) -> Mapping[str, Any]:
        name = _name(unit)
        store = self.stores[unit.store]
        aside = AnchorFile(self.plan.anchors_path, self.suppression_key.anchor_key(self.order))
        put = aside.put_aside(store, unit.object, [t.selector for t in unit.targets])
        earlier = known[name].outcome if name in known else {}
        # an earlier run may have erased them already, so that they are not seen again
        small = max(put.small, int(earlier.get("small", 0)))
        self.journal.intend(name, {**earlier, "small": small})
        result = store.erase(unit.object, [StoreTarget(t.selector, t.stamp) for t in unit.targets])
        self.journal.acted(name)
        missing, step = _together(earlier, result)
        outcome = {
            "erased": len(unit.targets) - len(missing) - len(result.kept),
            "absent": len(missing),
            "missing": missing,
            "gone": step,
            "kept": [{"selector": k.selector, "reason": k.reason, "held": k.held} for k in result.kept],
            "notes": [*dict.fromkeys((*earlier.get("notes", ()), *result.notes))],
            "store": unit.store,
            "small": small,
            "without_anchors": small + max(0, put.unread - len(result.absent)),
        }
        self.journal.conclude(name, outcome)
        return outcome

    def _destroy(self, model: Mapping[str, Any]) -> Mapping[str, Any]:
        cleared = self._clear(str(model["object"]))
        with self.books.write() as tx:
            training.record_destruction(tx, ModelId(str(model["id"])), self.order, cleared)
        return {**cleared, "digest": model["digest"]}

    def _clear(self, top: str) -> Mapping[str, Any]:
        """Erase everything below one top-level object of the models store, what no run recorded included."""
        inside: dict[str, list[StoreTarget]] = {}
        for entry in self.models_store.scan():
            if entry.object == top or entry.object.startswith(top + "/"):
                inside.setdefault(entry.object, []).append(StoreTarget(entry.selector))
        erased = 0
        for directory in sorted(inside, reverse=True):
            result = self.models_store.erase(directory, inside[directory])
            if result.kept:
                raise StoreError(f"{top}: {result.kept[0].selector} was kept: {result.kept[0].reason}")
            erased += len(result.erased)
        return {"files": erased}

    def _directories(self, top: str) -> Mapping[str, Any]:
        inside = {e.object for e in self.models_store.scan() if e.object == top or e.object.startswith(top + "/")}
        return {"directories": sorted(inside)}

    def _tidy(self) -> Mapping[str, Any]:
        """Take away directories that the erasure left empty: their names may name people."""
        emptied: dict[str, set[str]] = {}
        for unit in self.plan.units():
            emptied.setdefault(unit.store, set()).update(_upwards(unit.object))
        removed = sum(len(self.stores[store].tidy(sorted(names))) for store, names in emptied.items())
        models = [d for e in self.journal.entries().values() for d in e.outcome.get("directories", ())]
        removed += len(self.models_store.tidy(sorted({above for name in models for above in _upwards(name)})))
        return {"removed": removed}

    def _scrub(self) -> Mapping[str, Any]:
        with self.books.read() as conn:
            scope = orders.scope_of(conn, self.order)
            needles = sorted(row.tobytes() for row in items.digests_of(conn, scope).sha256)
        gone = _by_item(self.plan.units(), self.journal.entries())
        if needles or not self.plan.needles_path.exists():
            write_file(self.plan.needles_path, b"".join(needles), mode=0o600)
        with self.books.write() as tx:
            rows = {"copies": places.forget_copies(tx, scope), **items.forget_content(tx, scope)}
            before = orders.last_event(tx.conn, self.order, OrderState.APPLIED)
            if before is None:
                orders.note_applied(tx, self.order, {"plan": self.plan.path.name, "rows": rows}, gone)
            else:  # a killed run deleted them and did not live to tell
                rows = before[1]["rows"]
        may_hold = self.books.forget_free_pages()
        kept = self.plan.needles_path.stat().st_size // 32
        return {"rows": rows, "needles": kept, "may_hold": list(may_hold)}


def _left(plan: str, failures: Sequence[Failure]) -> UnitsFailed:
    held = sum(f.held for f in failures)
    said = [f"{len(failures) - held} targets of plan {plan} were not erased"] if held < len(failures) else []
    if held:
        said.append(f"{held} targets are retained by a rule of their place, and are not erased")
    return UnitsFailed(
        "; ".join(said) + ".",
        next_step="Mend the cause, or wait until the rule ends, and run the same command again; where a target changed, make a "
        "new plan.",
        details=failures,
    )


def summarise(entries: Mapping[str, Entry], failures: Sequence[Failure]) -> Applied:
    """Add up a journal."""
    gone: dict[str, int] = {}
    by_store: dict[str, dict[str, int]] = {}
    notes: dict[tuple[str, str], None] = {}
    erased = absent = units = without_anchors = 0
    for name, entry in entries.items():
        if name.startswith("erase:") and entry.state == "done":
            units += 1
            erased += int(entry.outcome["erased"])
            absent += int(entry.outcome["absent"])
            step = str(entry.outcome["gone"])
            gone[step] = gone.get(step, 0) + int(entry.outcome["erased"])
            store = str(entry.outcome.get("store", ""))
            mine = by_store.setdefault(store, {})
            mine[step] = mine.get(step, 0) + int(entry.outcome["erased"])
            notes.update(dict.fromkeys((store, str(note)) for note in entry.outcome.get("notes", ())))
            without_anchors += int(entry.outcome.get("without_anchors", 0))
    scrubbed = entries.get(SCRUB)
    suppressed = entries.get(SUPPRESS)
    return Applied(
        units=units,
        erased=erased,
        absent=absent,
        gone=gone,
        by_store=by_store,
        models=tuple(
            n.removeprefix("model:") for n, e in entries.items() if n.startswith("model:") and e.state == "done"
        ),
        rows=dict(scrubbed.outcome["rows"]) if scrubbed and scrubbed.state == "done" else {},
        may_hold=tuple(scrubbed.outcome.get("may_hold", ())) if scrubbed and scrubbed.state == "done" else (),
        suppressed=int(suppressed.outcome["entries"]) if suppressed and suppressed.state == "done" else 0,
        failures=tuple(failures),
        notes=tuple(notes),
        without_anchors=without_anchors,
    )


def _by_item(units: Iterator[Unit], entries: Mapping[str, Entry]) -> dict[str, ItemSet]:
    """The items by the weakest step of the ladder that any of their copies reached (R6).

    A copy that was not there any more was not overwritten by this erasure, and no key of it was seen: it counts as D2 at best.
    """
    reached: dict[str, ItemSet] = {}
    for unit in units:
        outcome = entries[_name(unit)].outcome
        missing = frozenset(outcome.get("missing", ()))
        step = str(outcome["gone"])
        for of, at in ((step, False), (min(step, Gone.D2.step), True)):
            mine = [t.item for t in unit.targets if (t.selector in missing) is at]
            reached.setdefault(of, ItemSet()).update(mine)
    weaker = ItemSet()
    for step in sorted(reached):
        reached[step] -= weaker
        weaker |= reached[step]
    return {step: items for step, items in reached.items() if items}


def _together(earlier: Mapping[str, Any], result: Erased) -> tuple[list[str], str]:
    """Which targets of a unit were gone before any run came to them, and the weakest step that all its runs reached.

    What an earlier run erased is absent for this one. What a killed run erased nobody wrote down: it counts as absent.
    """
    kept = earlier.get("kept")
    waiting = None if kept is None else {str(k["selector"]) for k in kept}
    missing = {s for s in result.absent if waiting is None or s in waiting} | set(earlier.get("missing", ()))
    missing -= {*result.erased, *(k.selector for k in result.kept)}
    before = earlier.get("gone") if earlier.get("erased") else None
    if before is None:
        return sorted(missing), result.gone.step
    return sorted(missing), min(str(before), result.gone.step) if result.erased else str(before)


class _Counter:
    def __init__(self, report: Progress, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def step(self, what: str) -> None:
        self._done += 1
        self._report(what, self._done, self._total)


def _upwards(object_name: str) -> Iterator[str]:
    """An object and all above it: where a killed run removed the object itself, what is above is still to be looked at."""
    while object_name:
        yield object_name
        object_name = object_name.rpartition("/")[0]


def _name(unit: Unit) -> str:
    return f"erase:{unit.number}"


def _is_settled(entry: Entry | None) -> bool:
    return entry is not None and entry.state == "done" and not entry.outcome["kept"]


def _sealed(key: SuppressionKey, found: items.Digests, at: int) -> tuple[bytes, bytes, bytes]:
    entry: Sealed = seal_digests(
        key,
        found.sha256[at].tobytes(),
        found.pixels[at].tobytes(),
        found.pdq[at].tobytes(),
        quality=int(found.quality[at]),
    )
    return entry.sha_mac, entry.pixel_mac, entry.pdq_sealed
